"""The ways between nodes keep the contract: sockets with TLS and without, and the simulated network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from tagfs.node.peers.peers import Peers
from tests.contracts.peers_contract import Nodes, PeersContract
from tests.node.peers.peer_world import KEY, World, identity
from tests.sim.network import Network, SimPeers


class RealNodes(Nodes):
    """On loopback."""

    def __init__(self, world: World) -> None:
        self.world = world

    def make(self, number: int) -> tuple[Any, str]:
        peers = Peers(
            self.world.reactor,
            identity(number),
            f"name{number}",
            KEY,
            boot=f"boot{number}",
            tls=self.world.tls,
            cluster=lambda: "c",
        )
        self.world.all.append(peers)
        self.world.listen(peers)
        return peers, self.world.addresses[peers]

    async def until(self, condition: Callable[[], object]) -> None:
        await self.world.until(condition)


class SimulatedNodes(Nodes):
    """On a network without faults."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock, Random(1))

    def make(self, number: int) -> tuple[Any, str]:
        address = f"n{number}:4747"
        return SimPeers(self.network, f"n{number}", address, f"boot{number}", f"name{number}", lambda: "c"), address

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(20_000):
            if condition():
                return
            self.clock.advance(0.001)
        raise AssertionError("it did not happen within 20 simulated seconds")


class TestRealPeers(PeersContract):
    @pytest_twisted.async_yield_fixture(params=[True, False])
    async def nodes(self, request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
        from twisted.internet import reactor

        world = World(reactor, request.param)
        yield RealNodes(world)
        await world.close()


class TestSimulatedPeers(PeersContract):
    @pytest.fixture
    def nodes(self) -> Nodes:
        return SimulatedNodes()
