"""Peers with TLS and without."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_twisted

from tests.node.peers.peer_world import World


@pytest.fixture(params=["tls", "plain"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


@pytest_twisted.async_yield_fixture
async def world(tls: bool) -> AsyncIterator[World]:
    from twisted.internet import reactor

    made = World(reactor, tls)
    yield made
    await made.close()
