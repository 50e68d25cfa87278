"""Who is alive, by what this node sees itself. Layer: cluster.

Each node pings each other once a second. Who gives no sign of life (an answer, a request, or an answer to another node that was
asked to look) is ``suspect`` after :data:`SUSPECT_AFTER_S` and ``dead`` after :data:`DEAD_AFTER_S`. What others suspect only makes this
node look for itself, with less patience. Time in which this node itself did not run counts for nobody.

Sources: Das, Gupta, Motivala: *SWIM* (2002); Dadgar, Phillips, Currey: *Lifeguard* (2017).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from random import Random
from typing import NamedTuple

from attrs import define

ALIVE, SUSPECT, DEAD = "alive", "suspect", "dead"

TICK_S = 0.25
"""Seconds between two looks at the clock."""
PERIOD_S = 1.0
"""Seconds between two pings to one node."""
PROBE_AFTER_S = 1.5
"""Seconds of silence after which others are asked to look."""
TELL_AFTER_S = 2.0
"""Seconds of silence after which pings tell of it: those who were asked to look had their time."""
SUSPECT_AFTER_S = 3.0
DEAD_AFTER_S = 7.0
LOOK_S = 3.0
"""Seconds that this node itself must have asked in vain, whatever others say, before it counts a node as dead."""
LATE_S = 0.5
"""Seconds by which this node's own timer may be late before it doubts itself."""
BY_WAY_OF = 3
"""Nodes that are asked to look."""
FANOUT = 32
"""Nodes pinged per period; in clusters of more, all get their turn, and news of suspects travel with the pings."""
MOST_RUMOURS = 8
"""Suspects told of in one ping."""


class Turn(NamedTuple):
    """A node changed: from one state to another. ``restarted``: a new run of its process; ``stopped``: it said so itself."""

    node: str
    before: str
    after: str
    silence_s: float = 0.0
    restarted: bool = False
    stopped: bool = False


@define
class Peer:
    """What this node knows of another one's life. Times are seconds on this node's clock; infinite: never."""

    state: str
    since: float
    heard: float
    asked: float = -math.inf
    asked_since: float | None = None
    """When it was first asked after it was last heard of."""
    unanswered_since: float | None = None
    """When it was first asked after it last answered itself."""
    rumour: float = math.inf
    """Since when others say that it is silent."""
    probed: float = -math.inf
    incarnation: int = 0
    boot: str = ""
    stopped_boot: str = ""
    fresh: bool = True
    """Nobody heard of it yet since it was first followed."""

    def silence(self, now: float) -> float:
        """For how long it gave no sign of life that it should have given."""
        if self.asked_since is None:
            return 0.0
        return max(0.0, now - max(self.heard, min(self.asked_since - PERIOD_S, self.rumour)))

    def postpone(self, missed_s: float) -> None:
        """Takes time out of all accounts, since this node was not there to see."""
        self.heard += missed_s
        self.since += missed_s
        self.rumour += missed_s
        if self.asked_since is not None:
            self.asked_since += missed_s
        if self.unanswered_since is not None:
            self.unanswered_since += missed_s


