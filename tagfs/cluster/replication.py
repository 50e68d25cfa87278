"""Replication decided: what a peer lacks, when to ask it, who holds a content, how many copies an answer needs. Layer: cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tagfs.cluster.view import View
from tagfs.wire.node_records import Vector, mark

GRACE_S = 1.0
"""How long a peer may know more than this node before it is asked: what it has just pushed is under way."""
FRESH_S = 2.0
"""How old what the others were known to have may be, so that an answer counts as complete."""


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
    """The peers to which a new content of a partition goes at once: its live owners, and as many others as ``need`` takes."""
    order = [node for node in view.layout.order(partition) if node in view.alive or node == view.me]
    owners = set(view.layout.owners(partition))
    chosen = [node for node in order if node in owners and node != view.me]
    spare = [node for node in order if node not in owners and node != view.me]
    return frozenset(chosen + spare[: max(0, need - 1 - len(chosen))])


def lacks(mine: Vector, theirs: Vector) -> bool:
    """Whether ``theirs`` has something that ``mine`` does not."""
    return any(number > mine.get(origin, 0) for origin, number in theirs.items())


class Heard(NamedTuple):
    """What a peer had durable at ``at`` (seconds), as marks of origins."""

    at: float
    has: Mapping[bytes, int]


class Freshness:
    """What each peer was last known to have, and so whether this node lacks anything. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._heard: dict[str, deque[Heard]] = {}

    def hear(self, node: str, at: float, has: Mapping[bytes, int]) -> None:
        """A peer had ``has`` at ``at``, or a little later."""
        self._heard.setdefault(node, deque(maxlen=4)).append(Heard(at, has))

    def forget(self, present: Collection[str]) -> None:
        """Only these nodes count any longer."""
        for node in set(self._heard).difference(present):
            del self._heard[node]

    def behind(self, node: str, vector: Vector, now: float) -> bool:
        """Whether something that the peer had :data:`GRACE_S` ago is still not here."""
        marks = marked(vector)
        return any(_lacks(marks, heard.has) for heard in self._heard.get(node, ()) if heard.at <= now - GRACE_S)

    def complete(self, peers: Sequence[str], vector: Vector, now: float) -> bool:
        """Whether all that each of the peers had :data:`FRESH_S` ago is here."""
        if not peers:
            return True
        marks = marked(vector)
        return all(
            any(heard.at >= now - FRESH_S and not _lacks(marks, heard.has) for heard in self._heard.get(node, ()))
            for node in peers
        )


def marked(vector: Vector) -> Mapping[bytes, int]:
    """A vector by the marks of its origins."""
    return {mark(origin): number for origin, number in vector.items()}


def _lacks(mine: Mapping[bytes, int], theirs: Mapping[bytes, int]) -> bool:
    return any(number > mine.get(origin, 0) for origin, number in theirs.items())
