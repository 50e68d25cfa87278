"""Labels, which are tags or media types, and the rows that have them. Layer: storage."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagfs.model.names import split_tag
from tagfs.storage.index.postings import Postings
from tagfs.storage.index.rowsets import NOTHING, Rows
from tagfs.storage.index.sorted_names import SortedNames

Numbers = NDArray[np.uint32]

_LOG = 1 << 16


class Labels:
    """All labels of one sort that some row has.

    Each has a number, small, and used again once no row has the label any more. The attributes are for reading.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.names: list[str] = []
        """By number; of a number that is free, whatever it was."""
        self.postings = Postings()
        self.live = array("Q")
        """By number: how many rows outside the trash have the label."""
        self.in_use = 0
        """How many labels have such a row."""
        self.ordered = SortedNames()
        self.keys: dict[str, set[int]] = {}
        """The numbers of the labels ``key=…`` of each key."""
        self.given: list[int] = []
        """Every number that was given to a name, in order, since :attr:`era` began."""
        self.era = 0
        self.forgotten = 0
        """How many labels were ever forgotten: as long as it stays, every number means what it meant."""
        self._free: list[int] = []

    def number(self, name: str) -> int:
        """The number of a label, which is made where it is new; the caller then gives some row that label."""
        found = self.numbers.get(name)
        return self._add(name) if found is None else found

    def numbers_of(self, names: Sequence[str]) -> Numbers:
        """:meth:`number` of many labels."""
        known = self.numbers
        for name in set(names).difference(known):
            self._add(name)
        return np.fromiter(map(known.__getitem__, names), dtype=np.uint32, count=len(names))

    def rows_of(self, name: str) -> BitMap:
        """The rows that have a label; not to be changed."""
        number = self.numbers.get(name)
        return NOTHING if number is None else self.postings.rows(number)

    def put(self, row: int, numbers: Iterable[int]) -> None:
        """Gives a row more labels."""
        add = self.postings.add
        for number in numbers:
            add(number, row)

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
            self.postings.add_many(number, grouped[start:end])

    def take(self, row: int, numbers: Iterable[int]) -> None:
        """Takes labels off a row; a label that no row has any more is forgotten."""
        for number in numbers:
            if self.postings.discard(number, row):
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

    def count_many_live(self, numbers: Numbers) -> None:
        """Counts one more row outside the trash for each number, as often as it is there."""
        counts = np.bincount(numbers)
        found = np.flatnonzero(counts)
        for number, count in zip(found.tolist(), counts[found].tolist(), strict=True):
            self.in_use += not self.live[number]
            self.live[number] += count

    def restore(self, names: list[str], packed: Iterable[bytes], live: array[int]) -> None:
        """Makes these labels, by number, all there are; those without rows stand for numbers that are free."""
        self.names, self.live = names, live
        self.in_use = len(live) - live.count(0)
        for number, (name, rows) in enumerate(zip(names, packed, strict=True)):
            self.postings.unpack(rows)
            if rows:
                self._name(number, name)
            else:
                self._free.append(number)
        self.ordered = SortedNames(self.numbers)

    def _add(self, name: str) -> int:
        if self._free:
            number = self._free.pop()
            self.names[number] = name
        else:
            number = len(self.names)
            self.names.append(name)
            self.postings.grow()
            self.live.append(0)
        self._name(number, name)
        self.ordered.add(name)
        if len(self.given) > _LOG + len(self.names):
            self.given.clear()
            self.era += 1
        self.given.append(number)
        return number

    def _name(self, number: int, name: str) -> None:
        self.numbers[name] = number
        split = split_tag(name)
        if split:
            self.keys.setdefault(split[0], set()).add(number)

    def _forget(self, number: int) -> None:
        assert not self.live[number]
        name = self.names[number]
        del self.numbers[name]
        self.ordered.remove(name)
        self._free.append(number)
        self.forgotten += 1
        split = split_tag(name)
        if split:
            numbers = self.keys[split[0]]
            numbers.discard(number)
            if not numbers:
                del self.keys[split[0]]
