"""For each number, the rows that have it. Layer: storage.

A set of rows is a roaring bitmap; a single row, which is all that a title or an exact time has, is kept as what it is: a
bitmap of it would take 155 bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from pyroaring import BitMap

from tagfs.storage.index.rowsets import NOTHING, union

_SINGLE = 4
"""Bytes of a single row in its packed form; a packed bitmap has at least 8."""


class Postings:
    """Sets of rows by number; bitmaps that are handed out must not be changed."""

    def __init__(self) -> None:
        # NOTHING stands for no rows, an int for a single one.
        self._sets: list[BitMap | int] = []

    def __len__(self) -> int:
        return len(self._sets)

    def grow(self) -> None:
        """Makes the next number, which has no rows."""
        self._sets.append(NOTHING)

    def add(self, number: int, row: int) -> None:
        """Adds a row."""
        known = self._sets[number]
        if known is NOTHING:
            self._sets[number] = row
        elif isinstance(known, int):
            self._sets[number] = BitMap((known, row))
        else:
            known.add(row)

    def add_many(self, number: int, rows: array[int]) -> None:
        """Adds rows."""
        known = self._sets[number]
        if len(rows) == 1:
            self.add(number, rows[0])
        elif known is NOTHING:
            self._sets[number] = BitMap(rows, optimize=False)
        elif isinstance(known, int):
            made = self._sets[number] = BitMap(rows, optimize=False)
            made.add(known)
        else:
            known |= BitMap(rows, optimize=False)

    def discard(self, number: int, row: int) -> bool:
        """Takes a row that is there away; returns whether none is left."""
        known = self._sets[number]
        if not isinstance(known, int):
            known.remove(row)
            if known:
                return False
        self._sets[number] = NOTHING
        return True

    def rows(self, number: int) -> BitMap:
        """The rows of a number."""
        known = self._sets[number]
        return BitMap((known,)) if isinstance(known, int) else known

    def count(self, number: int) -> int:
        """How many rows a number has."""
        known = self._sets[number]
        return 1 if isinstance(known, int) else len(known)

    def union(self, numbers: Iterable[int]) -> BitMap:
        """The rows of any of the numbers."""
        sets = [self._sets[number] for number in numbers]
        singles = BitMap(array("I", [known for known in sets if isinstance(known, int)]))
        return union([singles, *[known for known in sets if not isinstance(known, int)]])

    def pack(self, number: int) -> bytes:
        """The rows of a number as bytes; none where there are none."""
        known = self._sets[number]
        if isinstance(known, int):
            return known.to_bytes(_SINGLE, "little")
        return known.serialize() if known else b""

    def unpack(self, packed: bytes) -> None:
        """Makes the next number, with the rows that :meth:`pack` gave."""
        if len(packed) == _SINGLE:
            self._sets.append(int.from_bytes(packed, "little"))
        else:
            self._sets.append(BitMap.deserialize(packed) if packed else NOTHING)
