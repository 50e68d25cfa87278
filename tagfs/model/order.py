"""Which entries a query ranges over, in what order they are shown, and where a page ended. Layer: model."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Scope(Enum):
    """Which entries a query ranges over. A query that says ``in:trash`` itself is asked with ``ALL``."""

    LIVE = "live"
    TRASH = "trash"
    ALL = "all"


class Sort(NamedTuple):
    """An order of entries: ``key`` is ``name``, ``size``, ``added`` or ``modified``; entry ids settle ties,
    ascending or descending with the key. Names order by the code points of their NFC form."""

    key: str
    descending: bool = False


SORT_KEYS = ("name", "size", "added", "modified")
NEWEST = Sort("added", descending=True)


class Cursor(NamedTuple):
    """Where a page ended: the sort key's value and the id of its last entry. Works on any node, and stays
    right while entries come and go."""

    value: int | str
    id: str
