"""AUTH TLS: control and data connections that nobody can read or change, with every client's habits."""

from __future__ import annotations

import ftplib
import io
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tagfs.errors import StartError
from tagfs.front.ftp.tls import TlsContext
from tagfs.model.principal import OWNER
from tagfs.node import identity
from tests.front.ftp_world import FtpWorld, ftps, serving

__all__ = ["ftps"]

T = TypeVar("T")
DATA = bytes(range(256)) * 8192


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def context(request: pytest.FixtureRequest) -> ssl.SSLContext:
    """What a client of one version trusts: everything, since the certificate is the node's own."""
    made = ssl._create_unverified_context()
    made.minimum_version = made.maximum_version = request.param
    return made


class TlsClient(ftplib.FTP_TLS):
    """ftplib with TLS, whose data connections resume the session of the control connection."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            conn = self.context.wrap_socket(conn, session=self.sock.session)
            self.resumed = conn.session_reused
        return conn, size


def secured(world: FtpWorld, context: ssl.SSLContext, work: Callable[[TlsClient], T]) -> Deferred[T]:
    """Runs a blocking function with a client under TLS."""

    def run() -> T:
        with TlsClient(context=context, encoding="utf-8", timeout=10) as client:
            client.connect(world.host, world.port)
            client.login()
            client.prot_p()
            return work(client)

    return deferToThread(run)


@pytest.mark.parametrize("passive", [True, False])
async def test_everything_works_under_tls(ftps: FtpWorld, context: ssl.SSLContext, passive: bool) -> None:
    """Contents of all sizes go up and come down, in both modes, and data connections resume the session."""

    def work(client: TlsClient) -> None:
        client.set_pasv(passive)
        for size in (0, 1, 65536, len(DATA)):
            client.storbinary("STOR /t/x", io.BytesIO(DATA[:size]))
            assert client.resumed
            pieces: list[bytes] = []
            client.retrbinary("RETR /t/x", pieces.append)
            assert b"".join(pieces) == DATA[:size]
            assert client.resumed
        assert client.nlst("/t") == ["x"]
        assert ", TLS" in client.sendcmd("STAT")
        assert {"AUTH TLS", "PBSZ", "PROT"} <= {line.strip() for line in client.sendcmd("FEAT").splitlines()}
        with pytest.raises(ftplib.error_perm, match="534"):
            client.sendcmd("AUTH TLS")
        client.prot_c()
        assert client.nlst("/t") == ["x"]
        with pytest.raises(ftplib.error_perm, match="536"):
            client.sendcmd("PROT S")

    await secured(ftps, context, work)


async def test_less_common_transfers_under_tls(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """Text, unique names, appending, downloads that begin in the middle, and transfers that are given up."""

    def work(client: TlsClient) -> None:
        client.mkd("/t")
        client.cwd("/t")
        client.storlines("STOR text", io.BytesIO(b"one\ntwo\r\nthree"))
        lines: list[str] = []
        client.retrlines("RETR text", lines.append)
        assert lines == ["one", "two", "three"]
        for _ in range(2):
            client.storbinary("STOU text", io.BytesIO(b"unique"))
        names = client.nlst()
        assert len(names) == 3 and sorted({client.size(name) for name in names}) == [6, 14]
        client.storbinary("STOR x", io.BytesIO(DATA))
        client.storbinary("APPE x", io.BytesIO(b"end"))
        pieces: list[bytes] = []
        client.retrbinary("RETR x", pieces.append, rest=len(DATA) - 1)
        assert b"".join(pieces) == DATA[-1:] + b"end"
        sock = client.transfercmd("RETR x")
        sock.recv(100)
        client.putcmd("ABOR")
        replies = [client.getmultiline()[:3] for _ in range(2)]
        sock.close()
        assert replies in (["426", "226"], ["226", "226"])
        assert client.pwd() == "/t"

    await secured(ftps, context, work)


async def test_protection_is_agreed_on_in_order(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """RFC 4217: AUTH, then PBSZ, then PROT; what is unknown is told as that, and changes nothing."""

    def run() -> list[str]:
        with TlsClient(context=context, timeout=10) as client:
            client.connect(ftps.host, ftps.port)

            def said(*commands: str) -> list[str]:
                replies = []
                for command in commands:
                    client.putcmd(command)
                    replies.append(client.getmultiline()[:3])
                return replies

            assert said("AUTH", "AUTH KERBEROS", "PBSZ 0", "PROT P") == ["504", "504", "503", "503"]
            client.auth()
            assert said("PROT P", "PBSZ", "PBSZ x", "PROT P") == ["503", "501", "501", "503"]
            assert said("PBSZ 0", "PBSZ 1024", "PROT", "PROT X") == ["200", "200", "504", "504"]
            return said("PROT E", "PROT S", "PROT C", "prot p")

    assert await deferToThread(run) == ["536", "536", "200", "200"]


async def test_data_connections_bring_no_tickets(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """A client that only sends never reads: whatever it was sent behind the handshake would turn its close into a reset,
    and the end of its file would be lost. So nothing is; the next data connection resumes all the same."""

    def work(client: TlsClient) -> None:
        client.voidcmd("TYPE I")
        for _ in range(3):
            conn = client.transfercmd("STOR /t/x")
            assert client.resumed
            conn.sendall(DATA)
            while f": {len(DATA)} bytes" not in client.sendcmd("STAT"):
                pass
            raw = socket.socket(fileno=conn.detach())
            with raw:
                raw.setblocking(False)
                with pytest.raises(BlockingIOError):
                    raw.recv(1)
            with pytest.raises(ftplib.error_temp, match="426"):
                client.voidresp()

    await secured(ftps, context, work)


async def test_an_upload_without_tls_goodbye_is_cut_off(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """Somebody between could end the connection early; that is no whole file."""

    def work(client: TlsClient) -> None:
        client.voidcmd("TYPE I")
        conn = client.transfercmd("STOR /t/x")
        conn.sendall(DATA)
        raw = socket.socket(fileno=conn.detach())
        raw.shutdown(socket.SHUT_WR)
        with raw, pytest.raises(ftplib.error_temp, match="426"):
            client.voidresp()

    await secured(ftps, context, work)
    assert await ftps.found() == []


async def test_a_download_may_end_without_the_clients_goodbye(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """Few clients answer the server's goodbye; they have all the same got everything."""
    await ftps.add("x", "t", data=DATA)

    def work(client: TlsClient) -> str:
        client.voidcmd("TYPE I")
        with client.transfercmd("RETR /t/x") as conn:
            assert len(conn.makefile("rb").read(len(DATA))) == len(DATA)
        return client.voidresp()

    assert (await secured(ftps, context, work)).startswith("226 ")


