"""One node's part in having every record everywhere: pushes what is written here, takes what others push, pulls what it lacks.
Layer: node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from twisted.internet.defer import DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from tagfs.cluster.outbox import RECORD_BYTES, Copy, Outbox, Outgoing
from tagfs.cluster.replication import Freshness, demand, lacks, receivers
from tagfs.cluster.view import View
from tagfs.errors import Unavailable
from tagfs.model.entry import KIND, partition
from tagfs.model.record import Record, Ref
from tagfs.node.core import Core
from tagfs.node.group_commit import Stored
from tagfs.node.interfaces import Copies, Figure
from tagfs.node.members_only import members_only
from tagfs.node.peers.interfaces import Caller, IPeers, Service
from tagfs.node.replication.acknowledgement import Patience
from tagfs.node.replication.arrivals import Arrivals
from tagfs.node.replication.interfaces import IReplication
from tagfs.node.replication.poll import Poll, ask_vector, serve_vector
from tagfs.node.replication.pull import Puller, serve_pull, serve_record
from tagfs.node.replication.push import Pusher
from tagfs.storage.interfaces import Numbered
from tagfs.storage.leaves import place
from tagfs.storage.vectors import origin
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_records import Vector, unpack_numbers

CONFIRM_S = 1.0
"""Most seconds that a change of records waits for others to confirm."""
STORE_S = 10.0
"""Seconds that a new content waits for its copies, and so many more as it takes at :data:`SLOWEST_BYTES_PER_S`."""
SLOWEST_BYTES_PER_S = 1 << 20
_NOT_JOINED = "this node is in no cluster yet"
_CATCHING_UP = "this node gets what the others have"
_SOON_S = 0.2
"""After so long a SYNC asks for what did not come by itself."""


@implementer(IReplication)
class Replication:
    """IReplication among peers. Shown the cluster's :class:`View` (:meth:`see`), it does the rest.

    Nothing is sent before what it tells of is durable here; what is merged is answered for after it is durable.
    """

    log = Logger()

    def __init__(self, core: Core, peers: IPeers, clock: IReactorTime) -> None:
        self.core = core
        self.view: View | None = None
        self.listeners: list[Callable[[Sequence[Record]], None]] = []
        """Told the states of records that came from others, once they are durable here."""
        self.puller = Puller(core, peers, self._arrive)
        self.pushers: dict[str, Pusher] = {}
        self.arrivals = Arrivals(core, peers, self.puller, self._arrive)
        self._peers = peers
        self._clock = clock
        self._outbox = Outbox()
        self._patience = Patience(clock)
        self._freshness = Freshness()
        self._poll = Poll(peers, clock, self._hear)
        self._open: dict[tuple[str, bytes], Copy] = {}
        self._large: dict[int, list[Copy]] = {}
        self._targets: dict[int, frozenset[str]] = {}
        self._wanted = demand(None)
        self._stopped = False
        self._joining = True
        core.starting = _NOT_JOINED
        own = origin(core.catalog.node, core.catalog.epoch)
        self._outbox.begin(own, core.catalog.vector().get(own, 0))
        core.committer.watch(self._durable)
        core.reports.append(self.figures)
        services: dict[str, Service] = {
            "PUSH": self.arrivals.push,
            "PULL": partial(serve_pull, core),
            "RECORD": partial(serve_record, core),
            "VECTOR": partial(serve_vector, core),
            "HELD": self._serve_held,
        }
        for verb, service in services.items():
            peers.serve(verb, members_only(core.node_id, lambda: self.view, service))

    # What the cluster tells

    def see(self, view: View) -> None:
        """The cluster is now as in ``view``."""
        self.view = view
        self._targets.clear()
        self._wanted = demand(view)
        present = view.peers() if view.cluster else []
        for node in set(self.pushers).difference(present):
            self.pushers.pop(node).stop()
        self._freshness.forget(present)
        for node in present:
            if node not in self.pushers:
                self.pushers[node] = Pusher(node, self._peers, self._clock, self._outbox, self._confirm)
            self.pushers[node].set_alive(node in view.alive)
            self.pushers[node].kick()
        self._look_whether_started()
        self._poll.look(node for node in present if node in view.alive)
        self._settle()

    def _hear(self, node: str, asked_at: float, has: Vector) -> None:
        """A peer had ``has`` when it was asked at ``asked_at``, or a little later."""
        if node not in self.pushers:
            return
        self._freshness.hear(node, asked_at, has, self.core.catalog.vector())
        self.pushers[node].know(has.get(self._outbox.origin, 0))
        if self._is_behind(node):
            self.puller.want(node, partial(self._is_behind, node))
        self._settle()

    def _look_whether_started(self) -> None:
        """A node that comes into a cluster has begun once it has what each live member had; who was in it before and
        meets nobody goes on with what it has."""
        view = self.view
        if not self._joining or view is None or not view.cluster or view.me not in view.members:
            return  # between being let in and knowing the members, nobody seems to be there
        live = [node for node in view.peers() if node in view.alive]
        vector = self.core.catalog.vector()
        caught_up = bool(live or vector) or not view.peers()
        if caught_up and all(self._freshness.has_caught_up(node, vector) for node in live):
            self._joining = False
        self.core.starting = _CATCHING_UP if self._joining else ""

    def _is_behind(self, node: str) -> bool:
        return self._freshness.behind(node, self.core.catalog.vector(), self._clock.seconds())

    def stop(self) -> None:
        """Sends and asks nothing more; whoever waits is answered."""
        self._stopped = True
        self._poll.stop()
        self.puller.stop()
        for pusher in self.pushers.values():
            pusher.stop()
        self._patience.stop()

    # What this node wrote

    def _durable(self, numbered: Sequence[Numbered], stored: Sequence[Stored]) -> None:
        view = self.view
        if view is None or not view.cluster or self._stopped:
            self._skip(numbered[-1])
            return
        contents: dict[Ref, list[Copy]] = {}
        need = self._wanted.need
        for ref, blob, data in stored:
            copy = Copy(ref.key, blob.digest, blob.size, data, self._targets_of(view, ref.key, need))
            self._open[ref.key, blob.digest] = copy
            contents.setdefault(ref, []).append(copy)
        for name, first, records in numbered:
            if name != self._outbox.origin:
                self._outbox.begin(name, first - 1)
                for pusher in self.pushers.values():
                    pusher.begin_anew()
            self._outbox.add(
                Outgoing(
                    number, ref, data if len(data) <= RECORD_BYTES else b"", self._copies_of(number, ref, contents)
                )
                for number, (ref, data) in enumerate(records, first)
            )
        for pusher in self.pushers.values():
            pusher.kick()
        self._trim()

    def _copies_of(self, number: int, ref: Ref, contents: dict[Ref, list[Copy]]) -> Sequence[Copy]:
        copies = contents.pop(ref, ())
        for copy in copies:
            copy.number = number
            if copy.data is None:
                self._large.setdefault(number, []).append(copy)
        return copies

    def _skip(self, last: Numbered) -> None:
        """Nobody is there to be pushed to; who comes later pulls."""
        self._outbox.begin(last.origin, last.first + len(last.records) - 1)

    def _targets_of(self, view: View, entry: str, need: int) -> frozenset[str]:
        at, _leaf = place(Ref(KIND, entry))
        if at not in self._targets:
            self._targets[at] = receivers(view, at, need)
        return self._targets[at]

    def _arrive(self, states: Sequence[Record]) -> None:
        for listener in self.listeners:
            listener(states)
        if self.core.contents is not None:
            versions = [state.key for state in states if state.kind == KIND and _has_versions(state)]
            if versions:
                self.core.contents.consider(versions)
        self._settle()

    def _settle(self) -> None:
        if self._joining:
            self._look_whether_started()
        self._patience.settle()
        self._trim()

    def _confirm(self, node: str, copies: Sequence[Copy]) -> None:
        """A peer has made durable what it was sent, and holds these contents."""
        for copy in copies:
            copy.holders.add(node)
        self._settle()

    def _trim(self) -> None:
        self._outbox.trim(min((pusher.done for pusher in self.pushers.values()), default=self._outbox.last))

    # IReplication

    @property
    def complete(self) -> bool:
        view = self.view
        if self._joining or view is None or not view.cluster:
            return False
        return self._freshness.complete(view.peers(), self.core.catalog.vector(), self._clock.seconds())

    def check_reach(self) -> None:
        wanted = self._wanted
        if not wanted.can:
            raise Unavailable(
                f"{wanted.need} copies are demanded (write_copies), and {wanted.reach} nodes can be reached; nothing was stored"
            )

    async def stored(self, entry: str, digest: bytes) -> Copies:
        copy = self._open.get((entry, digest))
        if copy is None:
            return self.copies(1)
        try:
            seconds = STORE_S + copy.size / SLOWEST_BYTES_PER_S
            enough = await self._patience.until(lambda: self._is_enough(copy), seconds)
        finally:
            self._open.pop((entry, digest), None)
            self._large.pop(copy.number, None)
        made = self.copies(1 + len(copy.holders))
        if not enough:
            raise Unavailable(f"{entry} copies={made.have}/{made.want} kept, will be completed")
        return made

    def _is_enough(self, copy: Copy) -> bool:
        return 1 + len(copy.holders) >= self._wanted.need

    async def changed(self) -> Copies:
        name, number = self._outbox.origin, self._outbox.last
        await self._patience.until(lambda: self._outbox.origin != name or self._all_confirmed(number), CONFIRM_S)
        return self.copies(1 + sum(pusher.confirmed >= number for pusher in self.pushers.values()))

    def _all_confirmed(self, number: int) -> bool:
        """Whether as many nodes have everything up to that number as are to have a copy, or all that are alive."""
        confirmed = sum(pusher.confirmed >= number for pusher in self.pushers.values())
        alive = sum(pusher.alive for pusher in self.pushers.values())
        return 1 + confirmed >= min(self._wanted.want, 1 + alive)

    def copies(self, have: int) -> Copies:
        wanted = self._wanted
        return Copies(min(have, wanted.want), wanted.want, have < wanted.usual)

    def is_first(self, entry: str) -> bool:
        view = self.view
        if view is None or not view.cluster:
            return False
        live = (node for node in view.layout.order(partition(entry)) if node in view.alive or node == view.me)
        return next(live, "") == view.me

    async def sync(self, seconds: float) -> bool:
        """Waits until this node has all that its live peers had when called; False where time ran out, or a peer that is said to
        be alive did not answer. Who is in no cluster yet, or gets what the others have, does not know its peers: that comes first."""
        end = self._clock.seconds() + seconds
        if not await self._patience.until(lambda: not self.core.starting, seconds):
            return False
        peers = [node for node, pusher in self.pushers.items() if pusher.alive]
        asked = [ask_vector(self._peers, node, min(end - self._clock.seconds(), STORE_S)) for node in peers]
        outcomes = await DeferredList(asked, consumeErrors=True)
        if not all(succeeded for succeeded, _ in outcomes):
            return False
        theirs = {node: has for node, (_, has) in zip(peers, outcomes, strict=True)}
        catalog = self.core.catalog

        def in_step() -> bool:
            return not any(lacks(catalog.vector(), has) for has in theirs.values())

        if await self._patience.until(in_step, min(_SOON_S, end - self._clock.seconds())):
            return True
        for node, has in theirs.items():
            self.puller.want(node, partial(lambda has: lacks(catalog.vector(), has), has))
        return await self._patience.until(in_step, end - self._clock.seconds())

    def figures(self) -> Iterable[Figure]:
        """For INode.figures."""
        for node, pusher in self.pushers.items():
            labels = {"node": node}
            yield Figure("push_behind", "Changes of this node that a peer did not confirm.", pusher.behind, labels)
        yield Figure("records_pushed", "Records sent to peers.", sum(p.pushed for p in self.pushers.values()), {}, True)
        yield Figure("records_received", "Records that peers pushed here.", self.arrivals.received, {}, True)
        yield Figure("records_repeated", "Those of them that were here already.", self.arrivals.repeated, {}, True)
        yield Figure("records_pulled", "Records that were asked for to catch up.", self.puller.pulled, {}, True)

    # What peers ask

    async def _serve_held(self, caller: Caller, call: Call) -> Answer:
        """HELD origin: the larger contents of the changes with the numbers in the body are durable at the caller."""
        if call.words == (self._outbox.origin,):
            for number in unpack_numbers(call.body):
                self._confirm(caller.node, self._large.get(number, ()))
        return Answer()


def _has_versions(record: Record) -> bool:
    return any(name.startswith("version:") for name in record.fields)
