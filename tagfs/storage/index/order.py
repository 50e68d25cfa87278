"""Rows in order of a number, a page at a time or all of them. Layer: storage.

Order is by the number, then by entry id. Descending order is ascending order of the complements (``~x``), so
that only one direction has to be thought of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagfs.model.order import Cursor, Sort
from tagfs.storage.index.blocks import ZONE_BITS, Blocks, Numbers
from tagfs.storage.index.ids import halves
from tagfs.storage.index.rowsets import Rows, rows_between, rows_of

NUMBERS = ("added", "size", "modified")
"""The sort keys that are here."""

_FEW = 1 << 12
"""So many rows are sorted without a look at zones."""
_BATCHES = (1, 1, 2, 4, 8)
"""How many zones are taken in before it is asked again whether the page is right; then comes all the rest."""
_SLICE = 1 << 18
"""Rows of the rest that are taken in at once: bounds memory."""

_TIES = 1 << 16
"""About so many rows of equal values are sorted by their ids at once: bounds memory."""


class Key(NamedTuple):
    """What a row is ordered by; ``high`` and ``low`` are the halves of its entry id."""

    value: int
    high: int
    low: int


def first(blocks: Blocks, bitmap: BitMap, sort: Sort, after: Cursor | None, limit: int) -> list[int]:
    """At most ``limit`` rows of the bitmap, in order, behind ``after`` or from the start where it is None."""
    keys = _Keys(blocks, sort)
    page = _Page(keys, keys.at(after) if after else None, limit)
    for rows in _promising(keys, bitmap, page) if len(bitmap) > _FEW else (rows_of(bitmap),):
        page.offer(rows)
    return page.rows.tolist()  # type: ignore[no-any-return]


def ordered(blocks: Blocks, bitmap: BitMap, sort: Sort) -> Rows:
    """All rows of the bitmap, in order."""
    keys = _Keys(blocks, sort)
    rows = rows_of(bitmap)
    values = keys.values(rows)
    order = np.argsort(values)
    _break_ties(keys, rows, values, order)
    return rows[order]


def _break_ties(keys: _Keys, rows: Rows, values: Numbers, order: NDArray[np.intp]) -> None:
    """Puts rows of equal values into the order of their ids. Whole runs of them at a time, about :data:`_TIES` rows, since
    to look at the ids of a million rows at once would take more memory than all the rest."""
    as_next = np.append(values[order[:-1]] == values[order[1:]], False)
    tied = np.flatnonzero(as_next | np.append(False, as_next[:-1]))
    ends = np.flatnonzero(~as_next[tied]) + 1
    start = 0
    while start < len(tied):
        run = min(int(np.searchsorted(ends, start + _TIES)), len(ends) - 1)
        end = int(ends[run])
        places = tied[start:end]
        inside = np.sort(order[places])
        order[places] = inside[np.lexsort((*keys.ids(rows[inside]), values[inside]))]
        start = end


class _Keys:
    """Keys of rows in one order, such that smaller is earlier. Rows are always given ascending."""

    def __init__(self, blocks: Blocks, sort: Sort) -> None:
        assert sort.key in NUMBERS
        self._blocks = blocks
        self._column = sort.key
        self._flip = -1 if sort.descending else 0

    def values(self, rows: Rows) -> Numbers:
        return self._blocks.gather(self._column, rows) ^ self._flip

    def ids(self, rows: Rows) -> tuple[Numbers, Numbers]:
        """The last and the first halves of the ids: as lexsort wants them."""
        return self._blocks.gather("low", rows) ^ self._flip, self._blocks.gather("high", rows) ^ self._flip

    def at(self, cursor: Cursor) -> Key:
        assert isinstance(cursor.value, int)
        high, low = halves(cursor.id)
        return Key(cursor.value ^ self._flip, high ^ self._flip, low ^ self._flip)

    def zones(self) -> tuple[Numbers, Numbers, Numbers]:
        """The least and the greatest value in each zone, and the least first half of an id."""
        least, greatest = self._blocks.bounds(self._column)
        least_high, greatest_high = self._blocks.bounds("high")
        return (~greatest, ~least, ~greatest_high) if self._flip else (least, greatest, least_high)


class _Page:
    """The first rows behind a cursor among those offered so far."""

    def __init__(self, keys: _Keys, after: Key | None, limit: int) -> None:
        self._keys = keys
        self.after = after
        self._limit = limit
        self.rows: Rows = np.empty(0, dtype=np.uint32)
        """In order."""
        none = np.empty(0, dtype=np.int64)
        self._sorted = (none, none, none)
        self.last: Key | None = None
        """The key of its last row once it is full: what is greater does not belong on it."""

    def offer(self, rows: Rows) -> None:
        """Takes in what belongs on the page of rows not offered before."""
        rows, values = self._fitting(rows)
        low, high = self._keys.ids(rows)
        columns = [np.concatenate(pair) for pair in zip(self._sorted, (low, high, values), strict=True)]
        order = np.lexsort(columns)[: self._limit]
        low, high, values = (column[order] for column in columns)
        self._sorted = low, high, values
        self.rows = np.concatenate((self.rows, rows))[order]
        if len(order) == self._limit:
            self.last = Key(int(values[-1]), int(high[-1]), int(low[-1]))

    def _fitting(self, rows: Rows) -> tuple[Rows, Numbers]:
        """Those rows that may belong on the page, not many more than it holds, with their values."""
        values = self._keys.values(rows)
        keep = np.ones(len(rows), dtype=np.bool_)
        if self.after:
            keep = values > self.after.value
            equal = np.flatnonzero(values == self.after.value)
            low, high = self._keys.ids(rows[equal])
            keep[equal] = (high > self.after.high) | ((high == self.after.high) & (low > self.after.low))
        if self.last:
            keep &= values <= self.last.value
        rows, values = rows[keep], values[keep]
        if len(rows) <= self._limit:
            return rows, values
        bound = np.partition(values, self._limit - 1)[self._limit - 1]
        keep = values <= bound
        rows, values = rows[keep], values[keep]
        if len(rows) > 2 * self._limit:
            keep = self._first_of_equals(rows, values, bound)
            rows, values = rows[keep], values[keep]
        return rows, values

    def _first_of_equals(self, rows: Rows, values: Numbers, bound: int) -> NDArray[np.bool_]:
        """Thousands may have the same value: of those that have the greatest, only the least ids are wanted."""
        keep = values < bound
        wanted = self._limit - int(keep.sum())
        equal = np.flatnonzero(~keep)
        _, high = self._keys.ids(rows[equal])
        keep[equal] = high <= np.partition(high, wanted - 1)[wanted - 1]
        return keep


def _promising(keys: _Keys, bitmap: BitMap, page: _Page) -> Iterator[Rows]:
    """Rows of the bitmap, zones with the least keys first, until no other can belong on the page."""
    least, greatest, high = keys.zones()
    usable = least <= greatest
    if page.after:
        usable &= greatest >= page.after.value
    zones = np.flatnonzero(usable)
    zones = zones[np.lexsort((high[zones], least[zones]))]
    for size in _BATCHES:
        if not len(zones) or (page.last and (least[zones[0]], high[zones[0]]) > page.last[:2]):
            return
        parts = [
            rows_between(bitmap, zone << ZONE_BITS, zone + 1 << ZONE_BITS) for zone in sorted(zones[:size].tolist())
        ]
        yield np.concatenate(parts)
        zones = zones[size:]
    if page.last:
        zones = zones[least[zones] <= page.last.value]
    rest = BitMap()
    for zone in zones.tolist():
        rest.add_range(zone << ZONE_BITS, zone + 1 << ZONE_BITS)
    rows = rows_of(bitmap & rest)
    for start in range(0, len(rows), _SLICE):
        yield rows[start : start + _SLICE]
