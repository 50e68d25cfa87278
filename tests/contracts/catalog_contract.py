"""The contract of a catalog, whole: an implementation subclasses it and hands over its constructor as ``make_catalog``."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from tagfs.model.query import EVERYTHING
from tagfs.storage.interfaces import ICatalog, ISelection
from tests.contracts.catalog_contents import ContentsContract
from tests.contracts.catalog_feed import FeedContract
from tests.contracts.catalog_queries import QueriesContract
from tests.contracts.catalog_records import RecordsContract


class CatalogContract(RecordsContract, FeedContract, QueriesContract, ContentsContract):
    """``make_catalog(node)`` (a fixture) opens a new, empty catalog and closes it in the end."""

    @pytest.fixture
    def catalog(self, make_catalog):
        return make_catalog("n1")

    @pytest.fixture
    def other_catalog(self, make_catalog):
        return make_catalog("n2")

    def test_provides_the_interface(self, catalog):
        """Every method is there with the signature of the interface."""
        assert verifyObject(ICatalog, catalog)
        assert verifyObject(ISelection, catalog.select(EVERYTHING))
