"""A real node over stores in memory, without threads, for tests of the doors."""

from __future__ import annotations

from itertools import count

from twisted.internet.task import Clock

from tagfs.model.principal import OWNER, Principal
from tagfs.node.accounts import Accounts
from tagfs.node.core import Core
from tagfs.node.node import Node
from tagfs.node.offload import Inline
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore


def real_node(anonymous: Principal = OWNER) -> Node:
    """A node of its own, empty; its clock is a counter."""
    inline = Inline()
    clock = count(1_760_000_000_000)
    core = Core(
        "testnode",
        MemoryCatalog("testnode"),
        MemoryBlobStore(),
        writer=inline,
        readers=inline,
        transfers=inline,
        now_ms=lambda: next(clock),
    )
    return Node(core, "test", "", "", Accounts(core, inline, Clock(), anonymous))
