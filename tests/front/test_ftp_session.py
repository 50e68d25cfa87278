"""FTP on the control connection: login, options, features, digests, and what is refused how."""

from __future__ import annotations

import hashlib
import socket
from datetime import UTC, datetime

import pytest

from tagfs.errors import BadRequest
from tagfs.front.ftp.file_verbs import VERBS
from tagfs.front.ftp.file_verbs_names import quoted, read_moment
from tagfs.model.principal import OWNER, Role
from tests.front.ftp_world import Client, FtpWorld, ftp

__all__ = ["ftp"]


async def test_any_user_and_password_do_where_there_are_no_users(ftp: FtpWorld) -> None:
    """Clients always log in; that works with anything, and everything works without it."""

    def work(client: Client) -> None:
        assert client.sendcmd("PWD").startswith("257 ")
        assert client.sendcmd("USER somebody").startswith("331 ")
        assert client.sendcmd("PASS ").startswith("230 ")
        assert client.sendcmd("ACCT x").startswith("202 ")

    await ftp.session(work)

    def bare(sock: socket.socket) -> None:
        lines = sock.makefile("rwb", buffering=0)
        assert lines.readline().startswith(b"220 ")
        lines.write(b"PWD\nPASS x\n")
        assert lines.readline() == b'257 "/" is the current directory\r\n'
        assert lines.readline().startswith(b"503 ")

    await ftp.wire(bare)


async def test_with_users_nothing_but_talk_goes_before_the_login(
    ftp: FtpWorld,
) -> None:
    """What clients say before they log in is answered; what touches files is 530; a wrong password is 530, too."""
    await ftp.node.add_user(OWNER, "root", Role.ADMIN, "secret")
    await ftp.node.add_user(OWNER, "me", Role.READ, "right")
    await ftp.add("x", "t")

    def bare(sock: socket.socket) -> list[bytes]:
        lines = sock.makefile("rwb", buffering=0)
        lines.readline()

        def ask(command: bytes) -> bytes:
            lines.write(command + b"\r\n")
            reply = lines.readline()
            while reply[3:4] == b"-" or reply[:1] == b" ":
                reply = lines.readline()
            return reply[:3]

        for command in (b"FEAT", b"SYST", b"HELP", b"NOOP", b"OPTS UTF8 ON", b"CLNT x", b"HOST x"):
            assert ask(command) in (b"200", b"211", b"214", b"215", b"220"), command
        talk = {b"FEAT", b"SYST", b"OPTS", b"CLNT", b"HOST", b"AUTH", b"PBSZ", b"PROT", b"USER", b"PASS"}
        for verb in VERBS:
            if verb.name.encode() not in talk:
                assert ask(verb.name.encode() + b" x") == b"530", verb.name
        assert ask(b"USER me") == b"331"
        assert ask(b"PASS wrong") == b"530"
        assert ask(b"CWD /t") == b"530"
        assert ask(b"USER me") + ask(b"PASS right") == b"331230"
        return [ask(b"CWD /t"), ask(b"DELE x"), ask(b"MKD /new"), ask(b"REIN"), ask(b"PWD")]

    assert await ftp.wire(bare) == [b"250", b"550", b"550", b"220", b"530"]


