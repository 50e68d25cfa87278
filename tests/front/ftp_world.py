"""A tag port with FTP on loopback over a node in memory, and a client for it: Python's ftplib in another thread."""

from __future__ import annotations

import fcntl
import ftplib
import io
import socket
import struct
import termios
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest_twisted
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.threads import deferToThread

from tagfs.front.ftp.file_state import FileDoor
from tagfs.front.ftp.protocol import TagFtpFactory
from tagfs.front.ftp.tls import TlsContext
from tagfs.model.entry import Entry
from tagfs.model.principal import OWNER
from tagfs.model.query import EVERYTHING, parse
from tagfs.node import identity
from tagfs.node.accounts import Accounts
from tagfs.node.core import Core
from tagfs.node.node import Node
from tagfs.node.offload import Inline, Offload, Threads
from tagfs.storage.blobs import open_blobs
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore

T = TypeVar("T")


class Client(ftplib.FTP):
    """ftplib, with what tests say often. Its methods block: they run in :meth:`FtpWorld.session`."""

    def put(self, path: str, data: bytes = b"content", **more: Any) -> str:
        return self.storbinary(f"STOR {path}", io.BytesIO(data), **more)

    def get(self, path: str, **more: Any) -> bytes:
        pieces: list[bytes] = []
        self.retrbinary(f"RETR {path}", pieces.append, **more)
        return b"".join(pieces)

    def names(self, path: str = "") -> list[str]:
        """All names that MLSD shows, but for the views at the top."""
        return [name for name, _ in self.mlsd(path, facts=["type"]) if not name.startswith("@")]

    def break_off(self, path: str, data: bytes, command: str = "STOR") -> str:
        """Uploads, and resets the data connection where the data ends; the last reply."""
        with self.transfercmd(f"{command} {path}") as sock:
            sock.sendall(data)
            until_sent(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            return self.voidresp()
        except ftplib.error_temp as error:
            return str(error)

    def refused(self, command: str) -> str:
        """The reply to a command that must fail for good."""
        try:
            reply = self.sendcmd(command)
        except ftplib.error_perm as error:
            return str(error)
        raise AssertionError(f"{command} was answered {reply}")


def until_sent(sock: socket.socket) -> None:
    """Waits until the peer's kernel has all that was sent: a reset throws the rest away (SIOCOUTQ, tcp(7))."""
    while struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]:
        time.sleep(0.001)


@define
class FtpWorld:
    """The server: its node, and where it listens."""

    node: Node
    host: str
    port: int

    def session(self, work: Callable[[Client], T]) -> Deferred[T]:
        """Runs a blocking function with a client that has logged in."""

        def run() -> T:
            with Client(encoding="utf-8") as client:
                client.connect(self.host, self.port, timeout=10)
                client.login()
                return work(client)

        return deferToThread(run)

    def wire(self, work: Callable[[socket.socket], T]) -> Deferred[T]:
        """Runs a blocking function with a bare connection."""

        def run() -> T:
            with socket.create_connection((self.host, self.port), timeout=10) as sock:
                return work(sock)

        return deferToThread(run)

    async def add(self, name: str, *tags: str, data: bytes = b"content", home: str | None = None) -> str:
        """Stores an entry past FTP; its id."""
        receiving = await self.node.receive(OWNER, len(data))
        receiving.write(data)
        return str((await receiving.add(name, tags, home=home)).id)

    async def found(self, query: str = "") -> list[Entry]:
        """The entries that match, by name."""
        tree = parse(query) if query else EVERYTHING
        return sorted((await self.node.find(OWNER, tree)).entries, key=lambda entry: entry.name)

    async def only(self, query: str = "") -> Entry:
        """The one entry that matches."""
        (entry,) = await self.found(query)
        return entry


@asynccontextmanager
async def serving(
    tls: TlsContext | None = None, interface: str = "127.0.0.1", blobs: Path | None = None, **options: Any
) -> AsyncIterator[FtpWorld]:
    """A server while the block runs; ``options`` are those of its FileDoor. Contents are in memory, or under ``blobs`` and
    moved by threads as in a real node."""
    from twisted.internet import reactor

    inline = Inline()
    transfers: Offload = inline if blobs is None else Threads(reactor, 2, "transfers")
    store = MemoryBlobStore() if blobs is None else open_blobs(f"file:{blobs}")
    core = Core(
        "testnode",
        MemoryCatalog("testnode"),
        store,
        writer=inline,
        readers=inline,
        transfers=transfers,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    node = Node(core, "test", "", "", Accounts(core, inline, reactor, OWNER))
    files = FileDoor(reactor, size=8, **options)
    factory = TagFtpFactory(node, reactor, files=files, tls=tls)
    endpoint: Any = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
    listening = await endpoint(reactor, 0, interface=interface).listen(factory)
    address = listening.getHost()
    try:
        yield FtpWorld(node, address.host, address.port)
    finally:
        await listening.stopListening()
        await factory.close()
        await files.close()
        transfers.stop()
        store.close()


@pytest_twisted.async_yield_fixture
async def ftp() -> AsyncIterator[FtpWorld]:
    async with serving() as world:
        yield world


@pytest_twisted.async_yield_fixture
async def ftps(tmp_path: Path) -> AsyncIterator[FtpWorld]:
    """With TLS by the certificate that a node makes for itself."""
    pem = identity.create(tmp_path).pem
    async with serving(TlsContext(pem, pem)) as world:
        yield world
