"""What no client sends that means well: the session says what is wrong and goes on, and others notice nothing."""

from __future__ import annotations

import random
import selectors
import socket
from contextlib import ExitStack

import pytest

from tagfs.front.ftp.verbs import VERBS
from tagfs.model.principal import OWNER, Role
from tests.front.ftp_world import Client, FtpWorld, ftp

__all__ = ["ftp"]

IDLE = 1000


class Wire:
    """A bare connection that sends lines of any bytes and reads replies."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines = sock.makefile("rb")
        self.reply()

    def reply(self) -> bytes:
        """The last line of the next reply."""
        line = self._lines.readline()
        while line[3:4] == b"-" or line[:1] == b" ":
            line = self._lines.readline()
        assert line.endswith(b"\r\n"), line
        return line

    def ask(self, line: bytes) -> bytes:
        """Sends one line; the code of its reply."""
        self._sock.sendall(line + b"\r\n")
        return self.reply()[:3]


LINES = {
    "nothing": b"",
    "spaces": b"   ",
    "NUL": b"RETR a\0b",
    "control characters": b"CWD \x01\x02\x1b[2J",
    "escaped telnet byte": b"CWD \xff\xff",
    "no UTF-8 in a verb": b"\xc3\x28 x",
    "no UTF-8 in a path": b"RETR \xc3\x28\xa0\xa1",
    "surrogates": b"MKD \xed\xa0\x80",
    "overlong": b"CWD \xc0\xaf..\xc0\xaf",
    "upwards": b"RETR ../../../../etc/passwd",
    "upwards with backslashes": b"RETR ..\\..\\etc\\passwd",
    "upwards in the tree": b"RETR /@tree/../../etc/passwd",
    "home directory": b"CWD ~root",
    "wildcards": b"DELE *",
    "many slashes": b"CWD " + b"/" * 10_000,
    "deep": b"CWD " + b"a/" * 10_000,
    "long name": b"STOR " + b"n" * 10_000,
    "long verb": b"V" * 10_000,
    "numbers": b"REST 99999999999999999999999999999999",
    "negative": b"ALLO -1",
    "arabic digits": "REST ٣".encode(),
    "format": b"CWD %s%n%d{0}",
    "half a quote": b'XSHA256 "',
    "PORT with signs": b"PORT +127,0,0,1,200,0",
    "PORT of zero": b"PORT 127,0,0,1,0,0",
    "PORT elsewhere": b"PORT 192,0,2,1,200,0",
    "PORT everywhere": b"PORT 0,0,0,0,200,0",
    "PORT to all": b"PORT 255,255,255,255,200,0",
    "EPRT to a name": b"EPRT |1|localhost|50000|",
    "EPRT elsewhere": b"EPRT |1|192.0.2.1|50000|",
    "EPRT privileged": b"EPRT |1|127.0.0.1|80|",
    "EPRT of the other family": b"EPRT |2|::1|50000|",
    "EPRT mapped": b"EPRT |2|::ffff:192.0.2.1|50000|",
    "EPRT of many fields": b"EPRT " + b"|" * 5000,
    "MFMT without a file": b"MFMT 20240101000000",
    "AUTH of a kind unknown": b"AUTH KERBEROS_V4",
    "SITE EXEC": b"SITE EXEC /bin/sh",
    "OPTS of much": b"OPTS MLST " + b"x;" * 5000,
    "MLST of nothing there": b"MLST /nosuch/../nosuch",
    "binary": bytes(byte for byte in range(256) if byte not in b"\r\n\xff"),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
async def test_a_bad_line_is_refused_and_nothing_else(ftp: FtpWorld, line: bytes) -> None:
    """One reply, of four or five hundred; the next command is answered as ever."""
    await ftp.add("x", "t")

    def work(sock: socket.socket) -> None:
        wire = Wire(sock)
        code = wire.ask(line)
        # These mean something, though nobody writes it so.
        assert (code[:1] == b"2") == line.startswith((b"CWD //", b"OPTS MLST ")), code
        assert wire.ask(b"SIZE /t/x") == b"213"

    await ftp.wire(work)
    assert [entry.name for entry in await ftp.found()] == ["x"]


@pytest.mark.parametrize("size", [1 << 16, 1 << 20])
async def test_lines_of_any_length_are_one_refusal(ftp: FtpWorld, size: int) -> None:
    """Also for verbs whose argument could be long, and also where the line comes a byte at a time at its end."""

    def work(sock: socket.socket) -> None:
        wire = Wire(sock)
        for verb in (b"CWD ", b"STOR ", b"USER ", b""):
            assert wire.ask(verb + b"x" * size) == b"500"
        assert wire.ask(b"NOOP") == b"200"

    await ftp.wire(work)


async def test_every_command_with_junk(ftp: FtpWorld) -> None:
    """Whatever follows a verb, in whatever order: each line gets its reply, none of them is an internal error."""
    chance = random.Random(5)
    junk = [
        b"",
        b" ",
        b"\xff\xff",
        b"x" * 500,
        b"-1",
        b"| | |",
        b"../..",
        b'"',
        b"0",
        b"a b c",
        b"*",
        b"\xe2\x82",
        b"/@query/(",
    ]
    verbs = [name for name in VERBS if name not in (b"QUIT", b"ADD", b"AUTH")]

    def work(sock: socket.socket) -> None:
        wire = Wire(sock)
        for _ in range(3):
            chance.shuffle(verbs)
            for name in verbs:
                line = name + b" " + chance.choice(junk)
                code = wire.ask(line)
                if code == b"331" and VERBS[name].takes_line:
                    code = wire.ask(b"a password")
                assert code.isdigit() and code != b"451", (line, code)
                if code == b"150":
                    assert wire.ask(b"ABOR")[:1] == b"4"
                    wire.reply()

    await ftp.wire(work)


async def test_before_login_and_out_of_order(ftp: FtpWorld) -> None:
    """Nobody gets past the login by sending later commands first, or by a transfer that was set up before."""
    await ftp.add("x", "t")
    await ftp.node.add_user(OWNER, "root", Role.ADMIN, "secret")

    def work(sock: socket.socket) -> None:
        wire = Wire(sock)
        later = (
            b"PASV",
            b"EPSV",
            b"PORT 127,0,0,1,200,0",
            b"RETR /t/x",
            b"STOR /t/y",
            b"RNTO y",
            b"LIST",
            b"STAT",
            b"ABOR",
        )
        for line in later:
            assert wire.ask(line) == b"530", line
        assert wire.ask(b"PASS secret") == b"503"
        assert wire.ask(b"USER root") == b"331"
        for line in later:
            assert wire.ask(line) == b"530", line
        assert wire.ask(b"PASS secret") == b"230"
        for line, code in ((b"RNTO y", b"503"), (b"RETR /t/x", b"425"), (b"PROT P", b"503"), (b"PASS secret", b"503")):
            assert wire.ask(line) == code, line

    await ftp.wire(work)


async def test_what_comes_before_stor_is_not_read(ftp: FtpWorld) -> None:
    """A client that sends into its data connection without a STOR fills the kernel's buffers and no more."""

    def work(client: Client) -> None:
        with socket.create_connection(client.makepasv()) as data:
            data.setblocking(False)
            sent = 0
            with selectors.DefaultSelector() as waiting:
                waiting.register(data, selectors.EVENT_WRITE)
                while waiting.select(0.2):
                    sent += data.send(b"early" * 20_000)
            assert sent < 64 << 20
            assert client.sendcmd("NOOP").startswith("200 ")
            assert client.refused("RETR /nosuch").startswith("550 ")

    await ftp.session(work)
    assert await ftp.found() == []


