"""The tag port over real sockets: what only a kernel shows."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest_twisted
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tagfs.front.ftp.door import Limits
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.protocol import TagFtpFactory
from tagfs.front.ftp.verb import Verb, table
from tagfs.front.ftp.verbs import TAG_VERBS
from tagfs.model.entry import Content, Entry, entry_id
from tests.front.fake_node import START, FakeNode

LIMITS = Limits(stall_s=3600, idle_s=3600)
ENTRIES = [
    Entry(
        entry_id(START, number.to_bytes(10, "big")),
        f"n{number}",
        Content(b"", 1, "", 0),
        0,
        ("t",) * 20,
        None,
        None,
        (),
    )
    for number in range(500)
]


class Endless:
    """A listing that has more as long as it is asked."""

    total = 1 << 40
    complete = True

    def __init__(self) -> None:
        self.pages = 0
        self.closed = False

    async def next(self) -> Sequence[Entry]:
        self.pages += 1
        return ENTRIES

    def close(self) -> None:
        self.closed = True


class EndlessNode(FakeNode):
    def __init__(self) -> None:
        super().__init__()
        self.listed = Endless()

    async def listing(self, *_: Any) -> Endless:  # type: ignore[override]
        return self.listed


@define
class Port:
    """A listening tag port; ``dial`` gives blocking sockets, for use in :meth:`blocking`."""

    node: FakeNode
    number: int
    factory: TagFtpFactory
    sockets: list[socket.socket] = field(factory=list)

    def dial(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.number), timeout=20)
        self.sockets.append(made)
        return made

    async def blocking(self, work: Callable[[], Any]) -> Any:
        return await deferToThread(work)

    async def until(self, condition: Callable[[], bool]) -> None:
        from twisted.internet import reactor

        while not condition():
            await deferLater(reactor, 0.005)


def to_end(sock: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


async def listen(node: FakeNode, **more: Any) -> AsyncIterator[Port]:
    from twisted.internet import reactor

    factory = TagFtpFactory(node, reactor, **{"limits": LIMITS, "verbs": TAG_VERBS, **more})
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    port = Port(node, listening.getHost().port, factory)
    yield port
    for sock in port.sockets:
        sock.close()
    await listening.stopListening()
    await factory.close()


@pytest_twisted.async_yield_fixture
async def port() -> AsyncIterator[Port]:
    async for made in listen(FakeNode()):
        yield made


@pytest_twisted.async_yield_fixture
async def endless() -> AsyncIterator[Port]:
    async for made in listen(EndlessNode()):
        yield made


async def test_half_close(port: Port) -> None:
    """As ``nc -N``: the client ends its stream at once, and gets all its answers, then the end."""

    def client() -> bytes:
        sock = port.dial()
        sock.sendall(b"ADD 5 a t\r\nhelloFIND t\r\nCOUNT\r\n")
        sock.shutdown(socket.SHUT_WR)
        return to_end(sock)

    lines = (await port.blocking(client)).split(b"\r\n")
    assert [line[:4] for line in lines] == [b"220 ", b"150 ", b"250 ", b"213-", lines[4][:4], b"213 ", b"213 ", b""]


async def test_many_adds_in_one_stream(port: Port) -> None:
    """Thousands of contents pipelined without waiting, of sizes below and above a segment, are all stored as sent."""
    contents = [bytes([number % 256]) * (number * 37 % 3000) for number in range(3000)] + [b"\r\nQUIT\r\n" * 200_000]

    def client() -> bytes:
        sock = port.dial()
        sock.sendall(b"".join(b"ADD %d n%d\r\n%b" % (len(c), number, c) for number, c in enumerate(contents)))
        sock.shutdown(socket.SHUT_WR)
        return to_end(sock)

    reply = await port.blocking(client)
    assert reply.count(b"\r\n250 ") == len(contents)
    node = port.node
    assert [node.blobs[entry.content.digest] for entry in node.entries.values()] == contents


async def test_client_that_does_not_read_holds_little(endless: Port) -> None:
    """A listing without end, asked for by a client that reads nothing, stops; it ends with the connection."""
    node = endless.node
    assert isinstance(node, EndlessNode)

    def ask() -> None:
        sock = endless.dial()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"FIND\r\n" + b"NOOP\r\n" * 1000)

    await endless.blocking(ask)
    (protocol,) = endless.factory._protocols
    await endless.until(lambda: protocol.session._watch.output_waiting)
    transport = protocol.transport
    pages = node.listed.pages
    held = len(transport.dataBuffer) + transport._tempDataLen
    assert held < 2 << 20
    endless.sockets.pop().close()
    await endless.until(lambda: node.listed.closed)
    assert node.listed.pages <= pages + 1


async def test_http_by_a_browser(port: Port) -> None:
    """A form posted to the port gets no command through, and the connection ends."""

    def client() -> bytes:
        sock = port.dial()
        sock.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\nADD 1 evil\r\nx\r\n")
        return to_end(sock)

    reply = await port.blocking(client)
    assert [line[:4] for line in reply.split(b"\r\n")] == [b"220 ", b"421 ", b""]
    assert not port.node.entries


async def test_urgent_data_stays_in_line() -> None:
    """ABOR sent as urgent data behind telnet's IP and DM, as clients send it, arrives whole."""
    came: list[str] = []

    def abor(exchange: Exchange) -> None:
        came.append(exchange.argument)
        exchange.reply(226, "done")

    async for port in listen(FakeNode(), verbs={**TAG_VERBS, **table([Verb("ABOR", abor)])}):

        def client(port: Port = port) -> bytes:
            sock = port.dial()
            sock.sendall(b"\xff\xf4\xff")
            sock.send(b"\xf2", socket.MSG_OOB)
            sock.sendall(b"ABOR\r\n")
            sock.send(b"ABOR x\r\n", socket.MSG_OOB)
            sock.shutdown(socket.SHUT_WR)
            return to_end(sock)

        reply = await port.blocking(client)
        assert [line[:3] for line in reply.split(b"\r\n")] == [b"220", b"226", b"226", b""]
    assert came == ["", "x"]


async def test_last_words_reach_a_client_that_still_sends() -> None:
    """A client that goes on sending a content that is too much to drop still reads why."""
    node = FakeNode()
    node.read_only = "the disk is sick"
    async for port in listen(node, limits=Limits(drop=1000)):

        def client(port: Port = port) -> bytes:
            sock = port.dial()
            sock.sendall(b"ADD 100000000 a\r\n")
            try:
                for _ in range(100):
                    sock.sendall(bytes(10_000))
            except OSError:
                pass
            got = b""
            try:
                got = sock.recv(1000)
                got += to_end(sock)
            except OSError:
                pass
            return got

        reply = await port.blocking(client)
        assert [line[:4] for line in reply.split(b"\r\n")] == [b"220 ", b"451 ", b"421 ", b""]


async def test_closing_the_door_ends_real_sessions(port: Port) -> None:
    """When the node stops, an idle client reads why."""
    sock = await port.blocking(port.dial)
    await port.blocking(lambda: sock.recv(1000))
    await Deferred.fromCoroutine(port.factory.close())
    assert (await port.blocking(lambda: to_end(sock))).startswith(b"421 this node is stopping")
