"""What the doors count: commands by door and outcome, how long they took, open connections. Layer: front.

Kept as plain numbers, since a command of the tag protocol costs some tens of microseconds in all; what shows them to Prometheus
is in :mod:`tagfs.front.web.metrics`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper ends of the buckets in seconds: a query takes a millisecond, an upload may take minutes."""


class Series:
    """One command of one door."""

    __slots__ = ("buckets", "codes", "sum_s")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        """How often it ended with which code."""
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        """How often it took so long, the last one for longer than all bounds."""
        self.sum_s = 0.0


class Row(NamedTuple):
    """A series with its names."""

    door: str
    command: str
    series: Series


class Tally:
    """The counts of all doors of a node. ``command`` is a verb or a route, never what a client made up, so that the number of
    series stays bounded."""

    def __init__(self) -> None:
        self.connections: Counter[str] = Counter()
        """Open connections by door."""
        self._series: dict[tuple[str, str], Series] = {}

    def count(self, door: str, command: str, code: int, seconds: float) -> None:
        """A command has had its last reply."""
        series = self._series.get((door, command))
        if series is None:
            series = self._series[door, command] = Series()
        series.codes[code] = series.codes.get(code, 0) + 1
        series.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        series.sum_s += seconds

    def __iter__(self) -> Iterator[Row]:
        """All series, by door and command."""
        for (door, command), series in sorted(self._series.items(), key=lambda item: item[0]):
            yield Row(door, command, series)
