"""The catalog in SQLite keeps the contract, just made and again after a restart."""

from __future__ import annotations

import pytest

from tagfs.storage.catalog import open_catalog
from tests.contracts.catalog_contract import CatalogContract


class TestSqliteCatalog(CatalogContract):
    @pytest.fixture
    def make_catalog(self, tmp_path):
        opened = []

        def make(node):
            opened.append(open_catalog(f"sqlite://{tmp_path}/{len(opened)}", node))
            return opened[-1]

        yield make
        for catalog in opened:
            catalog.close()
