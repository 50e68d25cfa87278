"""What a node knows of its cluster and of its own place in it, and the moves that several events make. Layer: cluster."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from random import Random
from typing import NamedTuple

from tagfs.cluster.admission import GONE, Admission
from tagfs.cluster.clocks import Clocks
from tagfs.cluster.detection import ALIVE, DEAD, Detector, Turn
from tagfs.cluster.effects import Ask, Drop, Effect, Keep, Persist, Say
from tagfs.cluster.founding import Entrance
from tagfs.cluster.members import Roll
from tagfs.cluster.outs import Outs
from tagfs.cluster.pings import Ping, write_ping
from tagfs.cluster.view import ClusterSettings, Member
from tagfs.model.record import Record

PING, PROBE, JOIN, EXCHANGE, BYE = "PING", "PROBE", "JOIN", "EXCHANGE", "BYE"
PING_TIMEOUT_S = 2.0
EXCHANGE_TIMEOUT_S = 5.0
EXCHANGE_PAUSE_S = 1.0
"""Seconds between two exchanges with one node."""
ANY_EXCHANGE_PAUSE_S = 0.1
"""Seconds between two exchanges with any nodes: one that was away differs from all at once, and one exchange is enough."""
RESERVE = 100
"""Incarnations that are reserved durably at a time."""
MOST_REMEMBERED = 32
"""Addresses that are kept durably."""


class Self(NamedTuple):
    """What a node knows of itself at its start. ``incarnation`` is greater than all it ever used; ``boot`` tells this run of its
    process from others; ``cluster`` is the one it belonged to (empty: none); ``settings`` are those that it founds a cluster with."""

    member: Member
    boot: str
    incarnation: int
    cluster: str = ""
    settings: ClusterSettings = ClusterSettings()
    seeds: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()
    merge: bool = False


class Standing:
    """The state of one node's membership. Methods that return effects may change it."""

    def __init__(self, own: Self, random: Random) -> None:
        self.own = own
        self.me = own.member.id
        self.random = random
        self.cluster = own.cluster
        self.roll = Roll()
        self.detector = Detector(random)
        self.clocks = Clocks()
        self.outs = Outs(self.me)
        self.admission = Admission()
        seeds = [*own.remembered, *own.seeds]
        self.entrance = Entrance(self.me, seeds, may_found=not seeds, random=random)
        self.version = 0
        self.wall_ms = 0
        self.entries = False
        self.other: dict[str, str] = {}
        self.refused = ""
        self.refused_until = 0.0
        self.dismissed = False
        self.clock_refusal = ""
        self.askable: list[str] = []
        self.remembered = own.remembered
        self.parting: set[str] = set()
        """Nodes that left and still run: they are asked for what they keep, until they stop."""
        self._kept: dict[str, tuple[str, ...]] = {}
        self._incarnation = own.incarnation
        self._reserved = own.incarnation + RESERVE
        self._exchanged: dict[str, float] = {}
        self._done: dict[Hashable, float] = {}

    def refusal(self) -> str:
        """Why this node must not originate changes; empty where it may."""
        own = self.roll.members.get(self.me)
        if not self.cluster or own is None:
            return f"this node is not in its cluster yet: {self.entrance.why}"
        if not own.present:
            return GONE[own.state]
        return self.refused or self.clock_refusal

    def name(self, node: str) -> str:
        """A node as people know it."""
        member = self.roll.members.get(node)
        return f"node {member.name} ({node[:8]})" if member else f"node {node[:8]}"

    def is_alone(self) -> bool:
        """Whether this node is the only member there ever was."""
        return set(self.roll.members) <= {self.me}

    def may_join_others(self) -> bool:
        """Whether it may leave the cluster that it founded for another one: it is alone there, and has no entries, or is told to
        bring them along (``--merge``)."""
        return self.is_alone() and (not self.entries or self.own.merge)

    def may(self, what: Hashable, pause_s: float, now: float) -> bool:
        """Whether something may be done (again): not within ``pause_s`` of the last time."""
        if now - self._done.get(what, -pause_s) < pause_s:
            return False
        self._done = {key: at for key, at in self._done.items() if now - at < 3600}
        self._done[what] = now
        return True

    def persist(self) -> Persist:
        """Makes durable what must outlive this process."""
        return Persist(self.cluster, self._reserved, self.remembered)

    def ping(self, node: str, now: float) -> Ask:
        """A ping to a node."""
        return Ask(node, PING, facts=write_ping(self.words(now, whole=True)), timeout_s=PING_TIMEOUT_S)

    def words(self, now: float, whole: bool) -> Ping:
        """What this node says of itself; ``whole``: with whom it suspects or sees dead, and the cluster."""
        return Ping(
            self.cluster if whole else "",
            self.own.boot,
            self._incarnation,
            self.roll.hash,
            self.wall_ms,
            tuple(self.detector.rumours(now)) if whole else (),
            self.outs.own(self.roll, self.detector.peers, now) if whole else {},
            self.other,
        )

    def greeting(self) -> dict[str, str]:
        """The facts that a request other than a ping or a join has."""
        return {"cluster": self.cluster, "boot": self.own.boot}

    def exchange(self, node: str, records: Iterable[Record] = ()) -> Ask:
        """Tells a node these records; it answers with all of its own, where that leaves it with others than this node has."""
        facts = {**self.greeting(), "hash": self.roll.hash}
        return Ask(node, EXCHANGE, facts=facts, records=tuple(records), timeout_s=EXCHANGE_TIMEOUT_S)

    def note(self, node: str, boot: str, ping: Ping, now: float, direct: bool) -> Iterator[Effect]:
        """A member spoke, as that run of its process; ``direct``: it answered this node."""
        yield from self.tell(self.detector.sign(node, boot, ping.incarnation, now, direct), now)
        for suspect, incarnation, silence_s in ping.suspects:
            if suspect == self.me:
                yield from self._refute(node, incarnation, now)
            elif self.detector.hear_rumour(suspect, incarnation, silence_s, now):
                yield self.ping(suspect, now)
        self.outs.hear(node, ping.dead, now)
        if ping.hash and ping.hash != self.roll.hash:
            yield from self._compare(node, now)

    def _refute(self, node: str, incarnation: int, now: float) -> Iterator[Effect]:
        """Others suspect this node: it lives, and says so with a greater incarnation."""
        if incarnation < self._incarnation:
            return
        self._incarnation = incarnation + 1
        if self._incarnation >= self._reserved:
            self._reserved = self._incarnation + RESERVE
            yield self.persist()
        if self.may("refuted", 60, now):
            yield Say("warn", f"{self.name(node)} suspects this node to be dead; this node says that it lives")

    def _compare(self, node: str, now: float) -> Iterator[Effect]:
        if now - self._exchanged.get(node, -EXCHANGE_PAUSE_S) >= EXCHANGE_PAUSE_S and self.may(
            "exchange", ANY_EXCHANGE_PAUSE_S, now
        ):
            self._exchanged[node] = now
            yield self.exchange(node)

    def connect(self, now: float) -> Iterator[Effect]:
        """Keeps connections to those that belong to the cluster or are about to be gone, and to no others."""
        members = self.roll.members
        self.parting = {node for node in self.parting if members[node].state == "left"}
        wanted = {node: members[node].addresses for node in {*self.roll.present(), *self.parting} - {self.me}}
        wanted = dict(sorted(wanted.items()))
        self.detector.follow(wanted, now)
        self.clocks.keep_only(wanted)
        for node in sorted(self._kept.keys() - wanted):
            del self._kept[node]
            yield Drop(node)
        for node, addresses in wanted.items():
            if self._kept.get(node) != addresses:
                self._kept[node] = addresses
                yield Keep(node, addresses)
        remembered = tuple(dict.fromkeys(addresses[0] for addresses in wanted.values() if addresses))[:MOST_REMEMBERED]
        if set(remembered) != set(self.remembered):
            self.remembered = remembered
            self.entrance.add(remembered)
            yield self.persist()

    def tell(self, turn: Turn | None, now: float) -> Iterator[Effect]:
        """The story of a turn, in words. A node that left and then stopped is asked no more."""
        if turn is None:
            return
        yield from self._story(turn)
        if turn.after == DEAD and turn.node in self.parting:
            self.parting.discard(turn.node)
            yield from self.connect(now)

    def _story(self, turn: Turn) -> Iterator[Effect]:
        self.version += 1
        name = self.name(turn.node)
        if turn.after == DEAD:
            if turn.stopped:
                yield Say("info", f"{name} stopped")
            else:
                yield Say("warn", f"{name} is dead: nothing was heard from it for {turn.silence_s:.1f} s")
        elif turn.after == ALIVE:
            back = {"": "is there", ALIVE: "lives"}.get(turn.before, "is back")
            yield Say("info", f"{name} was restarted" if turn.restarted else f"{name} {back}")
        elif turn.before == ALIVE:
            yield Say("warn", f"{name} is suspect: nothing was heard from it for {turn.silence_s:.1f} s")
