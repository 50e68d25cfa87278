"""Which numbered changes of an origin are here: the bookkeeping behind a catalog's vector. Layer: storage.

An origin (``node/epoch``) numbers the changes it makes 1, 2, 3, …. They may arrive here in any order, and some never arrive under
their own number, since a later change of the same record supersedes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MAX_RANGES = 1_000
"""Most ranges past a gap that are remembered per origin; forgetting the last ones only makes the vector late."""


class Received(NamedTuple):
    """The numbers of one origin that are here: all up to ``upto``, and behind gaps those of ``ranges`` (first and last
    of each; ascending, apart from each other and from ``upto``)."""

    upto: int = 0
    ranges: tuple[tuple[int, int], ...] = ()

    def add(self, numbers: Iterable[int]) -> Received:
        """With those numbers here, too."""
        return self._joined(self.upto, [*self.ranges, *((number, number) for number in numbers)])

    def cover(self, number: int) -> Received:
        """With everything up to ``number`` here."""
        return self if number <= self.upto else self._joined(number, list(self.ranges))

    @staticmethod
    def _joined(upto: int, ranges: list[tuple[int, int]]) -> Received:
        ranges.sort()
        apart: list[tuple[int, int]] = []
        for first, last in ranges:
            if first <= upto + 1:
                upto = max(upto, last)
            elif apart and first <= apart[-1][1] + 1:
                apart[-1] = (apart[-1][0], max(apart[-1][1], last))
            else:
                apart.append((first, last))
        return Received(upto, tuple(apart[:MAX_RANGES]))


def origin(node: str, epoch: str) -> str:
    """The name under which a node's changes are numbered while it is in that epoch."""
    return f"{node}/{epoch}"