async def test_plain_data_connections_do_not_pass_for_private(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """A client that said PROT P and talks in the clear gets nothing, and stores nothing."""

    def work(client: TlsClient) -> None:
        with ftplib.FTP.ntransfercmd(client, "STOR /t/x")[0] as conn:
            conn.sendall(b"in the clear, and long enough to be no handshake")
            with pytest.raises(ftplib.error_temp, match="426"):
                client.voidresp()

    await secured(ftps, context, work)
    assert await ftps.found() == []


async def test_what_was_sent_before_tls_is_thrown_away(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """A command that somebody put behind AUTH TLS in the clear never runs (CVE-2011-0411 in other servers)."""

    def work(sock: socket.socket) -> bytes:
        sock.recv(1000)
        sock.sendall(b"AUTH TLS\r\nMKD /injected\r\n")
        assert sock.recv(1000) == b"234 TLS begins\r\n"
        with context.wrap_socket(sock) as secure:
            secure.sendall(b"CWD /injected\r\n")
            return secure.recv(1000)

    assert (await ftps.wire(work)).startswith(b"550 ")


async def test_what_is_no_tls_ends_the_session(ftps: FtpWorld) -> None:
    """A client that goes on in the clear is not heard, and hears nothing but TLS; others are not disturbed."""

    def work(sock: socket.socket) -> bytes:
        lines = sock.makefile("rwb", buffering=0)
        lines.readline()
        lines.write(b"AUTH TLS\r\n")
        assert lines.readline() == b"234 TLS begins\r\n"
        lines.write(b"CWD /\r\nMKD /in-the-clear\r\n")
        return lines.read()

    assert len(await ftps.wire(work)) in (0, 7)  # nothing, or an alert
    assert await ftps.node.declared(OWNER) == []
    assert (await ftps.wire(lambda sock: sock.recv(1000))).startswith(b"220 ")


async def test_a_session_that_ends_within_the_handshake(ftps: FtpWorld) -> None:
    """Whoever turns TLS on and leaves, cleanly or not, takes nothing along."""

    def work(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"AUTH TLS\r\n")
        sock.recv(1000)
        sock.sendall(b"\x16\x03\x01")

    await ftps.wire(work)
    assert (await ftps.wire(lambda sock: sock.recv(1000))).startswith(b"220 ")


async def test_a_client_that_offers_protocols_goes_on_without_one(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """FileZilla offers x-filezilla-ftp; nothing is selected, and nothing breaks."""

    def work(sock: socket.socket) -> str | None:
        sock.recv(1000)
        sock.sendall(b"AUTH TLS\r\n")
        sock.recv(1000)
        context.set_alpn_protocols(["x-filezilla-ftp", "ftp"])
        with context.wrap_socket(sock) as secure:
            return secure.selected_alpn_protocol()

    assert await ftps.wire(work) is None


async def test_the_older_name_makes_data_private(ftps: FtpWorld, context: ssl.SSLContext) -> None:
    """AUTH SSL implies PROT P (RFC 4217, appendix A)."""
    await ftps.add("x", "t")

    def run() -> list[str]:
        with TlsClient(context=context, timeout=10) as client:
            client.connect(ftps.host, ftps.port)
            assert client.voidcmd("AUTH SSL").startswith("234 ")
            client.sock = client.context.wrap_socket(client.sock)
            client.file = client.sock.makefile("r", encoding="utf-8")
            client._prot_p = True
            client.login(secure=False)
            return client.nlst("/t")

    assert await deferToThread(run) == ["x"]


async def test_tls_can_be_demanded(tmp_path: Path, context: ssl.SSLContext) -> None:
    """Then neither passwords nor contents go in the clear."""
    pem = identity.create(tmp_path).pem
    async with serving(TlsContext(pem, pem), require_tls=True) as world:

        def bare(sock: socket.socket) -> bytes:
            sock.recv(1000)
            sock.sendall(b"USER x\r\n")
            return sock.recv(1000)

        def work(client: TlsClient) -> None:
            with pytest.raises(ftplib.error_perm, match="534"):
                client.voidcmd("PROT C")
            assert client.nlst("/@tree") == []
            client.sendcmd("REIN")
            client.makepasv()
            with pytest.raises(ftplib.error_perm, match="521"):
                client.sendcmd("NLST /")

        assert (await world.wire(bare)).startswith(b"534 ")
        await secured(world, context, work)


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    """Damaged, or not of that key: one line, before anything listens."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = identity.create(tmp_path / "a").pem, identity.create(tmp_path / "b").pem
    for certificate, key in ((b"", b""), (one, b"nonsense"), (b"nonsense", one), (one, other)):
        with pytest.raises(StartError, match="cannot be used"):
            TlsContext(certificate, key)
