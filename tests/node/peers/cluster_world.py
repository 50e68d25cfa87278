"""Members of a cluster over real sockets: the membership of production on real peers, with everything else in memory."""

from __future__ import annotations

import time
from typing import Any

from attrs import define, field

from tagfs.cluster.view import ClusterSettings
from tagfs.node.cluster.cluster import Cluster, Start
from tagfs.node.cluster.records import CoreRecords
from tagfs.node.core import Core
from tagfs.node.offload import Inline
from tagfs.node.peers.peers import Peers
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.node.peers.peer_world import KEY, World, identity
from tests.sim.member_world import MemoryState


@define(eq=False)
class Member:
    """One of them."""

    peers: Peers
    cluster: Cluster
    address: str


@define(eq=False)
class ClusterWorld:
    """Members, in the order in which they were made; the first founds the cluster, the others join it."""

    world: World
    members: list[Member] = field(factory=list)

    def member(self, number: int, boot: str = "", state: MemoryState | None = None) -> Member:
        """Starts node ``number``."""
        inline = Inline()
        shown = identity(number)
        blobs = MemoryBlobStore()
        core = Core(
            shown.id, MemoryCatalog(shown.id), blobs, writer=inline, readers=inline, transfers=inline, now_ms=_now_ms
        )
        running: list[Cluster] = []
        peers = Peers(
            self.world.reactor,
            shown,
            f"name{number}",
            KEY,
            boot=boot or f"b{number}",
            tls=self.world.tls,
            address=lambda: self.world.addresses[peers],
            cluster=lambda: running[0].introduced_as,
            admit=lambda caller: running[0].unwelcome(caller),
        )
        self.world.all.append(peers)
        self.world.listen(peers)
        seeds = (self.members[0].address,) if self.members else ()
        start = Start(
            f"name{number}",
            (self.world.addresses[peers],),
            boot or f"b{number}",
            settings=ClusterSettings(),
            seeds=seeds,
        )
        cluster = Cluster(peers, self.world.reactor, CoreRecords(core), state or MemoryState(), start)
        running.append(cluster)
        cluster.start()
        self.members.append(Member(peers, cluster, self.world.addresses[peers]))
        return self.members[-1]

    async def close(self) -> None:
        """All stop."""
        for member in self.members:
            await member.cluster.stop()
        await self.world.close()

    def states(self, member: Member) -> dict[str, str]:
        """What a member says of all."""
        return dict(member.cluster.view.states)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def all_alive(members: list[Member]) -> Any:
    """Whether each sees all others alive, and all in one cluster."""
    return len({member.cluster.view.cluster for member in members}) == 1 and all(
        list(member.cluster.view.states.values()).count("alive") == len(members) for member in members
    )
