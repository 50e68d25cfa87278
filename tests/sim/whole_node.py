"""Whole nodes in one process: INode, membership, replication and contents of production, over stores in memory that a crash cannot
touch once they answered, threads that take their time, a simulated network, and clocks of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tagfs.cluster.view import ClusterSettings
from tagfs.model.principal import OWNER
from tagfs.model.record import Record, Ref
from tagfs.node.accounts import Accounts
from tagfs.node.cluster.cluster import Cluster, Start
from tagfs.node.cluster.records import CoreRecords
from tagfs.node.contents.contents import Contents
from tagfs.node.core import Core
from tagfs.node.node import Node
from tagfs.node.offload import Inline
from tagfs.node.replication.replication import Replication
from tagfs.node.together import Together
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.sim.heap_clock import HeapClock
from tests.sim.member_world import MemoryState
from tests.sim.network import Network, SimPeers
from tests.sim.node_clock import NodeClock

T = TypeVar("T")
_DURABLE = ("_records", "_entries", "_references", "_orphans", "_received", "_numbers", "epoch", "greatest_stamp")
START_MS = 1_760_000_000_000
DROP_AFTER_S = 5.0


def copy(value: Any) -> Any:
    """A copy that changes of the original do not reach: of dictionaries, two levels deep."""
    if isinstance(value, dict):
        made = value.copy()
        made.update((key, inner.copy()) for key, inner in value.items() if type(inner) is dict)
        return made
    return value


class SimThreads:
    """An Offload whose calls take effect after a while, and are answered after another: a crash may come before, between, or after."""

    def __init__(self, clock: NodeClock, random: Random, most_s: float) -> None:
        self.pending = 0
        self._clock = clock
        self._random = random
        self._most_s = most_s

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        answer: Deferred[T] = Deferred()
        self.pending += 1
        self._clock.callLater(self._random.uniform(0, self._most_s), self._work, call, answer)
        return answer

    def _work(self, call: Callable[[], T], answer: Deferred[T]) -> None:
        try:
            tell, outcome = answer.callback, call()
        except BaseException:  # noqa: BLE001 - all goes to whoever waits for the answer
            tell, outcome = answer.errback, Failure()  # type: ignore[assignment]
        self._clock.callLater(self._random.uniform(0, self._most_s / 4), self._answer, tell, outcome)

    def _answer(self, tell: Callable[[Any], None], outcome: Any) -> None:
        self.pending -= 1
        tell(outcome)

    def stop(self) -> None:
        """Nothing is waited for."""


class SimCatalog(MemoryCatalog):
    """A catalog in memory that outlives its process. ``heard`` is told of each merge of this node's own changes, when it is
    durable."""

    heard: Callable[[str, Sequence[Record]], None] = staticmethod(lambda node, changes: None)

    def merge(
        self,
        changes: Sequence[Record],
        origins: Mapping[Ref, Mapping[str, int]] | None = None,
        covered: Mapping[str, int] | None = None,
        adopted: Collection[Ref] = (),
    ) -> Sequence[Record]:
        states = super().merge(changes, origins, covered, adopted)
        if origins is None:
            self.heard(self.node, changes)
        return states

    def snapshot(self) -> dict[str, Any]:
        """What is durable now."""
        return {name: copy(getattr(self, name)) for name in _DURABLE}

    def put_back(self, snapshot: Mapping[str, Any]) -> None:
        """What was durable then, as after a back-up was restored."""
        for name, value in snapshot.items():
            setattr(self, name, copy(value))

    def state(self, ref: Ref) -> Record | None:
        """One record."""
        return self._records.get(ref)

    def states(self) -> Mapping[Ref, Record]:
        """All records."""
        return self._records

    def reopen(self) -> None:
        """As after a restart: what is kept only while it is open is gone."""
        self._held = {self.node: {}}
        self._news = set()
        self._alive = frozenset((self.node,))
        self._watcher = None


class SimBlobs(MemoryBlobStore):
    """Contents in memory that outlive their process."""

    def reopen(self) -> None:
        """As after a restart: pins are gone."""
        self._pins.clear()


@define(eq=False)
class WholeNode:
    """A node: what is on its disk outlives it, everything else is made anew at each start."""

    world: WholeWorld
    id: str
    name: str
    address: str
    seeds: tuple[str, ...]
    catalog: SimCatalog
    blobs: SimBlobs = field(factory=SimBlobs)
    state: MemoryState = field(factory=MemoryState)
    skew_ms: int = 0
    up: bool = False
    destroyed: bool = False
    restored: list[tuple[float, float]] = field(factory=list)
    """From when to when what this node alone had is gone, since a back-up was restored."""
    starts: int = 0
    clock: NodeClock = field(init=False)
    core: Core = field(init=False)
    peers: SimPeers = field(init=False)
    cluster: Cluster = field(init=False)
    replication: Replication = field(init=False)
    contents: Contents = field(init=False)
    node: Node = field(init=False)

    def start(self) -> None:
        """The process begins."""
        world, random = self.world, self.world.random
        self.starts += 1
        self.up = True
        self.catalog.reopen()
        self.blobs.reopen()
        boot = f"{self.id}.{self.starts}"
        clock = self.clock = NodeClock(world.clock, random.uniform(0, 1000))
        self.core = Core(
            self.id,
            self.catalog,
            self.blobs,
            writer=SimThreads(clock, random, 0.006),
            readers=SimThreads(clock, random, 0.001),
            transfers=SimThreads(clock, random, 0.003),
            now_ms=self.now_ms,
        )
        self.core._random = random.randbytes(10_000)  # ids follow from the seed
        self.peers = SimPeers(
            world.network, self.id, self.address, boot, self.name, lambda: self.cluster.introduced_as, clock
        )
        start = Start(self.name, (self.address,), boot, settings=world.settings, seeds=self.seeds)
        self.cluster = Cluster(
            self.peers,
            clock,
            CoreRecords(self.core),
            self.state,
            start,
            entries=lambda: False,
            seconds=clock.seconds,
            now_ms=self.now_ms,
            seed=random.getrandbits(32),
        )
        self.replication = self.core.replication = Replication(self.core, self.peers, clock)
        self.contents = self.core.contents = Contents(self.core, self.peers, clock, boot, DROP_AFTER_S)
        self.cluster.watch(self.contents.see)
        together = Together(self.core, start, self.cluster, self.replication)
        accounts = Accounts(self.core, Inline(), clock, OWNER)
        self.node = Node(self.core, self.name, "", self.address, accounts, together)
        self.cluster.start()
        self.contents.start()

    def crash(self) -> None:
        """The process is gone, from one moment to the next; what was under way is never heard of again."""
        self.up = False
        self.clock.dead = True
        self.peers.crash()

    def now_ms(self) -> int:
        """The wall clock of this node."""
        return START_MS + int(self.world.clock.seconds() * 1000) + self.skew_ms


@define(eq=False)
class WholeWorld:
    """A cluster of whole nodes, formed and in step."""

    seed: int
    size: int
    settings: ClusterSettings = field(factory=ClusterSettings)
    clock: HeapClock = field(factory=HeapClock)
    random: Random = field(init=False)
    network: Network = field(init=False)
    nodes: list[WholeNode] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)
        self.network = Network(self.clock, self.random)
        for number in range(1, self.size + 1):
            id = f"{number:02d}{self.random.getrandbits(96):024x}"
            catalog = SimCatalog(id)
            catalog.epoch = f"{self.random.getrandbits(48):012x}"
            seeds = ("n1:4747",) if number > 1 else ()
            self.nodes.append(WholeNode(self, id, f"n{number}", f"n{number}:4747", seeds, catalog))

    def form(self) -> None:
        """All nodes begin, and are one cluster."""
        self.nodes[0].start()
        self.until(lambda: self.nodes[0].cluster.view.cluster)
        for node in self.nodes[1:]:
            node.start()
        self.until(lambda: all(len(node.cluster.view.alive) == self.size for node in self.nodes), 120)
        self.until(lambda: all(node.replication.complete for node in self.nodes), 120)

    def up(self) -> list[WholeNode]:
        """The nodes that run."""
        return [node for node in self.nodes if node.up]

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self._to_next(end)

    def until(self, holds: Callable[[], Any], seconds: float = 60.0, every_s: float = 0.05) -> bool:
        """Lets time pass until something holds, looking now and then; whether it came to pass."""
        end = self.clock.seconds() + seconds
        while not holds():
            if self.clock.seconds() >= end:
                return False
            self.run(every_s)
        return True

    def _to_next(self, end: float) -> None:
        soonest = self.clock.soonest()
        soon = end if soonest is None else max(soonest, self.clock.seconds())
        self.clock.advance(min(end, soon) - self.clock.seconds())
