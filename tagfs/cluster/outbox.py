"""The changes of this node on their way to the others: kept once for all peers, in the order of their numbers. Layer: cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from attrs import define, field

from tagfs.model.record import Ref

OUTBOX_BYTES = 24 << 20
"""Most bytes that wait for slow peers; whoever is further behind asks for what it lacks."""
PUSH_BYTES = 768 << 10
"""About how many bytes one message carries: well below the bound, with room for what is around them."""
RECORD_BYTES = 512 << 10
"""A larger record is not pushed: the others fetch it in pieces."""
_ROW = 64
"""Bytes counted for what is around a record."""


@define(eq=False)
class Copy:
    """A new content that others are to hold. ``data`` is the content where it is small; others are fetched. ``targets`` are
    the nodes that it goes to at once, ``holders`` those that confirmed a durable copy of content and record."""

    entry: str
    digest: bytes
    size: int
    data: bytes | None
    targets: frozenset[str]
    number: int = 0
    holders: set[str] = field(factory=set)


@define(eq=False)
class Outgoing:
    """One numbered change: the record's state as canonical bytes, encoded once for all peers, and its new contents. The bytes
    of a record over :data:`RECORD_BYTES` are left out."""

    number: int
    ref: Ref
    data: bytes
    copies: Sequence[Copy] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes in memory and, at most, on the wire."""
        return len(self.data) + _ROW + sum(len(copy.data or b"") for copy in self.copies)


class Outbox:
    """Changes that follow one another without gap, under one origin. Bounded: the oldest make room."""

    def __init__(self, limit: int = OUTBOX_BYTES) -> None:
        self.origin = ""
        self.last = 0
        """The last number of the origin that is known, whether or not it is still here."""
        self._limit = limit
        self._items: deque[Outgoing] = deque()
        self._size = 0

    @property
    def first(self) -> int:
        """The least number that is here; ``last`` + 1 where nothing is."""
        return self.last + 1 - len(self._items)

    def begin(self, origin: str, last: int) -> None:
        """Numbers of another origin follow; nothing of the old one is left."""
        self.origin, self.last = origin, last
        self._items.clear()
        self._size = 0

    def add(self, items: Iterable[Outgoing]) -> None:
        """Takes the next changes."""
        for item in items:
            assert item.number == self.last + 1, "the numbers of an origin follow one another"
            self.last = item.number
            self._items.append(item)
            self._size += item.size
        while self._size > self._limit and len(self._items) > 1:
            self._drop()

    def trim(self, upto: int) -> None:
        """Nobody needs what is numbered up to there."""
        while self._items and self._items[0].number <= upto:
            self._drop()

    def _drop(self) -> None:
        self._size -= self._items.popleft().size

    def batch(self, start: int, limit: int) -> Sequence[Outgoing]:
        """The changes from the number ``start`` on that fit in one message, at most ``limit``. Empty where none is there, or
        the first is too large to be pushed."""
        taken: list[Outgoing] = []
        size = 0
        for item in islice(self._items, max(0, start - self.first), None):
            size += item.size
            if not item.data or (taken and (size > PUSH_BYTES or len(taken) >= limit)):
                break
            taken.append(item)
        return taken

    def first_for(self, node: str, start: int, upto: int) -> int:
        """The first number from ``start`` to ``upto`` with a content that goes to that node; ``upto`` + 1 where there is none."""
        for item in islice(self._items, max(0, start - self.first), max(0, upto + 1 - self.first)):
            if any(node in copy.targets and node not in copy.holders for copy in item.copies):
                return item.number
        return upto + 1


def condense(items: Sequence[Outgoing]) -> Sequence[Outgoing]:
    """Without the changes that a later one of the same record supersedes; their contents go with the last."""
    last: dict[Ref, Outgoing] = {}
    for item in items:
        before = last.pop(item.ref, None)
        if before is not None and before.copies:
            item = Outgoing(item.number, item.ref, item.data, (*before.copies, *item.copies))
        last[item.ref] = item
    return list(last.values())
