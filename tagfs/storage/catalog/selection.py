"""What a query matched: a bitmap of rows, and the ways to read the entries of it. Layer: storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pyroaring import BitMap
from zope.interface import implementer

from tagfs.model.entry import Entry
from tagfs.model.names import name_key
from tagfs.model.order import Cursor, Sort
from tagfs.storage.catalog.database import Database
from tagfs.storage.catalog.live import LiveIndex
from tagfs.storage.catalog.rows import FETCH, fetch_entries, in_chunks
from tagfs.storage.interfaces import MAX_PAGE, ISelection, Page

_MOST_SORTED = 50_000
"""Most names that are read and sorted: bounds memory."""
_READ = 15
"""What it costs to read the name of one row, in steps of a walk through the names of all entries in order."""
_WALK = 4_000
"""Names read at once on such a walk."""


@implementer(ISelection)
class Selection:
    """See :class:`~tagfs.storage.interfaces.ISelection`. Rows are never given twice, so a row is always the same entry."""

    def __init__(self, live: LiveIndex, database: Database, rows: BitMap) -> None:
        self._live = live
        self._database = database
        self._rows = rows
        self.total = len(rows)

    def page(self, sort: Sort, after: Cursor | None, limit: int) -> Page:
        """See the interface."""
        assert 1 <= limit <= MAX_PAGE
        while True:
            rows = self._first(sort, after, limit + 1)
            entries = self._entries(rows[:limit])
            if len(rows) <= limit:
                return Page(entries, None)
            if entries:
                return Page(entries, Cursor(sort_value(entries[-1], sort.key), entries[-1].id))
            # All of them were purged just now: what follows them is not the end.

    def _first(self, sort: Sort, after: Cursor | None, limit: int) -> Sequence[int]:
        if sort.key == "name":
            return self._named(limit).first(sort, after, limit)
        return self._live.first(self._rows, sort, after, limit)

    def pages(self, sort: Sort, limit: int) -> Iterator[Sequence[Entry]]:
        """See the interface."""
        for rows in self._in_order(sort, min(limit, FETCH)):
            # A short page costs nothing; what is left out was purged since.
            if entries := self._entries(rows):
                yield entries

    def ids(self, limit: int) -> Iterator[Sequence[str]]:
        """See the interface."""
        for rows in _slices(self._rows, limit):
            yield self._live.ids(rows)

    def _entries(self, rows: Sequence[int]) -> list[Entry]:
        with self._database.reading() as connection:
            found = fetch_entries(connection, rows)
        return [found[row] for row in rows if row in found]

    def _in_order(self, sort: Sort, limit: int) -> Iterator[Sequence[int]]:
        if sort.key == "name":
            return self._named(self.total).all(sort, limit)
        # Without the lock: it only copies numbers out of arrays that stay in place, in tenths of a second per million.
        ordered = self._live.index.ordered(self._rows, sort)
        return (ordered[start : start + limit].tolist() for start in range(0, len(ordered), limit))

    def _named(self, wanted: int) -> _ByName:
        """The cheaper way to ``wanted`` rows in order of their names: a walk meets one of ours in every so many steps."""
        steps = len(self._live) * min(wanted, self.total) // max(self.total, 1)
        few = self.total <= _MOST_SORTED and self.total * _READ <= steps
        return _SortedNames(self._database, self._rows) if few else _WalkedNames(self._database, self._rows)


class _ByName(Protocol):
    """Rows in order of their names."""

    def first(self, sort: Sort, after: Cursor | None, limit: int) -> Sequence[int]:
        """The first rows behind a cursor."""

    def all(self, sort: Sort, limit: int) -> Iterator[Sequence[int]]:
        """All rows, at most ``limit`` at a time."""


class _SortedNames:
    """Reads the names of all rows and sorts them."""

    def __init__(self, database: Database, rows: BitMap) -> None:
        self._database = database
        self._rows = rows

    def first(self, sort: Sort, after: Cursor | None, limit: int) -> Sequence[int]:
        keys = self._keys(sort)
        if after is not None:
            behind = (after.value, after.id)
            keys = [key for key in keys if (key[:2] < behind if sort.descending else key[:2] > behind)]
        return [row for _, _, row in keys[:limit]]

    def all(self, sort: Sort, limit: int) -> Iterator[Sequence[int]]:
        keys = self._keys(sort)
        return ([row for _, _, row in keys[start : start + limit]] for start in range(0, len(keys), limit))

    def _keys(self, sort: Sort) -> list[tuple[str, str, int]]:
        keys: list[tuple[str, str, int]] = []
        with self._database.reading() as connection:
            for chunk in in_chunks(self._rows):
                keys += connection.execute(
                    f"SELECT name, key, row FROM records WHERE row IN ({chunk}) AND name IS NOT NULL"
                ).fetchall()
        keys.sort(reverse=sort.descending)
        return keys


class _WalkedNames:
    """Goes through the names of all entries in order, and takes those that matched."""

    def __init__(self, database: Database, rows: BitMap) -> None:
        self._database = database
        self._rows = rows

    def first(self, sort: Sort, after: Cursor | None, limit: int) -> Sequence[int]:
        for rows in self._walk(sort, after, limit):
            return rows
        return []

    def all(self, sort: Sort, limit: int) -> Iterator[Sequence[int]]:
        return self._walk(sort, None, limit)

    def _walk(self, sort: Sort, after: Cursor | None, limit: int) -> Iterator[Sequence[int]]:
        order, relation = ("DESC", "<") if sort.descending else ("ASC", ">")
        place: tuple[object, object] | None = None if after is None else (after.value, after.id)
        found: list[int] = []
        while True:
            behind = "" if place is None else f"AND (name, key) {relation} (?, ?)"
            with self._database.reading() as connection:
                read = connection.execute(
                    f"SELECT name, key, row FROM records WHERE name IS NOT NULL {behind}"
                    f" ORDER BY name {order}, key {order} LIMIT {_WALK}",
                    place or (),
                ).fetchall()
            found += [row for _, _, row in read if row in self._rows]
            while len(found) >= limit:
                yield found[:limit]
                found = found[limit:]
            if len(read) < _WALK:
                break
            place = read[-1][:2]
        if found:
            yield found


def sort_value(entry: Entry, key: str) -> int | str:
    """What an entry is ordered by."""
    if key == "name":
        return name_key(entry.name)
    if key == "size":
        return entry.content.size
    return entry.added if key == "added" else entry.content.modified


def _slices(rows: Iterable[int], limit: int) -> Iterator[list[int]]:
    part: list[int] = []
    for row in rows:
        part.append(row)
        if len(part) == limit:
            yield part
            part = []
    if part:
        yield part
