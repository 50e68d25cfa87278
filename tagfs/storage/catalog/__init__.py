"""The catalog in SQLite (docs/architecture/storage.md). Layer: storage."""

from tagfs.storage.catalog.start import open_catalog

__all__ = ["open_catalog"]
