"""The in-memory catalog, the reference, keeps the contract."""

from __future__ import annotations

import pytest

from tagfs.storage.memory import open_catalog
from tests.contracts.catalog_contract import CatalogContract


class TestMemoryCatalog(CatalogContract):
    @pytest.fixture
    def make_catalog(self):
        return lambda node: open_catalog("memory:", node)
