"""Large contents over data connections, between files and sockets in threads of their own, as a real node moves them."""

from __future__ import annotations

import ftplib
import io
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.tcp import Connection
from twisted.internet.threads import deferToThread

from tagfs.front import direct
from tagfs.front.ftp.data_connection import LARGE
from tagfs.front.ftp.tls import TlsContext
from tagfs.node import identity
from tagfs.storage.interfaces import CHUNK
from tests.front.ftp_world import Client, FtpWorld, serving, until_sent

DATA = os.urandom(6 * CHUNK + 12_345)


@pytest_twisted.async_yield_fixture
async def ftp(tmp_path: Path) -> AsyncIterator[FtpWorld]:
    (tmp_path / "node").mkdir()
    pem = identity.create(tmp_path / "node").pem
    async with serving(TlsContext(pem, pem), blobs=tmp_path / "blobs") as world:
        yield world


@pytest.mark.parametrize("size", [LARGE - 1, LARGE, LARGE + 1, 2 * CHUNK, len(DATA)])
async def test_what_goes_up_comes_down(ftp: FtpWorld, size: int) -> None:
    """To the byte, whatever the size, also from an offset, also as text."""

    def work(client: Client) -> None:
        client.put("/t/x", DATA[:size])
        assert client.get("/t/x") == DATA[:size]
        assert client.get("/t/x", rest=size - 700_000) == DATA[size - 700_000 : size]
        client.sendcmd("TYPE A")
        with client.transfercmd("RETR /t/x") as sock:
            assert sock.makefile("rb").read() == DATA[:size].replace(b"\n", b"\r\n")
        client.voidresp()

    await ftp.session(work)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_under_tls(ftp: FtpWorld, version: ssl.TLSVersion) -> None:
    """The same under TLS, where a thread seals what it sends."""

    def work() -> None:
        context = ssl._create_unverified_context()
        context.minimum_version = context.maximum_version = version
        with ftplib.FTP_TLS(context=context, timeout=10) as client:
            client.connect(ftp.host, ftp.port)
            client.login()
            client.prot_p()
            client.storbinary("STOR /t/x", io.BytesIO(DATA))
            pieces: list[bytes] = []
            client.retrbinary("RETR /t/x", pieces.append)
            assert b"".join(pieces) == DATA
            client.voidcmd("TYPE I")
            with client.transfercmd("RETR /t/x") as sock:
                sock.recv(1000)
                client.putcmd("ABOR")
                assert client.getmultiline().startswith("426 ")
                assert client.getmultiline().startswith("226 ")
            assert client.nlst("/t") == ["x"]

    await deferToThread(work)


async def test_a_client_that_takes_little_at_a_time_gets_all(ftp: FtpWorld) -> None:
    """While its socket is full, no thread waits for it for long, and nothing is lost between."""

    def work(client: Client) -> None:
        client.put("/t/x", DATA)
        client.voidcmd("TYPE I")
        host, port = client.makepasv()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect((host, port))
            client.sendcmd("RETR /t/x")
            for _ in range(20):
                assert client.sendcmd("NOOP").startswith("200 ")
            got = bytearray()
            while data := sock.recv(5000):
                got += data
        assert bytes(got) == DATA
        assert client.voidresp().startswith("226 ")

    await ftp.session(work)


async def test_an_upload_that_comes_in_bursts_is_whole(ftp: FtpWorld) -> None:
    """Where nothing comes for a while, the reactor waits for it; STAT tells how far it is."""

    def work(client: Client) -> None:
        at = 0
        with client.transfercmd("STOR /t/x") as sock:
            for burst in (LARGE + 5, 1, 2 * CHUNK, 100_000, 3):
                sock.sendall(DATA[at : at + burst])
                at += burst
                while f": {at} bytes" not in client.sendcmd("STAT"):
                    pass
        assert client.voidresp().startswith("226 ")
        assert client.get("/t/x") == DATA[:at]

    await ftp.session(work)


