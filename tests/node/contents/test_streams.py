"""Large contents between nodes by threads, over real sockets: what comes is right, whoever fails on the way."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from threading import Event
from typing import Any

import pytest
import pytest_twisted
from blake3 import blake3
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from tagfs.cluster.placement import Layout
from tagfs.cluster.view import Member, View
from tagfs.errors import NotFound, Unavailable
from tagfs.node.contents import giving, taking
from tagfs.node.contents.contents import THREADS, Contents
from tagfs.node.core import Core
from tagfs.node.offload import Threads
from tagfs.node.peers import limits
from tagfs.node.peers.interfaces import STREAM
from tagfs.storage.interfaces import CHUNK, IBlobReader
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore
from tagfs.wire.node_answers import BrokenStream
from tests.node.contents.world import bytes_of
from tests.node.peers.peer_world import World, by_hand, failure_of, identity

PIECES = 12
DATA = bytes_of(PIECES * CHUNK + 12_345)
DIGEST = blake3(DATA).digest()


class Holder:
    """A node with contents in memory."""

    def __init__(self, world: World, number: int) -> None:
        self.peers = world.peers(number)
        self.blobs = MemoryBlobStore()
        self.pools = [Threads(world.reactor, size, "test") for size in (1, 2, 2, THREADS)]
        writer, readers, transfers, threads = self.pools
        self.core = Core(
            self.peers.id,
            MemoryCatalog(self.peers.id),
            self.blobs,
            writer=writer,
            readers=readers,
            transfers=transfers,
            now_ms=lambda: 0,
        )
        self.contents = Contents(self.core, self.peers, world.reactor, f"boot{number}", threads=threads)

    @property
    def streamed(self) -> int:
        """Bytes that its threads gave."""
        assert self.contents._giving is not None
        return self.contents._giving.given_bytes

    def store(self, data: bytes = DATA) -> None:
        writer = self.blobs.begin()
        writer.write(data)
        writer.finish()

    def see(self, *ids: str) -> None:
        known = {id: Member(id, id, ()) for id in ids}
        states = dict.fromkeys(ids, "alive")
        self.contents.see(View(self.peers.id, "c", known, states, frozenset(ids), Layout.of([], 1)))


class Nodes:
    """One that wants contents, the first, and others that have them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.all: list[Holder] = []

    async def make(self, number: int) -> list[Holder]:
        """The first has met the others."""
        self.all = [Holder(self.world, at + 1) for at in range(number)]
        for holder in self.all:
            holder.see(*(each.peers.id for each in self.all))
        for holder in self.all[1:]:
            await self.all[0].peers.meet(self.world.addresses[holder.peers])
        return self.all

    async def close(self) -> None:
        for holder in self.all:
            await holder.contents.stop()
            await holder.peers.close()
            for pool in holder.pools:
                pool.stop()


@pytest_twisted.async_yield_fixture
async def nodes(world: World) -> AsyncIterator[Nodes]:
    made = Nodes(world)
    yield made
    await made.close()


