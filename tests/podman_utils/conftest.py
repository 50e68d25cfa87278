"""A fake Podman with the images that a cluster needs, and a cluster on it whose waits take no time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from podman_utils.cluster import Cluster
from podman_utils.description import GENERAL_IMAGE, NODE_IMAGE
from podman_utils.engine import Engine
from podman_utils.plan import ROUTER_IMAGE
from tests.podman_utils.fake_podman import FakePodman


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakePodman]:
    running = FakePodman(tmp_path)
    for name in (GENERAL_IMAGE, NODE_IMAGE, ROUTER_IMAGE):
        running.add_image(name)
    yield running
    running.close()


@pytest.fixture
def engine(fake: FakePodman) -> Iterator[Engine]:
    connected = Engine(fake.url)
    yield connected
    connected.close()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cluster(engine: Engine, said: list[str]) -> Cluster:
    """Time goes on by a second whenever it is asked for."""
    clock = itertools.count()
    return Cluster(engine, "c", said.append, now=lambda: float(next(clock)), sleep=lambda seconds: None)
