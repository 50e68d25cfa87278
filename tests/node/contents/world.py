"""Three or more simulated nodes whose contents are placed, fetched and dropped by the code of production."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tagfs.cluster.view import ClusterSettings
from tagfs.errors import NotFound
from tagfs.model.entry import partition
from tagfs.model.principal import OWNER
from tagfs.storage.interfaces import CHUNK
from tagfs.storage.memory import MemoryCatalog
from tests.sim.cluster import SimCluster, SimNode

LARGE = 5 * CHUNK + 12_345


def cluster(size: int = 3, copies: int = 3, kind: type[SimCluster] = SimCluster, **more: Any) -> Any:
    """Nodes that have found each other and know what each holds."""
    settings = ClusterSettings(copies=copies, write_copies=1)
    made = kind(size, settings=settings, moves_contents=True, **more)
    made.run(2)
    return made


def bytes_of(length: int, seed: int = 1) -> bytes:
    """Bytes that differ from chunk to chunk."""
    return b"".join((number * 7919 + seed).to_bytes(8, "big") for number in range(-(-length // 8)))[:length]


def store(world: SimCluster, node: SimNode, data: bytes, name: str = "f") -> Any:
    """Stores a content and waits for what INode says."""
    return world.wait(world.store(node, name, data=data))


def digest_of(node: SimNode, entry: str) -> bytes:
    """The digest of an entry's content."""
    (found,) = [each for each in node.catalog.records("entry", "", 10_000) if each.key == entry]
    value: Any = found.value("content")
    return bytes(value[0])


def holding(world: SimCluster, digest: bytes) -> set[str]:
    """The nodes that have a content in their store, whatever anybody says."""
    return {id for id, node in world.nodes.items() if node.blobs.stat(digest) is not None}


def told(world: SimCluster, node: SimNode, entry: str) -> tuple[str, list[str]]:
    """``copies`` and ``nodes`` of INFO; nothing where the node has not heard of the entry."""
    try:
        info = world.wait(node.node.info(OWNER, entry))
    except NotFound:
        return "", []
    return f"{info.copies.have}/{info.copies.want}", list(info.nodes)


def read(world: SimCluster, node: SimNode, entry: str, piece: int = 100_000, **more: Any) -> bytes:
    """Reads a content, or a range of it, through INode."""

    async def all_of() -> bytes:
        reading = await node.node.read(OWNER, entry, **more)
        try:
            got = []
            while data := await reading.read(piece):
                got.append(data)
            return b"".join(got)
        finally:
            reading.close()

    return bytes(world.wait(all_of()))


def owners(world: SimCluster, entry: str) -> list[str]:
    """The nodes that are to hold an entry's content."""
    return list(world.view_of("n1").layout.owners(partition(entry)))


def other(world: SimCluster, *ids: str | Collection[str]) -> SimNode:
    """A node that is none of these."""
    left_out = {each for id in ids for each in ([id] if isinstance(id, str) else id)}
    return next(node for id, node in world.nodes.items() if id not in left_out)


def restart(node: SimNode) -> None:
    """The process ends and begins anew; what a catalog does not keep is gone."""
    node.stop()
    catalog = node.catalog
    assert isinstance(catalog, MemoryCatalog)
    catalog._held = {node.id: {}}
    catalog._news.clear()
    node.start()