async def test_features_tell_what_there_is(ftp: FtpWorld) -> None:
    """Each feature of the list is answered; TLS is not offered where there is none."""

    def work(client: Client) -> None:
        features = [line[1:] for line in client.sendcmd("FEAT").splitlines()[1:-1]]
        assert features == sorted(features)
        words = {feature.split()[0] for feature in features}
        assert words >= {"EPSV", "EPRT", "MLST", "MDTM", "MFMT", "SIZE", "REST", "UTF8", "TVFS", "CLNT", "HASH"}
        assert "AUTH" not in words
        assert client.refused("AUTH TLS").startswith("534 ")
        assert client.refused("PBSZ 0").startswith("503 ")
        assert client.refused("PROT P").startswith("503 ")
        assert client.refused("CCC").startswith("500 ")

    await ftp.session(work)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("SYST", "215"),
        ("TYPE I", "200"),
        ("TYPE a n", "200"),
        ("TYPE L 8", "200"),
        ("TYPE E", "504"),
        ("TYPE X", "501"),
        ("TYPE", "501"),
        ("MODE S", "200"),
        ("MODE B", "504"),
        ("MODE X", "501"),
        ("STRU F", "200"),
        ("STRU R", "504"),
        ("ALLO 100", "200"),
        ("ALLO 100 R 10", "200"),
        ("ALLO x", "501"),
        ("OPTS UTF8 ON", "200"),
        ("opts utf8", "200"),
        ("OPTS UTF8 OFF", "504"),
        ("OPTS NOSUCH", "501"),
        ("CLNT NcFTP 3.2.6", "200"),
        ("HOST", "501"),
        ("HOST example.org", "220"),
        ("SITE CHMOD 644 x", "200"),
        ("SITE HELP", "214"),
        ("SITE EXEC sh", "504"),
        ("HELP SITE", "214"),
        ("REST 0", "350"),
        ("REST x", "501"),
        ("CDUP", "250"),
        ("XPWD", "257"),
        ("RNTO x", "503"),
        ("RNFR nosuch", "550"),
        ("RETR", "501"),
        ("RETR nosuch", "550"),
        ("MDTM nosuch", "550"),
        ("MFMT 20240101000000 nosuch", "550"),
        ("MFMT 2024 x", "501"),
        ("MFMT 20241301000000 x", "501"),
        ("CWD \x7f", "501"),
        ("PORT 127,0,0,1,0,21", "504"),
        ("PORT 192,0,2,1,200,0", "504"),
        ("PORT 1,2", "501"),
        ("EPRT |2|::1|5000|", "504"),
        ("EPRT |3|x|5000|", "522"),
        ("EPSV 2", "522"),
        ("EPSV 1", "229"),
        ("ABOR", "226"),
        ("STAT", "211"),
        ("HASH nosuch", "550"),
        ("OPTS HASH CRC32", "501"),
    ],
)
async def test_replies(ftp: FtpWorld, command: str, code: str) -> None:
    """Each command is answered with the code that its RFC gives."""

    def work(client: Client) -> str:
        client.putcmd(command)
        return client.getmultiline()

    assert (await ftp.session(work))[:3] == code


async def test_epsv_all_ends_all_other_ways(ftp: FtpWorld) -> None:
    """After EPSV ALL nothing else sets up data connections."""

    def work(client: Client) -> None:
        assert client.sendcmd("EPSV ALL").startswith("200 ")
        for command in ("PASV", "PORT 127,0,0,1,200,0", "EPRT |1|127.0.0.1|50000|"):
            assert client.refused(command).startswith("503 ")
        assert client.sendcmd("EPSV").startswith("229 ")

    await ftp.session(work)


async def test_digests(ftp: FtpWorld) -> None:
    """HASH gives the digest that OPTS chose, XSHA256 its own."""
    data = b"x" * 600_000
    await ftp.add("a b", "t", data=data)
    entry = await ftp.only()

    def work(client: Client) -> None:
        client.cwd("/t")
        sha = hashlib.sha256(data).hexdigest()
        assert client.sendcmd("HASH a b") == f"213 SHA-256 0-600000 {sha} a b"
        assert client.sendcmd('XSHA256 "a b"') == f"250 {sha}"
        assert client.sendcmd("OPTS HASH BLAKE3") == "200 BLAKE3"
        assert client.sendcmd("HASH a b") == f"213 BLAKE3 0-600000 {entry.content.digest.hex()} a b"
        assert "BLAKE3*;" in client.sendcmd("FEAT")

    await ftp.session(work)


async def test_times(ftp: FtpWorld) -> None:
    """MFMT sets what MDTM tells; the content stays as it is."""
    await ftp.add("x", "t")

    def work(client: Client) -> None:
        assert client.sendcmd("MFMT 20200102030405 /t/x") == "213 Modify=20200102030405; /t/x"
        assert client.sendcmd("MDTM /t/x") == "213 20200102030405"
        assert client.get("/t/x") == b"content"

    await ftp.session(work)
    assert (await ftp.only()).versions == ()


def test_moments_are_read_in_utc() -> None:
    """Fourteen digits and a fraction; nothing else."""
    at = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
    assert read_moment("20240229235959") == at.timestamp() * 1000
    assert read_moment("20240229235959.25") == at.timestamp() * 1000 + 250
    for text in ("2024", "20230229000000", "2024022923595x", "20240229235959.x", "-0240229235959"):
        with pytest.raises(BadRequest):
            read_moment(text)


def test_quotes_in_paths_are_doubled() -> None:
    """RFC 959, appendix II: a client finds the end of the path."""
    assert quoted('a "b"') == '"a ""b"""'
