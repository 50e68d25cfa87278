"""Membership over real connections: nodes join, see each other, stop; the refusals that membership decides."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_twisted

from tagfs.cluster import founding
from tagfs.errors import Forbidden
from tests.node.peers.cluster_world import ClusterWorld, all_alive
from tests.node.peers.peer_world import World, failure_of


@pytest_twisted.async_yield_fixture
async def cluster(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ClusterWorld]:
    monkeypatch.setattr(founding, "WAIT_S", 0.0)
    made = ClusterWorld(world)
    yield made
    await made.close()


@pytest.mark.limit(40)
async def test_three_nodes(cluster: ClusterWorld) -> None:
    """By one seed each, all see all; who stops is seen to; who is forgotten does not come back; a second process is refused."""
    first = cluster.member(1)
    await cluster.world.until(lambda: first.cluster.view.cluster)
    second, third = cluster.member(2), cluster.member(3)
    await cluster.world.until(lambda: all_alive([first, second, third]))
    assert sorted(first.peers.connected()) == sorted([second.peers.id, third.peers.id])

    double = cluster.member(2, boot="second")
    await cluster.world.until(lambda: "another process with this node's id" in double.cluster.refusal)
    error = await failure_of(double.peers.meet(first.address))
    assert isinstance(error, Forbidden) and "another process with this node's id" in str(error)
    assert cluster.states(first)[second.peers.id] == "alive"

    await third.cluster.stop()
    await cluster.world.until(lambda: cluster.states(first)[third.peers.id] == "dead")
    await first.cluster.forget(third.peers.id)
    returned = cluster.world.peers(3, boot="again")
    error = await failure_of(returned.meet(first.address))
    assert isinstance(error, Forbidden) and "this node was forgotten by the cluster" in str(error)
