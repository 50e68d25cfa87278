"""A cluster of whole nodes in one process: the nodes' own code over stores in memory, a simulated network and one clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tagfs.cluster.placement import Layout, Place
from tagfs.cluster.view import ClusterSettings, Member, View
from tagfs.model.principal import OWNER
from tagfs.model.record import Record
from tagfs.node.accounts import Accounts
from tagfs.node.contents.contents import Contents
from tagfs.node.core import Core
from tagfs.node.node import Node
from tagfs.node.offload import Inline
from tagfs.node.replication.replication import Replication
from tagfs.storage.interfaces import MAX_PAGE, IBlobStore, ICatalog
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.sim.heap_clock import HeapClock
from tests.sim.network import Network, SimPeers

START_MS = 1_760_000_000_000


@define(eq=False)
class SimNode:
    """One node: its stores outlive it, everything else is made anew at each start."""

    cluster: SimCluster
    id: str
    catalog: ICatalog
    blobs: IBlobStore
    skew_ms: int = 0
    up: bool = False
    core: Core = field(init=False)
    node: Node = field(init=False)
    peers: SimPeers = field(init=False)
    replication: Replication = field(init=False)
    contents: Contents | None = None
    starts: int = 0

    def start(self) -> None:
        """The process begins."""
        inline = Inline()
        self.starts += 1
        self.up = True
        self.core = Core(
            self.id, self.catalog, self.blobs, writer=inline, readers=inline, transfers=inline, now_ms=self.now_ms
        )
        self.peers = SimPeers(self.cluster.network, self.id, f"{self.id}:4747", f"{self.id}.{self.starts}")
        if self.cluster.moves_contents:
            drop_after_s = self.cluster.drop_after_s
            self.contents = Contents(self.core, self.peers, self.cluster.clock, self.peers.boot, drop_after_s)
            self.core.contents = self.contents
        self.replication = Replication(self.core, self.peers, self.cluster.clock)
        self.core.replication = self.replication
        self.node = Node(self.core, self.id, "", "", Accounts(self.core, inline, self.cluster.clock, OWNER))
        for other in self.cluster.ids:
            if other != self.id:
                self.peers.keep(other, [f"{other}:4747"])
        self.see()
        if self.contents is not None:
            self.contents.start()

    def stop(self) -> None:
        """The process is gone, from one moment to the next."""
        self.up = False
        self.peers.crash()
        self.replication.stop()
        if self.contents is not None:
            Deferred.fromCoroutine(self.contents.stop())

    def now_ms(self) -> int:
        """The wall clock of this node."""
        return START_MS + int(self.cluster.clock.seconds() * 1000) + self.skew_ms

    def see(self) -> None:
        """Takes in the cluster as it is."""
        view = self.cluster.view_of(self.id)
        self.replication.see(view)
        if self.contents is not None:
            self.contents.see(view)


@define(eq=False)
class SimCluster:
    """Nodes ``n1``, ``n2``, … that know each other. ``dead`` are those that the others hold for dead, ``out`` those that are in
    no layout; with ``moves_contents`` contents are placed, fetched and dropped as in production."""

    size: int = 3
    seed: int = 0
    settings: ClusterSettings = field(factory=ClusterSettings)
    make_catalog: Callable[[str], ICatalog] = MemoryCatalog
    make_blobs: Callable[[], IBlobStore] = MemoryBlobStore
    clock: HeapClock = field(factory=HeapClock)
    random: Random = field(init=False)
    network: Network = field(init=False)
    ids: list[str] = field(init=False)
    nodes: dict[str, SimNode] = field(factory=dict)
    dead: set[str] = field(factory=set)
    out: set[str] = field(factory=set)
    moves_contents: bool = False
    drop_after_s: float = 3600.0

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)
        self.network = Network(self.clock, self.random)
        self.ids = [f"n{number}" for number in range(1, self.size + 1)]
        for id in self.ids:
            self.nodes[id] = SimNode(self, id, self.make_catalog(id), self.make_blobs())
        for node in self.nodes.values():
            node.start()

    def __getitem__(self, number: int) -> SimNode:
        return self.nodes[self.ids[number - 1]]

    def view_of(self, me: str) -> View:
        """The cluster as one node sees it."""
        members = {id: Member(id, id, (f"{id}:4747",), out=id in self.out) for id in self.ids}
        placed = [id for id in self.ids if id not in self.out]
        copies = min(self.settings.copies, len(placed))
        return View(
            me,
            "simulated",
            members,
            {id: "dead" if id in self.dead else "alive" for id in self.ids},
            frozenset(self.ids) - self.dead | {me},
            Layout.of([Place(id) for id in placed], copies),
            self.settings,
        )

    def hold_for_dead(self, *ids: str) -> None:
        """From now on everybody takes these, and only these, for dead."""
        self.dead = set(ids)
        for node in self.up():
            node.see()

    def take_out(self, *ids: str) -> None:
        """From now on these, and only these, are in no layout."""
        self.out = set(ids)
        for node in self.up():
            node.see()

    def up(self) -> Iterable[SimNode]:
        """The nodes that run."""
        return [node for node in self.nodes.values() if node.up]

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self._to_next(end)

    def _to_next(self, end: float) -> None:
        soonest = self.clock.soonest()
        soon = end if soonest is None else max(soonest, self.clock.seconds())
        self.clock.advance(min(end, soon) - self.clock.seconds())

    def begin(self, coroutine: Any) -> list[Any]:
        """Lets a coroutine run; the list gets what it comes to."""
        outcome: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(outcome.append)
        return outcome

    def wait(self, coroutine: Any, seconds: float = 60.0) -> Any:
        """What a coroutine or Deferred comes to, after as much time as it takes."""
        outcome: list[Any] = []
        waiting = coroutine if isinstance(coroutine, Deferred) else Deferred.fromCoroutine(coroutine)
        waiting.addBoth(outcome.append)
        self.until(lambda: bool(outcome), seconds)
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> float:
        """Lets time pass until something holds; returns how long that took."""
        begin = self.clock.seconds()
        while not holds():
            assert self.clock.seconds() < begin + seconds, "it does not come to pass"
            self._to_next(begin + seconds)
        return self.clock.seconds() - begin

    def stop(self) -> None:
        """Ends everything."""
        for node in self.up():
            node.stop()

    # What users do

    async def store(self, node: SimNode, name: str, *tags: str, data: bytes = b"content", **more: Any) -> Any:
        """Stores a content; what INode says of it."""
        receiving = await node.node.receive(OWNER, len(data))
        receiving.write(data)
        return await receiving.add(name, tags, **more)

    def in_step(self, ids: Collection[str] = ()) -> bool:
        """Whether the nodes have the same records, and claim the same."""
        first, *others = [self.nodes[id].catalog for id in ids or self.ids]
        if any(other.vector() != first.vector() for other in others):
            return False
        states = records_of(first)
        return all(records_of(other) == states for other in others)


def records_of(catalog: ICatalog) -> list[Record]:
    """All records of the kinds that users make."""
    found: list[Record] = []
    for kind in ("entry", "tag", "search", "user"):
        after = ""
        while page := catalog.records(kind, after, MAX_PAGE):
            found += page
            after = page[-1].key
    return found
