"""Figures of the membership in clusters of any size, simulated: how soon a death is seen by all, and what an idle cluster sends.

``python -m tests.sim.member_figures --nodes 10 100 1000`` begins with clusters in which all know all (a thousand joins one after the other
are another matter), lets them idle, then takes one machine away. Bytes are those of requests and answers, without TLS and TCP.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from twisted.internet.defer import Deferred, succeed

from tagfs.cluster.detection import DEAD
from tagfs.cluster.members import SETTINGS, member_fields, member_ref, settings_fields
from tagfs.cluster.view import ClusterSettings, Member
from tagfs.model.record import Field, Record, Ref, Value
from tagfs.model.stamp import Stamp
from tagfs.node.cluster.cluster import Cluster, Start
from tagfs.node.cluster.state import Stored
from tests.sim.member_world import START_MS, MemberWorld, MemoryState
from tests.sim.network import SimPeers
from tests.sim.node_clock import NodeClock

IDLE_S = 5.0
WAIT_S = 20.0


class SameRecords:
    """Records that all nodes have, and that none changes."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def watch(self, learn: Any) -> None:
        """Nothing ever becomes new."""

    def load(self) -> Sequence[Record]:
        return self._records

    def change(self, ref: Ref, fields: Mapping[str, Value]) -> Deferred[Any]:
        return succeed(None)

    def merge(self, records: Sequence[Record]) -> Deferred[Any]:
        return succeed(None)


def _records(size: int) -> list[Record]:
    stamp = Stamp(START_MS << 16, "founder")
    found = [Record(*SETTINGS, {key: Field(value, stamp) for key, value in settings_fields(ClusterSettings()).items()})]
    for number in range(size):
        member = Member(f"{number:026d}", f"n{number}", (f"10.0.{number // 256}.{number % 256}:4747",))
        ref = member_ref(member.id)
        found.append(Record(*ref, {key: Field(value, stamp) for key, value in member_fields(member).items()}))
    return found


class Big:
    """A cluster of that many nodes, all alive for each other."""

    def __init__(self, size: int, loss: float) -> None:
        self.world = MemberWorld(seed=size)
        self.world.network.loss = loss
        self.peers: list[SimPeers] = []
        self.clocks: list[NodeClock] = []
        self.clusters: list[Cluster] = []
        records = _records(size)
        for number, record in enumerate(records[1:]):
            address = str(record.value("addresses")[0])  # type: ignore[index]
            clock = NodeClock(self.world.clock)
            peers = SimPeers(
                self.world.network, record.key, address, f"b{number}", f"n{number}", lambda: "simulated", clock
            )
            state = MemoryState(Stored("simulated"))
            start = Start(f"n{number}", (address,), f"b{number}")
            cluster = Cluster(
                peers,
                clock,
                SameRecords(records),
                state,
                start,
                seconds=clock.seconds,
                now_ms=self._now_ms,
                seed=number,
            )
            self.peers.append(peers)
            self.clocks.append(clock)
            self.clusters.append(cluster)
            self.world.clock.callLater(self.world.random.random(), self._start, cluster)

    def _now_ms(self) -> int:
        return START_MS + int(self.world.clock.seconds() * 1000)

    def _start(self, cluster: Cluster) -> None:
        cluster.start()
        detector = cluster.membership.standing.detector
        for number, other in enumerate(self.peers):
            if other.id in detector.peers:
                detector.sign(other.id, f"b{number}", 1, cluster.membership.standing.wall_ms, direct=True)
                peer = detector.peers[other.id]
                peer.heard = peer.since = self.world.clock.seconds()

    def idle_bytes(self) -> float:
        """Bytes that a node sends in a second, on average, when nothing happens."""
        self.world.run(3)
        before = sum(peers.sent for peers in self.peers)
        self.world.run(IDLE_S)
        return (sum(peers.sent for peers in self.peers) - before) / IDLE_S / len(self.peers)

    def death(self) -> tuple[list[float], float]:
        """Takes the machine of one node away: after how many seconds the others saw it dead, and the bytes that each sent per
        second meanwhile."""
        gone = self.peers[0]
        self.clocks[0].dead = True
        gone.crash(silent=True)
        begin = self.world.clock.seconds()
        before = sum(peers.sent for peers in self.peers)
        seen: dict[int, float] = {}
        others = range(1, len(self.clusters))
        while len(seen) < len(others) and self.world.clock.seconds() < begin + WAIT_S:
            self.world.run(0.1)
            for number in others:
                peers = self.clusters[number].membership.standing.detector.peers
                if number not in seen and peers[gone.id].state == DEAD:
                    seen[number] = self.world.clock.seconds() - begin
        took = self.world.clock.seconds() - begin
        missing = [float("inf")] * (len(others) - len(seen))
        return [*seen.values(), *missing], (sum(peers.sent for peers in self.peers) - before) / took / len(others)

    def wrong(self) -> int:
        """How many nodes are dead for somebody, without being dead."""
        return sum(
            peer.state == DEAD
            for cluster in self.clusters[1:]
            for node, peer in cluster.membership.standing.detector.peers.items()
            if node != self.peers[0].id
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[5, 30, 100])
    parser.add_argument("--loss", type=float, default=0.0, help="of messages, each way")
    options = parser.parse_args(arguments)
    for size in options.nodes:
        begin = time.monotonic()
        big = Big(size, options.loss)
        idle = big.idle_bytes()
        seen, busy = big.death()
        took = time.monotonic() - begin
        print(
            f"simulated, {size} nodes, {options.loss:.0%} of messages lost: seen dead by the first after {min(seen):.1f} s, by half "
            f"after {median(seen):.1f} s, by all after {max(seen):.1f} s; {big.wrong()} seen dead wrongly; a node sends {idle:.0f} "
            f"bytes a second when idle ({idle / (size - 1):.0f} per peer), {busy:.0f} around a death; took {took:.0f} s",
            flush=True,
        )
        big.world.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
