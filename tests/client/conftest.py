"""Fixtures of the client's tests: an honest node in memory."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_server import MemoryNode

from tagfs.client import Client


@pytest.fixture
def node() -> Iterator[MemoryNode]:
    with MemoryNode() as running:
        yield running


@pytest.fixture
def client(node: MemoryNode) -> Iterator[Client]:
    with Client(port=node.port, timeout=10) as connected:
        yield connected
