"""The driver of the membership: events in from connections, clock and catalog, effects out to them. Layer: node.

What to do is decided in :mod:`tagfs.cluster.membership`; here it is done, in order, and nowhere else. The same code runs in
production and in the simulator (``tests/sim``).
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from tagfs import errors
from tagfs.cluster import effects as do
from tagfs.cluster.detection import TICK_S
from tagfs.cluster.effects import Answered, Asked, Effect, Event, Failed, Heard, Learnt, Met, Missed, Tick
from tagfs.cluster.members import SETTINGS, check_member, is_ours, member_ref, pack, unpack
from tagfs.cluster.membership import Membership
from tagfs.cluster.orders import find_member, order, settings_change
from tagfs.cluster.pings import MOST_OTHER, OWN
from tagfs.cluster.standing import BYE, EXCHANGE, JOIN, PING, PROBE, Self
from tagfs.cluster.view import ClusterSettings, Member, View
from tagfs.errors import Forbidden, TagfsError, Unavailable
from tagfs.model.record import Record, Ref, Value
from tagfs.node.cluster.records import Records
from tagfs.node.cluster.state import State, Stored
from tagfs.node.cluster.trace import Trace
from tagfs.node.peers.interfaces import Caller, Greeting, IPeers
from tagfs.wire.node_messages import Answer, Call

MEMBERS = "MEMBERS"
MEET_TIMEOUT_S = 5.0
BYE_S = 1.0
"""Seconds that a stop waits at most for the others to take note."""
MOST_WAITING = 1024
"""Requests of others that may wait for an answer at a time."""


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
        self._state = state
        self._entries = entries
        self._seconds = seconds
        self._now_ms = now_ms
        self._trace = trace
        self._sources: list[Callable[[], Mapping[str, str]]] = []
        self._listeners: list[Callable[[str, Mapping[str, str], float], None]] = []
        self._watchers: list[Callable[[View], None]] = []
        self._queue: deque[Effect] = deque()
        self._busy = False
        self._tick: IDelayedCall | None = None
        self._waiting: dict[int, Deferred[Answer]] = {}
        self._tokens = 0
        self._asking: set[Deferred[Any]] = set()
        self._running = False
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

    def listen(self, listener: Callable[[str, Mapping[str, str], float], None]) -> None:
        """Tells (node id, facts, when it was asked: seconds of the reactor's clock) whenever a member's answer to a ping told facts
        of its other parts, about once a second each."""
        self._listeners.append(listener)

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
        founded and has no entries, so that it may still join another one of the same key."""
        return "" if self.membership.standing.is_alone() else self.view.cluster

    def unwelcome(self, caller: Caller) -> str:
        """Why a node may not even connect (it left, was forgotten, or is a second process of one id); empty where it may."""
        known = caller.node in self.view.members
        return self.membership.objection_to(caller.node, caller.boot, self._seconds()) if known else ""

    def admit(self, caller: Caller) -> None:
        """Raises Forbidden where who asks must not speak as a member (left, forgotten, never joined, a second process)."""
        objection = self.membership.objection_to(caller.node, caller.boot, self._seconds())
        if objection:
            raise Forbidden(objection)

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
        self._do(self.membership.standing.persist())  # a range of incarnations that this run alone may use
        self._happen(Learnt(tuple(records)))
        self._turn()

    async def stop(self) -> None:
        """Tells the others that this node stops, and ends everything."""
        if not self._running:
            return
        self._running = False
        if self._tick is not None:
            self._tick.cancel()
        byes = [self._peers.ask(bye.node, _call(bye), BYE_S) for bye in self.membership.stop()]
        await DeferredList(byes, consumeErrors=True)
        self._queue.clear()
        for asking in list(self._asking):
            asking.cancel()
        for waiting in self._waiting.values():
            waiting.errback(Failure(Unavailable("this node is stopping")))
        self._waiting.clear()
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
        self._do(*effects)

    def _do(self, *effects: Effect) -> None:
        """Does effects in order, one after the other also where one makes another event happen at once."""
        self._queue.extend(effects)
        if self._busy:
            return
        self._busy = True
        while self._queue:
            held = self._run(self._queue.popleft())
            if held is not None and not held.called:
                held.addCallback(self._go_on)
                return
        self._busy = False

    def _go_on(self, _: object) -> None:
        self._busy = False
        self._do()

    def _run(self, effect: Effect) -> Deferred[None] | None:
        """Does one effect. A Deferred where nothing may be done before it fired."""
        match effect:
            case do.Ask():
                self._ask(effect)
            case do.Reply(token, facts, records):
                self._end(token, Answer(facts, body=pack(records)))
            case do.Decline(token, code, text):
                self._end(token, Failure(_ERRORS.get(code, TagfsError)(text)))
            case do.Meet(address):
                self._meet(address)
            case do.Keep(node, addresses):
                self._peers.keep(node, addresses)
            case do.Drop(node):
                self._peers.drop(node)
            case do.Change(ref, fields):
                self._note_failure(self._records.change(ref, fields))
            case do.Merge(records):
                self._note_failure(self._records.merge(records))
            case do.Persist(cluster, incarnations, addresses):
                return self._persist(Stored(cluster, incarnations, addresses))
            case do.Say(level, text):
                self.log.emit(LogLevel.lookupByName(level), "{text}", text=text)
            case do.Hear(node, facts, asked_at):
                for listener in self._listeners:
                    listener(node, facts, asked_at)
        return None

    def _persist(self, stored: Stored) -> Deferred[None]:
        return self._state.save(stored).addErrback(
            lambda failure: self.log.failure("what this node remembers of its cluster was not written", failure)
        )

    def _note_failure(self, durable: Deferred[Any]) -> None:
        def failed(failure: Failure) -> None:
            failure.trap(TagfsError)
            self.log.warn("a member record was not written: {error}", error=failure.value)

        durable.addErrback(failed).addErrback(self._bug)

    def _bug(self, failure: Failure) -> None:
        self.log.failure("the cluster's driver failed", failure)

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask(self, ask: do.Ask) -> None:
        begun, asked_at = self._seconds(), self._clock.seconds()

        def answered(answer: Answer) -> None:
            took = self._seconds() - begun
            self._happen(
                Answered(
                    ask.node, ask.verb, ask.words, answer.facts, unpack(answer.body), took, self._now_ms(), asked_at
                )
            )

        def failed(failure: Failure) -> None:
            failure.trap(TagfsError)
            error = failure.value
            assert isinstance(error, TagfsError)
            self._happen(Failed(ask.node, ask.verb, ask.words, error.wire, str(error), self._seconds() - begun))

        self._await(self._peers.ask(ask.node, _call(ask), ask.timeout_s), answered, failed)

    def _meet(self, address: str) -> None:
        def met(greeting: Greeting) -> None:
            self._happen(Met(address, greeting.node, greeting.cluster))

        def missed(failure: Failure) -> None:
            failure.trap(TagfsError)
            self._happen(Missed(address, str(failure.value)))

        self._await(self._peers.meet(address, MEET_TIMEOUT_S), met, missed)

    def _await(self, answer: Deferred[Any], came: Callable[[Any], None], failed: Callable[[Failure], None]) -> None:
        self._asking.add(answer)

        def over(result: Any) -> Any:
            self._asking.discard(answer)
            return result

        # What an answer says wrongly (records that cannot be read) counts as a failure to answer.
        answer.addBoth(over).addCallback(came).addErrback(failed).addErrback(self._bug)

    # --- being asked ----------------------------------------------------------------------------------------------

    async def _asked(self, caller: Caller, call: Call) -> Answer:
        records = unpack(call.body)
        if not self._running:
            raise Unavailable("this node is starting or stopping")
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("too many requests wait for an answer")
        self._tokens += 1
        waiting: Deferred[Answer] = Deferred()
        self._waiting[self._tokens] = waiting
        self._happen(
            Asked(
                self._tokens,
                caller.node,
                caller.boot,
                call.verb,
                call.words,
                call.facts,
                records,
                self._now_ms(),
                self._facts(),
            )
        )
        return await waiting

    def _end(self, token: int, outcome: Answer | Failure) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None and not waiting.called:
            waiting.callback(outcome)  # a Failure goes to the errbacks

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


def _call(ask: do.Ask) -> Call:
    return Call(ask.verb, ask.words, ask.facts, pack(ask.records))


_ERRORS = {
    kind.wire: kind
    for kind in reversed(list(vars(errors).values()))
    if isinstance(kind, type) and issubclass(kind, TagfsError)
}
