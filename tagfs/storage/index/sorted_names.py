"""Names in order, that come and go one at a time. Layer: storage."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

_LENGTH = 1024
"""Names per list: what an insertion moves is at most twice that."""


class SortedNames:
    """A sorted set of names, in lists of bounded length, so that no change takes long, however many there are."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        ordered = sorted(names)
        self._lists = [ordered[start : start + _LENGTH] for start in range(0, len(ordered), _LENGTH)]
        self._firsts = [part[0] for part in self._lists]

    def add(self, name: str) -> None:
        """Adds a name that is not there."""
        at = max(bisect_right(self._firsts, name) - 1, 0)
        if not self._lists:
            self._lists.append([])
            self._firsts.append(name)
        part = self._lists[at]
        insort(part, name)
        self._firsts[at] = part[0]
        if len(part) > 2 * _LENGTH:
            self._lists.insert(at + 1, part[_LENGTH:])
            self._firsts.insert(at + 1, part[_LENGTH])
            del part[_LENGTH:]

    def remove(self, name: str) -> None:
        """Removes a name that is there."""
        at = bisect_right(self._firsts, name) - 1
        part = self._lists[at]
        del part[bisect_left(part, name)]
        if part:
            self._firsts[at] = part[0]
        else:
            del self._lists[at], self._firsts[at]

    def beginning(self, prefix: str, after: str = "") -> Iterator[str]:
        """The names that begin with ``prefix`` and come behind ``after``, in order. Nothing may be changed before the last is
        taken."""
        for part, start, end in self._ranges(prefix):
            if start < end and part[end - 1] > after:
                yield from part[max(start, bisect_right(part, after)) : end]

    def count(self, prefix: str) -> int:
        """How many names begin with ``prefix``."""
        return sum(end - start for _, start, end in self._ranges(prefix))

    def _ranges(self, prefix: str) -> Iterator[tuple[list[str], int, int]]:
        at = max(bisect_right(self._firsts, prefix) - 1, 0)
        for part in self._lists[at:]:
            start = bisect_left(part, prefix)
            end = bisect_left(part, True, lo=start, key=lambda name: not name.startswith(prefix))
            yield part, start, end
            if end < len(part):
                return
