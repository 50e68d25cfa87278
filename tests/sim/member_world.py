"""Nodes that are members of a cluster and nothing else: the driver and the membership of production on a simulated network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from tagfs.cluster.view import ClusterSettings, View
from tagfs.model.record import Ref, Value
from tagfs.node.cluster.cluster import Cluster, Start
from tagfs.node.cluster.records import CoreRecords
from tagfs.node.cluster.state import Stored
from tagfs.node.cluster.trace import Trace
from tagfs.node.core import Core
from tagfs.node.offload import Inline
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.sim.heap_clock import HeapClock
from tests.sim.network import Network, SimPeers
from tests.sim.node_clock import NodeClock

START_MS = 1_760_000_000_000


@define
class MemoryState:
    """What a node remembers; outlives its process."""

    stored: Stored = field(factory=Stored)

    def load(self) -> Stored:
        return self.stored

    def save(self, stored: Stored) -> Deferred[None]:
        self.stored = stored
        return succeed(None)


class WatchedRecords(CoreRecords):
    """Tells the world what a node writes by its own decision."""

    def __init__(self, core: Core, node: MemberNode) -> None:
        super().__init__(core)
        self._node = node

    def change(self, ref: Ref, fields: Mapping[str, Value]) -> Deferred[Any]:
        self._node.world.written(self._node, ref, fields)
        return super().change(ref, fields)


@define(eq=False)
class MemberNode:
    """A node: what is on its disk outlives it, everything else is made anew at each start."""

    world: MemberWorld
    id: str
    name: str
    address: str
    seeds: tuple[str, ...] = ()
    skew_ms: int = 0
    rate: float = 1.0
    entries: bool = False
    merge: bool = False
    state: MemoryState = field(factory=MemoryState)
    catalog: MemoryCatalog = field(init=False)
    blobs: MemoryBlobStore = field(factory=MemoryBlobStore)
    up: bool = False
    starts: int = 0
    clock: NodeClock = field(init=False)
    peers: SimPeers = field(init=False)
    cluster: Cluster = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.catalog = MemoryCatalog(self.id)

    def start(self) -> None:
        """The process begins."""
        world, inline = self.world, Inline()
        self.starts += 1
        self.up = True
        boot = f"{self.id}.{self.starts}"
        self.clock = NodeClock(world.clock, world.random.uniform(0, 1000), self.rate)
        core = Core(
            self.id, self.catalog, self.blobs, writer=inline, readers=inline, transfers=inline, now_ms=self.now_ms
        )
        self.peers = SimPeers(
            world.network, self.id, self.address, boot, self.name, lambda: self.cluster.introduced_as, self.clock
        )
        self.cluster = Cluster(
            self.peers,
            self.clock,
            WatchedRecords(core, self),
            self.state,
            Start(self.name, (self.address,), boot, settings=world.settings, seeds=self.seeds, merge=self.merge),
            entries=lambda: self.entries,
            seconds=self.clock.seconds,
            now_ms=self.now_ms,
            seed=world.random.getrandbits(32),
            trace=world.recording(self),
        )
        world.born(self)
        self.cluster.start()

    def crash(self, silent: bool = False) -> None:
        """The process is gone, from one moment to the next."""
        self.up = False
        self.clock.dead = True
        self.peers.crash(silent)

    def stop(self) -> None:
        """The process ends as it should."""
        Deferred.fromCoroutine(self.cluster.stop()).addBoth(lambda _: self.crash())

    def now_ms(self) -> int:
        """The wall clock of this node."""
        return START_MS + int(self.world.clock.seconds() * 1000) + self.skew_ms

    @property
    def view(self) -> View:
        return self.cluster.view

    def state_of(self, other: MemberNode) -> str:
        """What this node says of another."""
        return self.view.states.get(other.id, "")


@define(eq=False)
class MemberWorld:
    """Nodes ``n1``, ``n2``, …; none runs before it is started. Beacons, where there are any, are heard by all that nothing cuts off."""

    seed: int = 0
    settings: ClusterSettings = field(factory=ClusterSettings)
    beacons: bool = False
    clock: HeapClock = field(factory=HeapClock)
    random: Random = field(init=False)
    network: Network = field(init=False)
    nodes: list[MemberNode] = field(factory=list)
    watching: list[Callable[[MemberNode], None]] = field(factory=list)
    recording: Callable[[MemberNode], Trace | None] = field(default=lambda node: None)
    written: Callable[[MemberNode, Ref, Mapping[str, Value]], None] = field(default=lambda node, ref, fields: None)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)
        self.network = Network(self.clock, self.random)
        if self.beacons:
            self._beacon()

    def add(self, **more: Any) -> MemberNode:
        """A new node, not started yet."""
        number = len(self.nodes) + 1
        node = MemberNode(
            self, f"{number:02d}{self.random.getrandbits(96):024x}", f"n{number}", f"n{number}:4747", **more
        )
        self.nodes.append(node)
        return node

    def form(self, size: int) -> list[MemberNode]:
        """A cluster of so many nodes: the first founds it, the others join it, and all know all."""
        first, *others = nodes = [self.add() for _ in range(size)]
        first.start()
        self.until(lambda: first.view.cluster)
        for other in others:
            other.seeds = (first.address,)
            other.start()
        self.until(self.agree)
        return nodes

    def born(self, node: MemberNode) -> None:
        """A process began: whoever watches looks at it."""
        for look in self.watching:
            look(node)

    def up(self) -> list[MemberNode]:
        """The nodes that run."""
        return [node for node in self.nodes if node.up]

    def agree(self, nodes: Iterable[MemberNode] | None = None) -> bool:
        """Whether all that run (or these) see each other alive, are in one cluster and have the same records."""
        running = self.up() if nodes is None else list(nodes)
        views = [node.view for node in running]
        if any(
            view.cluster != views[0].cluster or not view.cluster or view.members != views[0].members for view in views
        ):
            return False
        ids = {node.id for node in running}
        return all({node for node in view.alive if view.members[node].present} == ids for view in views) and all(
            view.layout == views[0].layout and view.settings == views[0].settings for view in views
        )

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self._to_next(end)

    def until(self, holds: Callable[[], Any], seconds: float = 60.0) -> float:
        """Lets time pass until something holds; returns how long that took."""
        begin = self.clock.seconds()
        while not holds():
            assert self.clock.seconds() < begin + seconds, "it does not come to pass"
            self._to_next(begin + seconds)
        return self.clock.seconds() - begin

    def wait(self, coroutine: Any, seconds: float = 60.0) -> Any:
        """What a coroutine comes to, after as much time as it takes."""
        outcome: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(outcome.append)
        self.until(lambda: outcome, seconds)
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    def stop(self, nodes: Iterable[MemberNode] | None = None) -> None:
        """Ends everything, or those nodes, at once."""
        for node in list(self.up() if nodes is None else nodes):
            node.crash()

    def _to_next(self, end: float) -> None:
        soonest = self.clock.soonest()
        soon = end if soonest is None else max(soonest, self.clock.seconds())
        self.clock.advance(min(end, soon) - self.clock.seconds())

    def _beacon(self) -> None:
        for sender in self.up():
            for hearer in self.up():
                awake = max(hearer.clock.still_until, sender.clock.still_until) <= self.clock.seconds()
                if hearer is not sender and awake and (sender.id, hearer.id) not in self.network.cut:
                    cluster = sender.cluster
                    hearer.cluster.heard(sender.address, sender.id, sender.view.cluster, cluster.is_founding)
        self.clock.callLater(1.0, self._beacon)
