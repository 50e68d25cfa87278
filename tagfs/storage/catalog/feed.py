"""Pages of changes for who catches up. Layer: storage.

All is read in one snapshot of the database: a record that changes meanwhile moves to the end of its origin's feed, and
a page that had missed it there could not claim to cover the place where it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from tagfs.model.record import Record, Ref, decode
from tagfs.storage.catalog.origins import Origins
from tagfs.storage.catalog.rows import unpack_numbers
from tagfs.storage.interfaces import Changes

_FEED = (
    "SELECT feed.number, records.row, numbers, record FROM feed JOIN records ON records.row = feed.row"
    " WHERE origin = ? AND number > ? AND number <= ? ORDER BY number"
)


class _Page:
    """A page in the making."""

    def __init__(self, connection: sqlite3.Connection, origins: Origins, limit: int) -> None:
        self._connection = connection
        self._names = {number: name for name, number in origins.numbers.items()}
        self._numbers = origins.numbers
        self._limit = limit
        self.records: dict[int, Record] = {}
        self.origins: dict[Ref, Mapping[str, int]] = {}

    def take(self, name: str, after: int, upto: int) -> int:
        """Takes in the records of one origin while there is room; returns the number reached, ``upto`` where all are."""
        cursor = self._connection.execute(_FEED, (self._numbers[name], after, upto))
        try:
            for number, row, numbers, data in cursor:
                if row not in self.records:
                    if len(self.records) == self._limit:
                        return after
                    self._add(row, numbers, data)
                after = number
        finally:
            cursor.close()
        return upto

    def _add(self, row: int, numbers: bytes, data: bytes) -> None:
        record = self.records[row] = decode(data)
        known = unpack_numbers(numbers).items()
        self.origins[record.ref] = {self._names[origin]: number for origin, number in known}


def read_changes(connection: sqlite3.Connection, vector: Mapping[str, int], limit: int) -> Changes:
    """One page, as :meth:`ICatalog.changes <tagfs.storage.interfaces.ICatalog.changes>` says."""
    origins = Origins.load(connection)
    here = origins.vector()
    page = _Page(connection, origins, limit)
    ask_on = dict(vector)
    covered = {}
    for name in sorted(here):
        reached = max(vector.get(name, 0), here[name])
        if vector.get(name, 0) < here[name]:
            reached = page.take(name, vector.get(name, 0), here[name])
        ask_on[name] = reached
        if reached >= here[name]:
            covered[name] = here[name]
    more = len(covered) < len(here)
    return Changes(list(page.records.values()), ask_on, more, page.origins, covered)
