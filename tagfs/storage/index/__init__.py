"""The derived index of one node's entries: roaring bitmaps over row numbers, in memory (docs/architecture/index.md). Layer: storage."""

from tagfs.storage.index.evaluation import Lookups, texts
from tagfs.storage.index.index import Index

__all__ = ["Index", "Lookups", "texts"]
