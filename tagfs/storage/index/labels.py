"""Labels, which are tags or media types, and the rows that have them: a number and a roaring bitmap each. Layer: storage."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagfs.model.names import split_tag
from tagfs.storage.index.rowsets import NOTHING, Rows

Numbers = NDArray[np.uint32]


class Labels:
    """All labels of one sort that some row has.

    Numbers are small and used again once nothing has the label any more. The attributes are for reading; bitmaps
    in them must not be changed.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.names: list[str] = []
        self.rows: list[BitMap] = []
        self.live: list[int] = []
        """Per number: how many rows outside the trash have the label."""
        self.in_use = 0
        """How many labels have such a row."""
        self.forgotten = 0
        """How many labels were ever forgotten: as long as it stays, numbers mean the same."""
        self.keys: dict[str, set[int]] = {}
        """The numbers of the labels ``key=…`` of each key."""
        self._free: list[int] = []
        # The sorted names are made when asked for; these two are what changed since.
        self._sorted: list[str] = []
        self._born: dict[str, None] = {}
        self._dead: set[str] = set()

    def number(self, name: str) -> int:
        """The number of a label, which is made where it is new; the caller then gives some row that label."""
        found = self.numbers.get(name)
        return self._add(name) if found is None else found

    def rows_of(self, name: str) -> BitMap:
        """The rows that have a label."""
        number = self.numbers.get(name)
        return NOTHING if number is None else self.rows[number]

    def put(self, row: int, numbers: Iterable[int]) -> None:
        """Gives a row more labels."""
        rows = self.rows
        for number in numbers:
            rows[number].add(row)

    def numbers_of(self, names: Sequence[str]) -> Numbers:
        """:meth:`number` of many labels."""
        known = self.numbers
        for name in set(names).difference(known):
            self._add(name)
        return np.fromiter(map(known.__getitem__, names), dtype=np.uint32, count=len(names))

    def put_many(self, rows: Rows, numbers: Numbers) -> None:
        """Gives each row (ascending) the label beside it; rows with several labels are there several times."""
        if not len(rows):
            return
        order = np.argsort(numbers, kind="stable")
        grouped = array("I", rows[order].tobytes())
        ordered = numbers[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] + 1))
        ends = [*starts[1:].tolist(), len(grouped)]
        for number, start, end in zip(ordered[starts].tolist(), starts.tolist(), ends, strict=True):
            self.rows[number] |= BitMap(grouped[start:end], optimize=False)

    def count_many_live(self, numbers: Numbers) -> None:
        """Counts one more row outside the trash for each number, as often as it is there."""
        counts = np.bincount(numbers)
        for number in np.flatnonzero(counts).tolist():
            self.in_use += not self.live[number]
            self.live[number] += int(counts[number])

    def restore(self, names: list[str], rows: list[BitMap], live: list[int]) -> None:
        """Makes these labels, by number, all there are; those that no row has stand for numbers that are free."""
        self.names, self.rows, self.live = names, rows, live
        self.in_use = sum(map(bool, live))
        for number, name in enumerate(names):
            if rows[number]:
                self._name(number, name)
            else:
                self._free.append(number)

    def take(self, row: int, numbers: Iterable[int]) -> None:
        """Takes labels off a row; a label that no row has any more is forgotten."""
        for number in numbers:
            rows = self.rows[number]
            rows.discard(row)
            if not rows:
                self._forget(number)

    def count_live(self, numbers: Iterable[int], change: int) -> None:
        """Counts ``change`` more (or fewer) rows outside the trash for each of these labels."""
        live = self.live
        for number in numbers:
            before = live[number]
            live[number] = after = before + change
            if not before:
                self.in_use += 1
            elif not after:
                self.in_use -= 1

    def ordered(self) -> list[str]:
        """All labels, sorted; not to be changed, and never changed afterwards."""
        if self._dead:
            self._sorted = [name for name in self._sorted if name not in self._dead]
        if self._born:
            # Sorting what is nearly sorted takes about one comparison per label.
            self._sorted = sorted([*self._sorted, *self._born])
        self._born, self._dead = {}, set()
        return self._sorted

    def beginning(self, prefix: str) -> list[str]:
        """All labels that begin with ``prefix``, sorted."""
        names = self.ordered()
        start = bisect_left(names, prefix)
        end = bisect_left(names, True, lo=start, key=lambda name: not name.startswith(prefix))
        return names[start:end]

    def _add(self, name: str) -> int:
        if self._free:
            number = self._free.pop()
            self.names[number] = name
        else:
            number = len(self.names)
            self.names.append(name)
            self.rows.append(BitMap())
            self.live.append(0)
        self._name(number, name)
        return number

    def _name(self, number: int, name: str) -> None:
        self.numbers[name] = number
        split = split_tag(name)
        if split:
            self.keys.setdefault(split[0], set()).add(number)
        if name in self._dead:
            self._dead.discard(name)
        else:
            self._born[name] = None

    def _forget(self, number: int) -> None:
        assert not self.live[number]
        name = self.names[number]
        del self.numbers[name]
        self._free.append(number)
        self.forgotten += 1
        split = split_tag(name)
        if split:
            numbers = self.keys[split[0]]
            numbers.discard(number)
            if not numbers:
                del self.keys[split[0]]
        if name in self._born:
            del self._born[name]
        else:
            self._dead.add(name)