@pytest.mark.parametrize("ending", ["reset", "abor"])
async def test_an_upload_that_was_cut_off_can_go_on(ftp: FtpWorld, ending: str) -> None:
    """Nothing is stored; all that came is kept, and a second upload completes it."""
    part = 4 * CHUNK + 77

    def work(client: Client) -> None:
        with client.transfercmd("STOR /t/x") as sock:
            sock.sendall(DATA[:part])
            until_sent(sock)
            while f": {part} bytes" not in client.sendcmd("STAT"):
                pass
            if ending == "abor":
                client.putcmd("ABOR")
                assert client.getmultiline().startswith("426 ")
                assert client.getmultiline().startswith("226 ")
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if ending == "reset":
            assert client.getmultiline().startswith("426 ")
        assert client.nlst("/@tree") == []
        assert client.size("/t/x") == part
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /t/x", part) as sock:
            sock.sendall(DATA[part:])
        assert client.voidresp().startswith("226 ")
        assert client.get("/t/x") == DATA

    await ftp.session(work)


@pytest.mark.parametrize("ending", ["reset", "abor", "leave"])
async def test_a_download_that_was_cut_off(ftp: FtpWorld, ending: str) -> None:
    """The transfer ends with 426, and the session, or the next one, goes on."""

    def fill(client: Client) -> None:
        client.put("/t/x", DATA)

    def work(client: Client) -> None:
        client.voidcmd("TYPE I")
        with client.transfercmd("RETR /t/x") as sock:
            sock.recv(1000)
            if ending == "leave":
                client.close()
                return
            if ending == "abor":
                client.putcmd("ABOR")
                assert client.getmultiline().startswith("426 ")
                assert client.getmultiline().startswith("226 ")
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if ending == "reset":
            assert client.getmultiline().startswith("426 ")
        assert client.get("/t/x") == DATA

    await ftp.session(fill)
    await ftp.session(work)
    await ftp.session(lambda client: client.get("/t/x"))


async def test_a_damaged_content_does_not_pass_for_whole(ftp: FtpWorld, tmp_path: Path) -> None:
    """A download of it is cut off by a reset, and told as failed."""

    def work(client: Client) -> None:
        client.put("/t/x", DATA)
        (path,) = [
            path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.stat().st_size == len(DATA)
        ]
        with path.open("r+b") as file:
            file.seek(5 * CHUNK)
            file.write(bytes([DATA[5 * CHUNK] ^ 1]))
        client.voidcmd("TYPE I")
        with client.transfercmd("RETR /t/x") as sock, pytest.raises(ConnectionResetError):
            to_end(sock)
        assert client.getmultiline()[:1] in "45"

    await ftp.session(work)


def to_end(sock: socket.socket) -> None:
    while sock.recv(1 << 20):
        pass


class Socket(Connection):
    """Twisted's, whose socket has room for five bytes, three at a time; what goes its own way is ``written``."""

    def __init__(self, waiting: list[bytes]) -> None:
        self._tempDataBuffer = waiting
        self.sent: list[bytes] = []
        self.written: list[bytes] = []

    def writeSomeData(self, data: bytes) -> int:
        taken = bytes(data[: min(3, 5 - len(b"".join(self.sent)))])
        self.sent.append(taken)
        return len(taken)

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Wrapper:
    """As TLS around a socket: it shows all that the socket has."""

    def __init__(self, inner: Socket) -> None:
        self._inner = inner
        self.written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        self.written.append(data)


def test_what_is_written_keeps_its_order() -> None:
    """Only where nothing waits is something sent past Twisted's buffers, only as much as the socket takes, and never past
    TLS."""
    empty = Socket([])
    direct.write(empty, b"abcdefg")
    assert (b"".join(empty.sent), empty.written) == (b"abcde", [b"fg"])
    full = Socket([b"x"])
    direct.write(full, b"abc")
    assert (full.sent, full.written) == ([], [b"abc"])
    inner = Socket([])
    wrapper = Wrapper(inner)
    direct.write(wrapper, b"abc")
    assert (inner.sent, wrapper.written) == ([], [b"abc"])
    inner.TLS = True
    direct.write(inner, b"abc")
    assert (inner.sent, inner.written) == ([], [b"abc"])


async def test_the_buffers_of_twisted_are_where_they_are_looked_for(ftp: FtpWorld) -> None:
    """They are no public part of Twisted: where they move, everything still works, but slower; this tells."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
    from twisted.internet.protocol import Protocol

    endpoint = TCP4ClientEndpoint(reactor, ftp.host, ftp.port)
    protocol: Any = await connectProtocol(endpoint, Protocol())
    assert direct.drained(protocol.transport)
    protocol.transport.write(b"NOOP\r\n")
    assert not direct.drained(protocol.transport)
    protocol.transport.abortConnection()
