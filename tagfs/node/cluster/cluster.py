"""The driver of the membership: events in from connections, clock and catalog, effects out to them. Layer: node.

What to do is decided in :mod:`tagfs.cluster.membership`; here it is done, in order, and nowhere else. The same code runs in
production and in the simulator (``tests/sim``).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from twisted.internet.defer import DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from tagfs.cluster.detection import TICK_S
from tagfs.cluster.effects import Asked, Event, Heard, Learnt, Tick
from tagfs.cluster.members import SETTINGS, check_member, is_ours, member_ref, unpack
from tagfs.cluster.membership import Membership
from tagfs.cluster.orders import find_member, order, settings_change
from tagfs.cluster.pings import MOST_OTHER, OWN
from tagfs.cluster.standing import BYE, EXCHANGE, JOIN, PING, PROBE, Self
from tagfs.cluster.view import ClusterSettings, Member, View
from tagfs.errors import Unavailable, Unwelcome
from tagfs.model.record import Record, Ref, Value
from tagfs.node.cluster.interpreter import Interpreter, Listener, call_of
from tagfs.node.cluster.records import Records
from tagfs.node.cluster.state import State, Stored
from tagfs.node.cluster.trace import Trace
from tagfs.node.peers.interfaces import Caller, IPeers
from tagfs.wire.node_messages import Answer, Call

MEMBERS = "MEMBERS"
BYE_S = 1.0
"""Seconds that a stop waits at most for the others to take note."""


class Start(NamedTuple):
    """What is known of a node at its start. ``addresses``: where others reach it; ``settings``: those it founds a cluster with;
    ``seeds``: addresses of members (``--join``): with any it never founds one; ``boot`` tells this run of its process from others."""

    name: str
    addresses: tuple[str, ...]
    boot: str
    zone: str = ""
    host: str = ""
    capacity: int = 1
    settings: ClusterSettings = ClusterSettings()
    seeds: tuple[str, ...] = ()
    merge: bool = False


class Cluster:
    """One node's part in its cluster. Nothing happens before :meth:`start`, but for the services that it registers with ``peers``.

    ``seconds`` is a clock that never goes back, ``now_ms`` the wall clock; ``entries`` tells whether this node has any; ``seed`` is that
    of its chance. Raises StartError, or BadRequest for facts that make no member record.
    """

    log = Logger()

    def __init__(
        self,
        peers: IPeers,
        clock: IReactorTime,
        records: Records,
        state: State,
        start: Start,
        *,
        entries: Callable[[], bool] = lambda: False,
        seconds: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        seed: int | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._peers = peers
        self._clock = clock
        self._records = records
        self._entries = entries
        self._seconds = seconds
        self._now_ms = now_ms
        self._trace = trace
        self._sources: list[Callable[[], Mapping[str, str]]] = []
        self._watchers: list[Callable[[View], None]] = []
        self._tick: IDelayedCall | None = None
        self._running = False
        self._interpreter = Interpreter(peers, clock, records, state, self._happen, seconds, now_ms)
        own, seed = self._own(start, state.load()), secrets.randbits(64) if seed is None else seed
        self.membership = Membership(own, Random(seed))
        self.view = self.membership.view()
        self._shown = self.membership.version
        if trace is not None:
            trace.begin(own, seed)
        records.watch(self.learn)
        for verb in (PING, PROBE, JOIN, EXCHANGE, BYE):
            peers.serve(verb, self._asked)
        peers.serve(MEMBERS, self._members, by_hand=True)

    def _own(self, start: Start, stored: Stored) -> Self:
        member = Member(self._peers.id, start.name, start.addresses, start.zone, start.host, start.capacity)
        return Self(
            check_member(member),
            start.boot,
            stored.incarnations,
            stored.cluster,
            start.settings,
            tuple(seed for seed in start.seeds if seed not in start.addresses),
            tuple(address for address in stored.addresses if address not in start.addresses),
            start.merge,
        )

    # --- for the rest of the node ---------------------------------------------------------------------------------

    @property
    def refusal(self) -> str:
        """Why this node must not originate changes now (not joined yet, left, its clock, …); empty where it may."""
        return self.membership.standing.refusal()

    @property
    def clock_warnings(self) -> int:
        """How often the clock of another node was found more than half a second apart from this one's."""
        return self.membership.standing.clocks.warnings

    def clock_offset_ms(self, node: str) -> float:
        """By how many milliseconds a member's clock is ahead of this one's, as last measured; 0 where it was not."""
        return self.membership.standing.clocks.offset(node)

    def watch(self, changed: Callable[[View], None]) -> None:
        """Tells each new :attr:`view`, from now on."""
        self._watchers.append(changed)

    def tell(self, source: Callable[[], Mapping[str, str]]) -> None:
        """What this gives is told to all members in every ping: short facts whose names no other part uses."""
        self._sources.append(source)

    def listen(self, listener: Listener) -> None:
        """Tells (node id, facts, when it was asked: seconds of the reactor's clock) whenever a member's answer to a ping told facts
        of its other parts, about once a second each."""
        self._interpreter.listeners.append(listener)

    def on_dismissal(self, call: Callable[[], None]) -> None:
        """Calls that once it is known that the cluster forgot this node."""
        self._interpreter.dismissed = call

    def heard(self, address: str, node: str, cluster: str, founding: bool) -> None:
        """A beacon of the same key: that node listens at ``address``, in that cluster (empty: none yet); ``founding``: it waits
        whether to found one."""
        self._happen(Heard(address, node, cluster, founding))

    @property
    def is_founding(self) -> bool:
        """Whether this node is in no cluster and would found one: what its beacons say."""
        return not self.view.cluster and self.membership.standing.entrance.may_found

    def learn(self, records: Sequence[Record]) -> None:
        """These states became durable here; others than member and settings records are ignored."""
        ours = tuple(record for record in records if is_ours(record))
        if ours:
            self._happen(Learnt(ours))

    @property
    def introduced_as(self) -> str:
        """The cluster to say when this node introduces itself on a connection: none as long as it is alone in one that it
        founded, so that it may still meet, and perhaps join, another one of the same key."""
        return "" if self.membership.standing.is_alone() else self.view.cluster

    def unwelcome(self, caller: Caller) -> Unwelcome | None:
        """Why a node may not even connect (it was forgotten, or is a second process of one id); None where it may."""
        known = caller.node in self.view.members
        return self.membership.objection_to(caller.node, caller.boot, self._seconds()) if known else None

    async def leave(self, node: str) -> None:
        """Takes a node out of the cluster for good; it is alive and hands over what it has. ``node``: id, name, or the
        beginning of an id; so for the next two. Raises NotFound, Conflict, Unavailable."""
        await self._order("leave", node)

    async def forget(self, node: str) -> None:
        """Takes a dead node out of the cluster for good; it may come back as a new one only."""
        await self._order("forget", node)

    async def drain(self, node: str) -> None:
        """Places no contents on a node any more."""
        await self._order("drain", node)

    async def set_settings(self, changed: Mapping[str, Value]) -> None:
        """Changes settings of the whole cluster. Raises BadRequest, Conflict, Unavailable."""
        await self._write(SETTINGS, settings_change(self.view, changed))

    async def _order(self, what: str, node: str) -> None:
        member = find_member(self.view, node)
        await self._write(member_ref(member.id), order(self.view, what, member))

    async def _write(self, ref: Ref, fields: Mapping[str, Value]) -> None:
        if fields:
            await self._records.change(ref, fields)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins. Raises what the catalog raises."""
        records = self._records.load()
        self._running = True
        self._interpreter.run(self.membership.standing.persist())  # a range of incarnations that this run alone may use
        self._happen(Learnt(tuple(records)))
        self._turn()

    async def stop(self) -> None:
        """Tells the others that this node stops, and ends everything."""
        if not self._running:
            return
        self._running = False
        if self._tick is not None:
            self._tick.cancel()
        byes = [self._peers.ask(bye.node, call_of(bye), BYE_S) for bye in self.membership.stop()]
        await DeferredList(byes, consumeErrors=True)
        self._interpreter.stop()
        if self._trace is not None:
            self._trace.close()

    def _turn(self) -> None:
        self._tick = self._clock.callLater(TICK_S, self._turn)
        self._happen(Tick(self._now_ms(), self._entries(), self._facts()))

    def _facts(self) -> Mapping[str, str]:
        facts: dict[str, str] = {}
        for source in self._sources:
            facts.update(source())
        assert not OWN & facts.keys() and sum(map(len, (*facts, *facts.values()))) <= MOST_OTHER
        return facts

    def _happen(self, event: Event) -> None:
        """Decides about an event, and does what follows."""
        if not self._running:
            return
        now = self._seconds()
        effects = self.membership.step(event, now)
        if self._trace is not None:
            self._trace.note(event, now, effects)
        if self._shown != self.membership.version:
            self._shown = self.membership.version
            self.view = self.membership.view()
            for changed in self._watchers:
                changed(self.view)
        self._interpreter.run(*effects)

    # --- being asked ----------------------------------------------------------------------------------------------

    async def _asked(self, caller: Caller, call: Call) -> Answer:
        records = unpack(call.body)
        if not self._running:
            raise Unavailable("this node is starting or stopping")
        token, waiting = self._interpreter.expect()
        self._happen(
            Asked(
                token,
                caller.node,
                caller.boot,
                caller.address,
                call.verb,
                call.words,
                call.facts,
                records,
                self._now_ms(),
                self._facts(),
            )
        )
        return await waiting

    async def _members(self, caller: Caller, call: Call) -> Answer:
        """MEMBERS: a row for each node: id, name, zone, state, addresses."""
        view = self.view
        rows = tuple(
            " ".join(
                (node, view.members[node].name, view.members[node].zone or "-", state, *view.members[node].addresses)
            )
            for node, state in sorted(view.states.items())
        )
        return Answer({"cluster": view.cluster or "-"}, rows)
