"""Which contents a node owes itself, in which order they are fetched, and when one it does not owe may go. Layer: cluster."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Set
from typing import NamedTuple

from attrs import define, field

from tagfs.cluster.placement import Layout

MAX_OWED = 20_000
"""Contents that a queue remembers; a scan of the catalog finds the others again."""
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 600.0
"""How long a content that could not be fetched waits at least and at most; twice as long each time between."""


def owners(layout: Layout, partitions: Iterable[int]) -> frozenset[str]:
    """The nodes that are to hold a content to which entries of these partitions refer."""
    return frozenset(node for partition in partitions for node in layout.owners(partition))


def may_drop(me: str, layout: Layout, partitions: Collection[int], proofs: Mapping[str, str]) -> bool:
    """Whether this node may drop a content to which entries of these partitions refer.

    ``proofs`` has the nodes that proved, when asked for this, that they hold it durably, each with the id of the layout
    that it proved it under: it must be the present one, in which this node is none of the owners and all of them proved
    theirs. An empty layout owes nothing to anybody, and allows nothing.
    """
    wanted = owners(layout, partitions)
    return bool(wanted) and me not in wanted and all(proofs.get(node) == layout.id for node in wanted)


class Owed(NamedTuple):
    """A content that this node is to hold and does not; ``entry`` is the id of one of the entries that refer to it."""

    digest: bytes
    size: int
    entry: str


@define(eq=False)
class _Waiting:
    owed: Owed
    copies: int
    due_s: float
    failures: int = 0
    running: bool = False
    ticket: int = 0
    """Which of its places in the queue holds."""


@define(eq=False)
class OwedQueue:
    """The contents owed, in order: fewest copies first; one that failed waits longer each time.

    Bounded: beyond ``limit`` the one with the most copies is left out, and :attr:`overflowed` says that a scan will find more.
    """

    limit: int = MAX_OWED
    overflowed: bool = False
    done: int = 0
    """Contents that came since the start."""
    done_bytes: int = 0
    """Their bytes."""
    failed: int = 0
    """Attempts that did not succeed."""
    _waiting: dict[bytes, _Waiting] = field(factory=dict)
    _by_copies: dict[int, set[bytes]] = field(factory=lambda: defaultdict(set))
    _order: list[tuple[int, int, bytes]] = field(factory=list)
    _later: list[tuple[float, int, bytes]] = field(factory=list)
    _tickets: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Contents taken and not settled yet."""
        return sum(waiting.running for waiting in self._waiting.values())

    @property
    def owed_bytes(self) -> int:
        """The bytes of all of them."""
        return sum(waiting.owed.size for waiting in self._waiting.values())

    def add(self, owed: Owed, copies: int, now_s: float) -> None:
        """A content is owed, and has so many copies on live nodes now."""
        known = self._waiting.get(owed.digest)
        if known is not None:
            if known.copies != copies and not known.running:
                self._by_copies[known.copies].discard(owed.digest)
                self._by_copies[copies].add(owed.digest)
                known.copies = copies
                self._place(known, now_s)
            return
        if len(self._waiting) >= self.limit and not self._make_room(copies):
            return
        waiting = self._waiting[owed.digest] = _Waiting(owed, copies, now_s)
        self._by_copies[copies].add(owed.digest)
        self._place(waiting, now_s)

    def take(self, now_s: float) -> Owed | None:
        """The next to fetch, or None where nothing is due. It is to be settled by :meth:`succeeded`, :meth:`forget` or
        :meth:`fail`."""
        while self._later and self._later[0][0] <= now_s:
            _, ticket, digest = heapq.heappop(self._later)
            waiting = self._waiting.get(digest)
            if waiting is not None and waiting.ticket == ticket:
                self._place(waiting, now_s)
        while self._order:
            _, ticket, digest = heapq.heappop(self._order)
            waiting = self._waiting.get(digest)
            if waiting is not None and waiting.ticket == ticket:
                waiting.running = True
                return waiting.owed
        return None

    def next_due_s(self) -> float | None:
        """When the next of those that wait after a failure is due."""
        return self._later[0][0] if self._later else None

    def succeeded(self, digest: bytes) -> None:
        """It is here now."""
        waiting = self.forget(digest)
        if waiting is not None:
            self.done += 1
            self.done_bytes += waiting.size

    def forget(self, digest: bytes) -> Owed | None:
        """It is not owed any more, or was found here."""
        waiting = self._waiting.pop(digest, None)
        if waiting is None:
            return None
        self._by_copies[waiting.copies].discard(digest)
        return waiting.owed

    def fail(self, digest: bytes, now_s: float) -> int:
        """It could not be fetched; how often by now."""
        waiting = self._waiting.get(digest)
        if waiting is None:
            return 0
        self.failed += 1
        waiting.running = False
        waiting.failures += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (waiting.failures - 1))
        waiting.due_s = now_s + pause_s
        self._place(waiting, now_s)
        return waiting.failures

    def hurry(self, now_s: float) -> None:
        """Something changed about the nodes: all that wait after a failure are due now."""
        for waiting in self._waiting.values():
            if waiting.due_s > now_s and not waiting.running:
                waiting.due_s = now_s
                waiting.failures = 0
                self._place(waiting, now_s)

    def clear(self) -> None:
        """Forgets all that is not running: a scan finds what is owed by another layout."""
        for digest in [digest for digest, waiting in self._waiting.items() if not waiting.running]:
            self.forget(digest)
        self._order.clear()
        self._later.clear()
        self.overflowed = False

    def _place(self, waiting: _Waiting, now_s: float) -> None:
        self._tickets += 1
        waiting.ticket = self._tickets
        digest = waiting.owed.digest
        if waiting.due_s > now_s:
            heapq.heappush(self._later, (waiting.due_s, waiting.ticket, digest))
        else:
            heapq.heappush(self._order, (waiting.copies, waiting.ticket, digest))
        if len(self._order) + len(self._later) > 4 * self.limit:
            self._tidy()

    def _tidy(self) -> None:
        """Leaves out places that hold no more."""
        holds = {waiting.ticket for waiting in self._waiting.values()}
        self._order = [place for place in self._order if place[1] in holds]
        self._later = [place for place in self._later if place[1] in holds]
        heapq.heapify(self._order)
        heapq.heapify(self._later)

    def _make_room(self, copies: int) -> bool:
        """Leaves out one with more copies, if there is one."""
        self.overflowed = True
        most = max((number for number, digests in self._by_copies.items() if digests), default=copies)
        if most <= copies:
            return False
        left_out = next((each for each in self._by_copies[most] if not self._waiting[each].running), None)
        if left_out is not None:
            self.forget(left_out)
        return left_out is not None


def still_surplus(found: Iterable[bytes], since_s: Mapping[bytes, float], now_s: float) -> dict[bytes, float]:
    """Since when each of the contents ``found`` is held without being owed, given what was known before."""
    return {digest: since_s.get(digest, now_s) for digest in found}


def ripe(since_s: Mapping[bytes, float], now_s: float, delay_s: float) -> Set[bytes]:
    """Those that were not owed for the whole delay."""
    return {digest for digest, since in since_s.items() if now_s - since >= delay_s}
