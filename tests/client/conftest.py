"""Fixtures of the client's tests: an honest node in memory."""

from collections.abc import Iterator

import pytest

from tagfs.client import Client
from tests.client.fake_server import MemoryNode


@pytest.fixture
def node() -> Iterator[MemoryNode]:
    with MemoryNode() as running:
        yield running


@pytest.fixture
def client(node: MemoryNode) -> Iterator[Client]:
    with Client(port=node.port, timeout=10) as connected:
        yield connected
