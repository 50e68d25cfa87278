"""Replication decided: what a peer lacks, when to ask it, who holds a content, how many copies an answer needs. Layer: cluster."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from tagfs.cluster.view import View
from tagfs.wire.node_records import Vector

GRACE_S = 1.0
"""How long a peer may know more than this node before it is asked: what it has just pushed is under way."""
FRESH_S = 2.0
"""How old what the others were known to have may be, so that an answer counts as complete."""

_PENDING = 4
"""Vectors of one peer that are remembered while this node lacks something of them."""


class Demand(NamedTuple):
    """Copies of a content: ``want`` in the end, ``usual`` before the writer is answered, ``need`` where not so many can be
    reached; ``reach`` are the nodes that can hold one now."""

    want: int
    usual: int
    need: int
    reach: int

    @property
    def can(self) -> bool:
        """Whether enough nodes can be reached."""
        return self.reach >= self.need


def demand(view: View | None) -> Demand:
    """The copies that a new content needs, by the cluster as it is now; a node without a cluster needs its own only."""
    if view is None or not view.cluster:
        return Demand(1, 1, 1, 1)
    want = max(1, min(view.layout.copies, len(view.layout.places)))
    placed = {place.node for place in view.layout.places}
    reach = len(view.alive & placed | {view.me})
    strict = view.settings.write_copies
    if strict:
        return Demand(want, strict, strict, reach)
    usual = want // 2 + 1
    return Demand(want, usual, max(1, min(usual, reach)), reach)


def receivers(view: View, partition: int, need: int) -> frozenset[str]:
    """The peers to which a new content of a partition goes with its record: the owners, dead ones as soon as they are back, and as
    many others as ``need`` takes."""
    owners = [node for node in view.layout.owners(partition) if node != view.me]
    lacking = need - 1 - len(view.alive.intersection(owners))
    spare = [node for node in view.layout.order(partition) if node in view.alive and node not in (view.me, *owners)]
    return frozenset(owners + spare[: max(0, lacking)])


def lacks(mine: Vector, theirs: Vector) -> bool:
    """Whether ``theirs`` has something that ``mine`` does not."""
    return any(number > mine.get(origin, 0) for origin, number in theirs.items())


class _Heard(NamedTuple):
    """What a peer had at ``at``, and what was here when it was heard."""

    at: float
    has: Vector
    mine: Vector


class Freshness:
    """What each peer was last known to have, and so whether this node lacks anything. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._fresh: dict[str, float] = {}
        self._pending: dict[str, deque[_Heard]] = {}

    def hear(self, node: str, at: float, has: Vector, mine: Vector) -> None:
        """A peer had ``has`` at ``at``, or a little later; this node has ``mine``."""
        self._pending.setdefault(node, deque(maxlen=_PENDING)).append(_Heard(at, has, mine))
        self._settle(node, mine)

    def forget(self, present: Collection[str]) -> None:
        """Only these nodes count any longer."""
        for node in set(self._pending).difference(present):
            del self._pending[node]
            self._fresh.pop(node, None)

    def behind(self, node: str, mine: Vector, now: float) -> bool:
        """Whether something that the peer had :data:`GRACE_S` ago is not here, nor on its way: nothing more of its origin came since."""
        self._settle(node, mine)
        return any(
            number > mine.get(origin, 0) == heard.mine.get(origin, 0)
            for heard in self._pending.get(node, ())
            if heard.at <= now - GRACE_S
            for origin, number in heard.has.items()
        )

    def has_caught_up(self, node: str, mine: Vector) -> bool:
        """Whether this node had all that the peer had, at some time since it was first asked."""
        self._settle(node, mine)
        return node in self._fresh

    def complete(self, peers: Sequence[str], mine: Vector, now: float) -> bool:
        """Whether all that each of the peers had :data:`FRESH_S` ago is here."""
        for node in peers:
            if self._fresh.get(node, -math.inf) < now - FRESH_S:
                self._settle(node, mine)
                if self._fresh.get(node, -math.inf) < now - FRESH_S:
                    return False
        return True

    def _settle(self, node: str, mine: Vector) -> None:
        """What was lacking and came meanwhile is here, and so is all that the peer had before."""
        pending = self._pending.get(node)
        for heard in reversed(pending or ()):
            if not lacks(mine, heard.has):
                self._fresh[node] = max(heard.at, self._fresh.get(node, -math.inf))
                break
        while pending and pending[0].at <= self._fresh.get(node, -math.inf):
            pending.popleft()
