"""A whole node without a reactor: in-memory stores, everything inline, a clock that the test turns."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tagfs.model.principal import OWNER
from tagfs.node.accounts import Accounts
from tagfs.node.core import Core
from tagfs.node.node import Node
from tagfs.node.offload import Inline
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore

START_MS = 1_760_000_000_000


@define
class World:
    """A node, its stores, and the wall clock (milliseconds since 1970)."""

    catalog: MemoryCatalog
    blobs: MemoryBlobStore
    now_ms: int = START_MS
    core: Core = None  # type: ignore[assignment]
    node: Node = None  # type: ignore[assignment]

    def restart(self) -> None:
        """A new node over the same stores."""
        inline = Inline()
        self.core = Core(
            "testnode", self.catalog, self.blobs, writer=inline, readers=inline, transfers=inline, now_ms=self._now
        )
        self.node = Node(self.core, "test", "", "", Accounts(self.core, inline, Clock(), OWNER))

    def _now(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def store(self, name: str, *tags: str, data: bytes = b"content", **more: Any) -> str:
        """Stores a content; its entry id."""
        receiving = now(self.node.receive(OWNER, len(data)))
        receiving.write(data)
        return str(now(receiving.add(name, tags, **more)).id)

    def content(self, identifier: str, **more: Any) -> bytes:
        """Reads a content."""
        reading = now(self.node.read(OWNER, identifier, **more))
        try:
            return b"".join(iter(lambda: now(reading.read(3)), b""))
        finally:
            reading.close()


def now(coroutine: Any) -> Any:
    """The result of a coroutine that must not have to wait."""
    result: list[Any] = []
    failure: list[Any] = []
    Deferred.fromCoroutine(coroutine).addCallbacks(result.append, failure.append)
    if failure:
        failure[0].raiseException()
    assert result, "the coroutine waits for something"
    return result[0]


@pytest.fixture
def world() -> World:
    made = World(MemoryCatalog("testnode"), MemoryBlobStore())
    made.restart()
    return made