async def test_data_connections_are_not_for_strangers(ftp: FtpWorld) -> None:
    """Who comes from another address is hung up on, and takes nothing; the client still gets its file."""
    await ftp.add("x", "t", data=b"secret")

    def work(client: Client) -> None:
        address = client.makepasv()
        with socket.create_connection(address, source_address=("127.0.0.2", 0)) as stranger:
            stranger.settimeout(5)
            assert stranger.recv(1) == b""
        client.sendcmd("RETR /t/x")
        with socket.create_connection(address) as data:
            assert data.makefile("rb").read() == b"secret"
        client.voidresp()

    await ftp.session(work)


async def test_who_opens_ports_and_never_comes_does_not_stop_others(ftp: FtpWorld) -> None:
    """Sessions wait in vain, fewer than an address may have ports; one more still transfers. PASV again and again takes one."""

    def work(client: Client) -> None:
        with ExitStack() as stack:
            for _ in range(5):
                other = Wire(stack.enter_context(socket.create_connection((ftp.host, ftp.port), timeout=10)))
                for _ in range(30):
                    assert other.ask(b"PASV") == b"227"
            client.put("/t/x", b"1")
            assert client.get("/t/x") == b"1"

    await ftp.session(work)


async def test_a_thousand_idle_sessions(ftp: FtpWorld) -> None:
    """They cost others nothing that is noticed, and each is still answered."""

    def work(client: Client) -> None:
        with ExitStack() as stack:
            idle = []
            for _ in range(IDLE):
                sock = stack.enter_context(socket.create_connection((ftp.host, ftp.port), timeout=10))
                idle.append(sock)
                if len(idle) % 50 == 0:  # no more than wait at the listener
                    idle[-1].recv(1000, socket.MSG_PEEK)
            client.put("/t/x", b"1" * 100_000)
            assert client.get("/t/x") == b"1" * 100_000
            for sock in idle[::97]:
                assert Wire(sock).ask(b"SIZE /t/x") == b"213"

    await ftp.session(work)


async def test_commands_that_are_cut_off_never_run(ftp: FtpWorld) -> None:
    """A client that dies in the middle of a line has not sent it."""
    await ftp.add("x", "t")

    def work(sock: socket.socket) -> bytes:
        Wire(sock)
        sock.sendall(b"DELE /t/x")
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()

    assert (await ftp.wire(work)).startswith(b"500 ")
    assert len(await ftp.found()) == 1