@pytest.fixture(params=["tls", "plain"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


@pytest_twisted.async_yield_fixture
async def world(tls: bool) -> AsyncIterator[World]:
    from twisted.internet import reactor

    made = World(reactor, tls)
    yield made
    await made.close()


def slowly(holder: Holder, on_read: Callable[[int], object]) -> None:
    """From now on, ``on_read`` is told of the offset of each piece that is read there, on whatever thread that is."""
    opening = holder.blobs.open

    class Slow:
        def __init__(self, reader: IBlobReader) -> None:
            self.size, self.in_memory, self.close = reader.size, False, reader.close
            self._read = reader.read

        def read(self, offset: int, length: int) -> bytes:
            on_read(offset)
            return bytes(self._read(offset, length))

    holder.blobs.open = lambda digest: Slow(opening(digest))  # type: ignore[method-assign,assignment,return-value]


async def test_a_large_content_comes_by_threads(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, in several runs over one connection, also a last piece that is shorter; another content uses that again."""
    monkeypatch.setattr("tagfs.node.contents.fetching.RUN", 5)
    getter, holder = await nodes.make(2)
    other = bytes_of(6 * CHUNK, 5)
    holder.store()
    holder.store(other)
    for data in (DATA, other):
        digest = blake3(data).digest()
        await getter.contents.fetch(digest, len(data), [holder.peers.id])
        assert getter.blobs.contents[digest] == data
    # The third run is too short to be worth a thread.
    assert holder.streamed == 10 * CHUNK + 5 * CHUNK
    assert len(getter.peers._streams) == 1
    figures = {figure.name: figure.value for figure in holder.contents.figures()}
    assert figures["given_bytes"] == len(DATA) + len(other)


async def test_a_damaged_piece_is_taken_from_another(nodes: Nodes) -> None:
    """Whoever has a bad piece is left there and then; what came before it is not asked for again."""
    getter, bad, good = await nodes.make(3)
    bad.store()
    good.store()
    bad.blobs.contents[DIGEST] = DATA[: 7 * CHUNK + 5] + b"?" + DATA[7 * CHUNK + 6 :]
    reads: list[int] = []
    slowly(good, reads.append)
    await getter.contents.fetch(DIGEST, len(DATA), [bad.peers.id, good.peers.id])
    assert getter.blobs.contents[DIGEST] == DATA
    assert min(reads) == 7 * CHUNK or bad.streamed == 0


async def test_a_lying_piece_is_not_stored(nodes: Nodes) -> None:
    """A holder that gives other bytes than its digests say is found out here, whatever it thinks of them."""
    getter, bad, good = await nodes.make(3)
    bad.store()
    good.store()
    opening = bad.blobs.open

    class Lying:
        size, in_memory = len(DATA), False

        def read(self, offset: int, length: int) -> bytes:
            return bytes(length) if offset == 3 * CHUNK else DATA[offset : offset + length]

        def close(self) -> None:
            """Nothing is open."""

    bad.blobs.open = lambda digest: Lying() if digest == DIGEST else opening(digest)  # type: ignore[method-assign,assignment,return-value]
    await getter.contents.fetch(DIGEST, len(DATA), [bad.peers.id, good.peers.id])
    assert getter.blobs.contents[DIGEST] == DATA
    assert bad.streamed and good.contents._given_bytes >= len(DATA) - 3 * CHUNK


async def test_a_holder_that_goes_in_the_middle(nodes: Nodes) -> None:
    """The rest comes from the other one."""
    getter, first, second = await nodes.make(3)
    first.store()
    second.store()
    cut = Event()

    def on_read(offset: int) -> None:
        if offset == 5 * CHUNK:
            nodes.world.reactor.callFromThread(lambda: (getter.peers.drop(first.peers.id), cut.set()))
            cut.wait(30)

    slowly(first, on_read)
    await getter.contents.fetch(DIGEST, len(DATA), [first.peers.id, second.peers.id])
    assert getter.blobs.contents[DIGEST] == DATA
    assert first.streamed and second.contents._given_bytes


async def test_giving_up_in_the_middle(nodes: Nodes) -> None:
    """Cancelling ends the threads on both sides, and what came is kept for the next attempt."""
    getter, holder = await nodes.make(2)
    holder.store()
    fetching = getter.contents.fetch(DIGEST, len(DATA), [holder.peers.id])

    def cancel(offset: int) -> None:
        if offset == 11 * CHUNK:
            nodes.world.reactor.callFromThread(fetching.cancel)

    slowly(holder, cancel)
    assert isinstance(await failure_of(fetching), CancelledError)
    taken = getter.contents._taking
    assert taken is not None
    await nodes.world.until(lambda: not taken._runs)
    await getter.contents.fetch(DIGEST, len(DATA), [holder.peers.id])
    assert getter.blobs.contents[DIGEST] == DATA


async def test_a_node_without_room_for_streams(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives its contents all the same, piece by piece."""
    monkeypatch.setattr(giving, "PER_NODE", 0)
    getter, holder = await nodes.make(2)
    holder.store()
    assert isinstance(await failure_of(getter.peers.stream(holder.peers.id)), Unavailable)
    await getter.contents.fetch(DIGEST, len(DATA), [holder.peers.id])
    assert getter.blobs.contents[DIGEST] == DATA and not holder.streamed


async def test_a_stream_that_nobody_uses_ends(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who took it lets go of it after a while; who gives ends it then at the latest, and by itself after more silence."""
    monkeypatch.setattr(giving, "SILENCE_S", 0.2)
    getter, holder = await nodes.make(2)
    holder.store()
    await getter.contents.fetch(DIGEST, len(DATA), [holder.peers.id])
    assert holder.contents._giving is not None and getter.contents._taking is not None
    giver = holder.contents._giving
    await nodes.world.until(lambda: not giver._running)
    monkeypatch.setattr(taking, "IDLE_S", 0.0)
    getter.contents._taking.sweep()
    await nodes.world.until(lambda: not getter.peers._streams)


async def test_a_node_that_is_dropped_loses_its_streams(nodes: Nodes) -> None:
    """Who is forgotten gets nothing more over a connection that a thread has."""
    getter, holder = await nodes.make(2)
    stream = await getter.peers.stream(holder.peers.id)
    assert len(holder.peers._door._members) == 2
    holder.peers.drop(getter.peers.id)
    await nodes.world.until(lambda: not holder.peers._door._members)
    with pytest.raises(ConnectionError, match=r"closed|reset|pipe"):
        stream.receive(memoryview(bytearray(10)), 5)
    stream.close()


@pytest.mark.parametrize("tls", [False], ids=["plain"])
async def test_by_hand_as_a_node(nodes: Nodes, world: World) -> None:
    """After STREAM, lines are answered in order; what is no CHUNK is refused, and too long a line ends nothing."""
    getter, holder = await nodes.make(2)
    holder.store()
    hand = await by_hand(world, world.addresses[holder.peers], node=getter.peers.id)
    hand.transport.write(b"s STREAM\n")
    await world.until(lambda: b"s OK\n" in hand.heard)
    hand.heard = b""
    hand.transport.write(b"1 CHUNK %b 0 5\n2 PING\n3 CHUNK 00 0 5\n4 CHUNK %b 9 0\n" % ((DIGEST.hex().encode(),) * 2))
    await world.until(lambda: b"\n4 NO " in hand.heard)
    assert hand.heard.startswith(b"1 OK {5}\n" + DATA[:5] + b"2 BAD ")
    assert b"\n3 NO " in hand.heard


@pytest.mark.parametrize("tls", [False], ids=["plain"])
async def test_a_peer_that_takes_nothing(nodes: Nodes, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut off, and the thread is free again."""
    monkeypatch.setattr(limits, "STALL_S", 0.3)
    getter, holder = await nodes.make(2)
    holder.store()
    hand = await by_hand(world, world.addresses[holder.peers], node=getter.peers.id)
    hand.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # type: ignore[attr-defined]
    hand.transport.write(b"s STREAM\n")
    await world.until(lambda: b"s OK\n" in hand.heard)
    hand.transport.pauseProducing()  # type: ignore[attr-defined]
    hand.transport.write(b"".join(b"1 CHUNK %b 0 1048576\n" % DIGEST.hex().encode() for _ in range(50)))
    assert holder.contents._giving is not None
    giver = holder.contents._giving
    await world.until(lambda: not giver._running)
    assert holder.streamed < 50 * CHUNK
    hand.transport.abortConnection()  # type: ignore[attr-defined]
    await world.until(lambda: hand.gone)


@pytest.mark.parametrize("tls", [False], ids=["plain"])
async def test_a_person_gets_no_stream(nodes: Nodes, world: World) -> None:
    """Streams are for nodes, and for members of the cluster among them."""
    _, holder = await nodes.make(2)
    hand = await by_hand(world, world.addresses[holder.peers])
    hand.transport.write(b"s STREAM\n")
    await world.until(lambda: b"s NO forbidden" in hand.heard)
    hand = await by_hand(world, world.addresses[holder.peers], node=identity(9).id)
    hand.transport.write(b"s STREAM\n")
    await world.until(lambda: b"s NO unavailable" in hand.heard)


async def test_who_does_not_wait_for_the_answer(nodes: Nodes, world: World) -> None:
    """What comes behind STREAM before it is answered ends the connection, or is lost: never the node."""
    getter, holder = await nodes.make(2)
    link = getter.peers._links[holder.peers.id]
    assert link.line is not None
    line = await getter.peers._dial(link.line.address, holder.peers.id)
    line.transport.write(b"1 %b\n" % STREAM.encode())  # type: ignore[union-attr]
    await deferLater(world.reactor, 0)
    line.transport.write(b"2 PING\n" * 1000)  # type: ignore[union-attr]
    ended: Deferred[Any] = line.ended
    line._clock.callLater(0.3, line.give_up, Unavailable("seen"))
    await ended
    holder.store()
    await getter.contents.fetch(DIGEST, len(DATA), [holder.peers.id])
    assert getter.blobs.contents[DIGEST] == DATA


def test_an_answer_that_is_no_piece() -> None:
    """Whatever the other end says instead is read to its end, also where it comes in parts or with rows."""

    class Saying:
        def __init__(self, *parts: bytes) -> None:
            self.left = b"|".join(parts)

        def receive(self, view: memoryview, patience_s: float) -> int:
            part = self.left.partition(b"|")[0][: len(view)]
            self.left = self.left[len(part) :].removeprefix(b"|")
            if not part:
                raise ConnectionResetError("it hung up")
            view[: len(part)] = part
            return len(part)

    def expect(*parts: bytes) -> None:
        taking._expect(Saying(*parts), "0", CHUNK, 1.0)  # type: ignore[arg-type]

    expect(b"0 OK", b" {1048576}\n", b"more")
    for parts in ([b"0 NO missing gone\n"], [b"0 N", b"O missing", b" gone\n"], [b"0 ROW x\n", b"0 NO missing gone\n"]):
        with pytest.raises(NotFound, match="gone"):
            expect(*parts)
    with pytest.raises(BrokenStream):
        expect(b"0 OK {5}\n12345")
    with pytest.raises(ConnectionResetError):
        expect(b"0 ROW x\n")
