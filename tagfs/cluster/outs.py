"""When the others take a dead node out of the layout, and when it comes back in. Layer: cluster.

A node goes out when a strict majority of the layout, itself counted, has seen it dead for ``out_after``; so a minority never
takes anybody out, nor does one of two. It comes back in when a node sees it alive that also sees alive a strict
majority of the layout that this gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tagfs.cluster.detection import ALIVE, DEAD, Peer
from tagfs.cluster.members import Roll

FRESH_S = 4.0
"""Seconds for which what a node said of the dead counts."""
BACK_AFTER_S = 5.0
"""Seconds that a node must have been alive again before it comes back into the layout."""
MOST_DEAD = 16
"""Dead nodes told of in one ping."""


class Vote(NamedTuple):
    """For how many seconds a node had seen others dead when it said so."""

    dead: Mapping[str, float]
    at: float

    def seen_dead(self, node: str, now: float) -> float:
        """For how long it has seen a node dead by now; less than 0 where it does not, or said nothing lately."""
        if now - self.at > FRESH_S or node not in self.dead:
            return -1.0
        return self.dead[node] + now - self.at


class Outs:
    """What the members say of the dead, and what follows for the layout."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._votes: dict[str, Vote] = {}

    def hear(self, node: str, dead: Mapping[str, float], now: float) -> None:
        """A member's ping says whom it sees dead, and for how long."""
        self._votes[node] = Vote(dead, now)

    def own(self, roll: Roll, peers: Mapping[str, Peer], now: float) -> dict[str, float]:
        """Whom this node sees dead that is still in the layout: the longest dead first."""
        dead = {
            node: now - peer.since
            for node, peer in peers.items()
            if peer.state == DEAD and node in roll.members and roll.members[node].in_layout
        }
        return dict(sorted(dead.items(), key=lambda item: -item[1])[:MOST_DEAD])

    def decide(self, roll: Roll, peers: Mapping[str, Peer], now: float) -> Iterable[tuple[str, bool]]:
        """Pairs (node, whether it is out from now on) that this node shall write now."""
        layout = {place.node for place in roll.layout.places}
        if self._me not in layout:
            return
        alive = {self._me} | {node for node, peer in peers.items() if peer.state == ALIVE}
        if min(alive & layout) != self._me:
            return  # the first one alive writes
        own = self.own(roll, peers, now)
        for node, age in own.items():
            if age >= roll.settings.out_after and self._agree(
                node, layout & alive, roll.settings.out_after, now
            ) * 2 > len(layout):
                yield node, True
        # One late word from a node that is cut off by now is no return, and makes no majority.
        settled = {self._me} | {node for node in alive - {self._me} if now - peers[node].since >= BACK_AFTER_S}
        for node in sorted(settled - {self._me}):
            member = roll.members.get(node)
            if member is not None and member.out and len(settled & (layout | {node})) * 2 > len(layout) + 1:
                yield node, False

    def _agree(self, node: str, voters: Iterable[str], out_after: float, now: float) -> int:
        """How many of the voters see the node dead for that long, this one included."""
        count = 0
        for voter in voters:
            vote = self._votes.get(voter)
            count += voter == self._me or (vote is not None and vote.seen_dead(node, now) >= out_after)
        return count
