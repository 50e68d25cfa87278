"""Discovery: nodes of one host hear each other on loopback; forged, replayed and too many datagrams cost little."""

from __future__ import annotations

import socket
from random import Random

import pytest
from twisted.internet import task
from twisted.internet.defer import Deferred

from tagfs.node.discovery.discovery import CHECKS_PER_S, Discovery
from tagfs.node.discovery.networks import Network, networks_of
from tagfs.node.discovery.sockets import GROUP
from tagfs.wire.beacons import Beacon, beacon_key, encode_beacon

KEY = bytes(range(32))
LOOPBACK = Network("127.0.0.1", "127.255.255.255")


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Ears:
    """A node's discovery that notes what it hears, and says who it is."""

    def __init__(self, reactor: object, name: str, port: int, key: bytes = KEY) -> None:
        self.heard: list[Beacon] = []
        self.numbers = 0
        self.name = name
        self.waiting: list[tuple[str, Deferred[None]]] = []
        self.discovery = Discovery(reactor, name, key, "127.0.0.1", port, self.own, self.hear, Random(1))

    def own(self, network: Network) -> Beacon:
        self.numbers += 1
        return Beacon(self.name, "boot", "", f"{network.address}:1", self.numbers)

    def hear(self, beacon: Beacon) -> None:
        self.heard.append(beacon)
        for node, waiting in self.waiting:
            if node == beacon.node and not waiting.called:
                waiting.callback(None)

    def until(self, node: str) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self.waiting.append((node, waiting))
        return waiting


def test_a_listener_on_loopback_is_on_loopback_only() -> None:
    """Beacons of a node that only this machine can reach stay on this machine."""
    assert networks_of("127.0.0.1") == [LOOPBACK]


def test_a_listener_on_all_addresses_is_on_all_networks_but_loopback() -> None:
    """Where there is any other network, loopback is of no use to others."""
    everywhere = networks_of("0.0.0.0")
    assert everywhere
    assert LOOPBACK not in everywhere or everywhere == [LOOPBACK]


async def test_nodes_of_one_host_hear_each_other() -> None:
    """Three nodes share the beacon port; each hears both others, and nobody with another key."""
    from twisted.internet import reactor

    port = free_udp_port()
    nodes = [Ears(reactor, name, port) for name in "abc"]
    stranger = Ears(reactor, "x", port, bytes(32))
    everybody = [*nodes, stranger]
    for each in everybody:
        each.discovery.start()
    try:
        for each in nodes:
            for other in nodes:
                if other is not each:
                    await each.until(other.name).addTimeout(10, reactor)
        assert all(beacon.node in "abc" for each in nodes for beacon in each.heard)
        assert stranger.heard == []
        assert all(each.heard[0].address == "127.0.0.1:1" for each in nodes)
    finally:
        for each in everybody:
            await each.discovery.stop()


def beacon(node: str, number: int, key: bytes = KEY, boot: str = "b") -> bytes:
    return encode_beacon(Beacon(node, boot, "", "127.0.0.1:1", number), beacon_key(key))


def test_replays_and_forgeries_are_dropped() -> None:
    """Of each run of a node only beacons with greater numbers than before count; others' keys never do."""
    ears = Ears(task.Clock(), "me", 1)
    for datagram in (beacon("a", 5), beacon("a", 5), beacon("a", 4), beacon("a", 6, bytes(32)), b"junk", b""):
        ears.discovery.hear(datagram)
    assert [heard.number for heard in ears.heard] == [5]
    ears.discovery.hear(beacon("a", 1, boot="c"))
    assert [heard.boot for heard in ears.heard] == ["b", "c"]


def test_a_flood_is_dropped_unread_and_is_over_when_it_ends() -> None:
    """Beyond a number per second nothing is looked at; a second later a true beacon is heard."""
    clock = task.Clock()
    clock.advance(1000)
    ears = Ears(clock, "me", 1)
    for _ in range(CHECKS_PER_S):
        ears.discovery.hear(beacon("f", 1, bytes(32)))
    ears.discovery.hear(beacon("a", 1))
    assert ears.heard == []
    clock.advance(1)
    ears.discovery.hear(beacon("a", 2))
    assert [heard.number for heard in ears.heard] == [2]


def test_memory_of_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the key cannot make a node remember without bound; the oldest are forgotten."""
    monkeypatch.setattr("tagfs.node.discovery.discovery.REMEMBERED", 10)
    monkeypatch.setattr("tagfs.node.discovery.discovery.CHECKS_PER_S", 10_000)
    ears = Ears(task.Clock(), "me", 1)
    ears.discovery._checks = 10_000
    for number in range(50):
        ears.discovery.hear(beacon(f"n{number}", 1))
    assert len(ears.heard) == 50
    assert len(ears.discovery._numbers) == 10


async def test_nothing_sent_to_this_machine_itself_is_heard() -> None:
    """The sockets are bound to the group and to broadcast addresses: the beacon port is closed to plain datagrams."""
    from twisted.internet import reactor

    port = free_udp_port()
    ears = Ears(reactor, "a", port)
    ears.discovery.start()
    try:
        assert sorted(ears.discovery._ports) == sorted([GROUP, "127.255.255.255"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", port))  # nobody has it
    finally:
        await ears.discovery.stop()