class Detector:
    """The lives of all other members. All methods take the time ``now``; none does anything but think."""

    def __init__(self, random: Random) -> None:
        self.peers: dict[str, Peer] = {}
        self._random = random
        self._due: float | None = None
        self._ring: list[str] = []
        self._turn = -math.inf
        self._askable: list[str] | None = None

    def follow(self, nodes: Collection[str], now: float) -> None:
        """From now on these are the other members."""
        self._askable = None
        for gone in self.peers.keys() - set(nodes):
            del self.peers[gone]
        for node in sorted(set(nodes) - self.peers.keys()):
            # Not alive before it gave a sign of life, nor dead before it had its time to give one.
            self.peers[node] = Peer(SUSPECT, now, now, asked=now - self._random.uniform(0.5, 1.0) * PERIOD_S)

    def doubt(self, now: float) -> float:
        """Looks at whether this node's own timer is late, before anything is judged; returns the seconds that it missed."""
        missed = 0.0 if self._due is None else now - self._due
        if missed <= LATE_S:
            return 0.0
        for peer in self.peers.values():
            peer.postpone(missed)
        self._due = now
        return missed

    def tick(self, now: float) -> list[Turn]:
        """Judges; to be called every :data:`TICK_S`."""
        self._due = now + TICK_S
        self._askable = None
        turns = []
        for node, peer in self.peers.items():
            silence = peer.silence(now)
            if peer.state == DEAD or peer.asked_since is None:
                continue
            if silence >= DEAD_AFTER_S and now - peer.asked_since >= LOOK_S:
                turns.append(self._turn_to(node, DEAD, now, silence))
            elif peer.state == ALIVE and silence >= SUSPECT_AFTER_S:
                turns.append(self._turn_to(node, SUSPECT, now, silence))
        return turns

    def _turn_to(self, node: str, state: str, now: float, silence: float = 0.0, **why: bool) -> Turn:
        peer = self.peers[node]
        self._askable = None
        before, peer.state, peer.since = peer.state, state, now
        return Turn(node, before, state, silence, **why)

    def sign(self, node: str, boot: str, incarnation: int, now: float, direct: bool) -> Turn | None:
        """A node gave a sign of life; ``direct``: it answered this node itself. The turn that this is, if any."""
        peer = self.peers.get(node)
        if peer is None or boot == peer.stopped_boot != "" or (boot == peer.boot and incarnation < peer.incarnation):
            return None
        restarted = bool(peer.boot) and boot != peer.boot
        peer.boot, peer.incarnation = boot, incarnation
        peer.stopped_boot = ""
        peer.heard = max(peer.heard, now)
        peer.asked_since = None
        peer.rumour = math.inf
        if direct:
            if peer.unanswered_since is not None and now - peer.unanswered_since >= SUSPECT_AFTER_S:
                self._askable = None
            peer.unanswered_since = None
        fresh, peer.fresh = peer.fresh, False
        if peer.state != ALIVE or restarted:
            turn = self._turn_to(node, ALIVE, now, restarted=restarted)
            return turn._replace(before="") if fresh else turn
        return None

    def stop(self, node: str, boot: str, now: float) -> Turn | None:
        """A node said that it stops: it is dead at once, until another run of its process shows up."""
        peer = self.peers.get(node)
        if peer is None or peer.state == DEAD or (peer.boot and peer.boot != boot):
            return None
        peer.stopped_boot = boot
        peer.asked_since = now if peer.asked_since is None else peer.asked_since
        return self._turn_to(node, DEAD, now, stopped=True)

    def to_ping(self, now: float) -> list[str]:
        """Whom to ping now; they count as asked."""
        due = [node for node in self._in_turn(now) if now - self.peers[node].asked >= PERIOD_S - TICK_S / 2]
        for node in due:
            self._note_asked(self.peers[node], now)
        return due

    def _in_turn(self, now: float) -> Iterable[str]:
        if len(self.peers) <= FANOUT:
            return list(self.peers)
        # Who owes an answer is asked every period; of the others, some.
        urgent = [node for node, peer in self.peers.items() if peer.asked_since is not None and peer.state != DEAD]
        if now - self._turn < PERIOD_S - TICK_S / 2:
            return urgent
        self._turn = now
        chosen = [self._next_in_ring() for _ in range(FANOUT)]
        return dict.fromkeys([*urgent, *chosen])

    def _next_in_ring(self) -> str:
        while True:
            if not self._ring:
                self._ring = sorted(self.peers)
                self._random.shuffle(self._ring)
            node = self._ring.pop()
            if node in self.peers:
                return node

    def _note_asked(self, peer: Peer, now: float) -> None:
        peer.asked = now
        peer.asked_since = now if peer.asked_since is None else peer.asked_since
        peer.unanswered_since = now if peer.unanswered_since is None else peer.unanswered_since

    def to_probe(self, now: float) -> list[tuple[str, str]]:
        """Pairs (whom to ask, whom it shall look for)."""
        pairs: list[tuple[str, str]] = []
        for node, peer in self.peers.items():
            pause = PERIOD_S if peer.state != DEAD else 3 * PERIOD_S
            if peer.silence(now) < PROBE_AFTER_S or now - peer.probed < pause:
                continue
            others = [other for other in self.askable(now) if other != node]
            count = min(len(others), BY_WAY_OF if peer.state != DEAD else 1)
            peer.probed = now
            pairs += [(other, node) for other in self._random.sample(others, count)]
        return pairs

    def askable(self, now: float) -> list[str]:
        """Who is alive and answers this node itself, in order; computed anew where a turn, an answer or a tick may have changed it."""
        if self._askable is None:
            self._askable = self._find_askable(now)
        return self._askable

    def _find_askable(self, now: float) -> list[str]:
        return sorted(
            node
            for node, peer in self.peers.items()
            if peer.state == ALIVE and (peer.unanswered_since is None or now - peer.unanswered_since < SUSPECT_AFTER_S)
        )

    def rumours(self, now: float) -> Iterator[tuple[str, int, float]]:
        """Who is silent, with incarnation and for how long: what pings tell others."""
        told = 0
        for node, peer in self.peers.items():
            silence = peer.silence(now)
            if silence >= TELL_AFTER_S and peer.state != DEAD and not peer.fresh and told < MOST_RUMOURS:
                told += 1
                yield node, peer.incarnation, silence

    def hear_rumour(self, node: str, incarnation: int, silence_s: float, now: float) -> bool:
        """Another says that a node is silent; whether this one should be pinged now to see."""
        peer = self.peers.get(node)
        if peer is None or peer.state == DEAD or incarnation < peer.incarnation or now - peer.heard < PERIOD_S / 2:
            return False
        peer.rumour = min(peer.rumour, max(peer.heard, now - min(silence_s, DEAD_AFTER_S)))
        if now - peer.asked < PERIOD_S / 2:
            return False
        self._note_asked(peer, now)
        return True
