"""What a client may expect of any FTP server, command by command: the cases that other servers' suites agree on."""

from __future__ import annotations

import ftplib
import io
import re
import socket
from collections.abc import Callable

import pytest

from tagfs.front.ftp.file_verbs import VERBS
from tagfs.model.principal import OWNER, Role
from tests.front.ftp_world import Client, FtpWorld, ftp, serving

__all__ = ["ftp"]

DATA = bytes(range(256)) * 2048


def say(client: Client, command: str) -> str:
    """The code of the reply to a command."""
    client.putcmd(command)
    return client.getmultiline()[:3]


# Logging in


async def test_logging_in_and_out(ftp: FtpWorld) -> None:
    """A second USER begins anew, REIN forgets who it was, a wrong password can be followed by the right one, and who is in
    can log in as somebody else."""
    await ftp.node.add_user(OWNER, "root", Role.ADMIN, "secret")
    await ftp.node.add_user(OWNER, "me", Role.READ, "mine")
    await ftp.node.add_user(OWNER, "you", Role.WRITE, "yours")

    def work(sock: socket.socket) -> list[str]:
        lines = sock.makefile("rwb", buffering=0)
        lines.readline()

        def ask(command: str) -> str:
            lines.write(f"{command}\r\n".encode())
            return lines.readline()[:3].decode()

        assert [ask("PASS mine"), ask("USER"), ask("PWD")] == ["503", "501", "530"]
        assert [ask("USER you"), ask("USER me"), ask("PASS mine"), ask("PWD")] == ["331", "331", "230", "257"]
        assert [ask("PASS mine"), ask("MKD /a")] == ["503", "550"]
        assert [ask("USER you"), ask("PWD"), ask("PASS yours"), ask("MKD /a")] == ["331", "530", "230", "257"]
        assert [ask("USER nobody"), ask("PASS x"), ask("PWD")] == ["331", "530", "530"]
        assert [ask("USER me"), ask("PASS MINE"), ask("USER me"), ask("PASS mine")] == ["331", "530", "331", "230"]
        return [ask("REIN"), ask("PWD"), ask("REIN"), ask("USER me"), ask("PASS mine"), ask("QUIT")]

    assert await ftp.wire(work) == ["220", "530", "530", "331", "230", "221"]


async def test_rein_waits_for_the_transfer(ftp: FtpWorld) -> None:
    """RFC 959: what is under way comes to its end; then everything is as at the beginning."""

    def work(client: Client) -> None:
        client.mkd("/t")
        client.cwd("/t")
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR x") as sock:
            client.putcmd("REIN")
            sock.sendall(DATA)
        assert client.getmultiline()[:3] == "226"
        assert client.getmultiline()[:3] == "220"
        assert client.pwd() == "/"
        assert client.get("/t/x") == DATA

    await ftp.session(work)


async def test_user_waits_for_the_transfer(ftp: FtpWorld) -> None:
    """Who logs in as somebody else in the middle of an upload does not change whose it is, nor break it off."""

    def work(client: Client) -> None:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /t/x") as sock:
            client.putcmd("USER other")
            client.putcmd("PASS x")
            sock.sendall(DATA)
        assert [client.getmultiline()[:3] for _ in range(3)] == ["226", "331", "230"]
        assert client.get("/t/x") == DATA

    await ftp.session(work)


async def test_quit_waits_for_the_transfer(ftp: FtpWorld) -> None:
    """RFC 959: the connection stays until the transfer has been answered."""

    def work(client: Client) -> None:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /t/x") as sock:
            client.putcmd("QUIT")
            sock.sendall(DATA)
        assert client.getmultiline()[:3] == "226"
        assert client.getmultiline()[:3] == "221"
        with pytest.raises(EOFError):
            client.getmultiline()

    await ftp.session(work)
    assert (await ftp.only()).content.size == len(DATA)


# Commands as such


async def test_every_command_is_explained(ftp: FtpWorld) -> None:
    """HELP lists all, in upper or lower case tells of each, and knows no other."""

    def work(client: Client) -> None:
        every = client.sendcmd("HELP")
        for verb in VERBS:
            assert f" {verb.name}" in every
            assert client.sendcmd(f"HELP {verb.name.lower()}").startswith("214-")
        assert client.refused("HELP NOSUCH").startswith("501 ")
        assert client.sendcmd("SITE HELP").startswith("214-")
        assert client.refused("SITE NOSUCH").startswith("504 ")

    await ftp.session(work)


async def test_commands_are_read_in_any_case_and_with_spaces(ftp: FtpWorld) -> None:
    """Verbs have no case; a path keeps the spaces in it, one alone parts it from the verb."""

    def work(client: Client) -> None:
        assert [say(client, "nOOp"), say(client, "pWd"), say(client, "type i")] == ["200", "257", "200"]
        client.sendcmd("mkd a b")
        assert client.sendcmd("cwd a b") == '250 "/a b" is the current directory'
        assert client.refused("CwD  a b").startswith("550 /a b/ a b: ")

    await ftp.session(work)


NEED_SOMETHING = {
    *("ALLO", "APPE", "AUTH", "DELE", "EPRT", "HOST", "MDTM", "MFMT", "MKD", "MODE", "OPTS", "PORT", "REST", "RETR"),
    *("RMD", "RNFR", "SIZE", "STOR", "STRU", "TYPE", "USER", "XMKD", "XRMD"),
}


@pytest.mark.parametrize("verb", sorted(NEED_SOMETHING))
async def test_what_needs_an_argument_is_refused_without(ftp: FtpWorld, verb: str) -> None:
    """With 501, or 504 where nothing is what the server does not know; the session goes on."""

    def work(client: Client) -> None:
        assert say(client, verb) in ("501", "504")
        assert say(client, f"{verb} ") in ("501", "504")
        assert say(client, "NOOP") == "200"

    await ftp.session(work)


# Directories and names


async def test_what_takes_no_argument_does_not_mind_one(ftp: FtpWorld) -> None:
    """Some clients send one, and mean what they would without."""

    def work(client: Client) -> None:
        replies = [
            say(client, f"{verb} surplus")
            for verb in ("NOOP", "PWD", "CDUP", "SYST", "FEAT", "PASV", "ABOR", "REIN", "QUIT")
        ]
        assert replies == ["200", "257", "250", "215", "211", "227", "226", "220", "221"]

    await ftp.session(work)


async def test_port_is_of_ipv4_alone() -> None:
    """Over IPv6 the older commands have no address to tell: PORT goes to another host, EPRT to the family of the session only."""
    async with serving(interface="::1") as world:

        def work(client: Client) -> None:
            assert client.refused("PORT 127,0,0,1,200,0").startswith("504 ")
            assert client.refused("EPRT |1|127.0.0.1|51200|").startswith("504 ")
            assert say(client, "EPRT |2|::1|51200|") == "200"
            assert say(client, "PASV") == "425"
            assert say(client, "EPSV 2") == "229"

        await world.session(work)


async def test_working_directories(ftp: FtpWorld) -> None:
    """CWD, CDUP and PWD, by whole and by partial paths; nothing leads out at the top."""
    await ftp.add("x", "a", "b", home="a/b")

    def work(client: Client) -> None:
        for path, at in (("/a", "/a"), ("b", "/a/b"), ("..", "/a"), ("../a/./b", "/a/b"), ("/../..", "/"), ("", "/")):
            client.putcmd(f"CWD {path}")
            assert client.getmultiline()[:3] == "250"
            assert client.pwd() == at
        client.cwd("/@tree/a/b")
        assert client.sendcmd("CDUP").endswith('"/@tree/a" is the current directory')
        for _ in range(4):
            client.sendcmd("XCUP")
        assert client.pwd() == "/"
        for path in ("/nosuch", "/a/x", "/@tree/nosuch", "/a/nosuch/..x"):
            assert client.refused(f"CWD {path}").startswith("550 "), path
        assert client.pwd() == "/"

    await ftp.session(work)


async def test_what_goes_with_files_goes_not_with_directories(ftp: FtpWorld) -> None:
    """And the other way round."""
    await ftp.add("x", "a", home="a")

    def work(client: Client) -> None:
        for directory in ("/a", "/@tree/a", "/@recent", "/"):
            for verb in ("SIZE", "MDTM", "DELE", "RETR", "HASH", "XSHA256", "MFMT 20240101000000"):
                assert client.refused(f"{verb} {directory}")[:3] in ("501", "550"), (verb, directory)
        for verb in ("RMD", "CWD"):
            for file in ("/a/x", "/@tree/a/x"):
                assert client.refused(f"{verb} {file}").startswith("550 "), verb
        assert client.refused("MKD /@tree/a/x").startswith("550 ")
        assert client.names("/@tree/a") == ["x"]

    await ftp.session(work)


async def test_making_and_removing_directories(ftp: FtpWorld) -> None:
    """In the tree as in any file system: twice is an error, and so is removing what is not empty, or not there."""

    def work(client: Client) -> None:
        assert client.mkd("/@tree/a") == "/@tree/a"
        assert client.refused("MKD /@tree/a").startswith("550 ")
        client.cwd("/@tree/a")
        assert client.mkd("b") == "/@tree/a/b"
        client.put("b/x")
        assert client.refused("RMD b").startswith("550 ")
        client.delete("b/x")
        client.rmd("b")
        assert client.refused("RMD b").startswith("550 ")
        assert client.refused("RMD /@tree").startswith("550 ")
        assert client.refused("RMD /@recent").startswith("550 ")
        client.cwd("/")
        client.rmd("/@tree/a")
        assert client.names("/@tree") == []

    await ftp.session(work)


async def test_renaming(ftp: FtpWorld) -> None:
    """RNTO wants its RNFR, once for each; what is not there cannot be renamed, nor can the views."""
    await ftp.add("x", "a", home="a")

    def work(client: Client) -> None:
        assert say(client, "RNTO y") == "503"
        assert client.rename("/@tree/a/x", "/@tree/a/y").startswith("250 ")
        assert say(client, "RNTO z") == "503"
        assert client.refused("RNFR /@tree/a/x").startswith("550 ")
        assert say(client, "RNTO z") == "503"
        assert client.refused("RNFR /").startswith("550 ")
        for view in ("/@tree", "/@recent", "/@trash", "/@query"):
            with pytest.raises(ftplib.error_perm, match=r"55[03]"):
                client.rename(view, "/@other")
        client.sendcmd("RNFR /@tree/a/y")
        client.sendcmd("RNFR /@tree/a/y")
        assert client.refused("RNTO /@recent/y").startswith("553 ")
        assert say(client, "RNTO /@tree/a/z") == "503", "an RNTO that fails ends it, too"
        assert client.names("/@tree/a") == ["y"]

    await ftp.session(work)


async def test_times_and_sizes(ftp: FtpWorld) -> None:
    """In UTC, in 14 digits, whatever the type; MFMT refuses what is no time."""
    await ftp.add("x", "a", data=b"one\ntwo\n")

    def work(client: Client) -> None:
        assert re.fullmatch(r"213 \d{14}", client.sendcmd("MDTM /a/x"))
        for kind in "AI":
            client.sendcmd(f"TYPE {kind}")
            assert client.sendcmd("SIZE /a/x") == "213 8"
        for time in ("0", "20240101", "20240132000000", "99999999999999", "x0240101000000"):
            assert client.refused(f"MFMT {time} /a/x").startswith("501 "), time
        client.sendcmd("MFMT 19700101000000 /a/x")
        assert client.sendcmd("MDTM /a/x") == "213 19700101000000"

    await ftp.session(work)


# Storing and fetching


Put = Callable[[Client], None]


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "byte", "much"])
async def test_storing_and_fetching(ftp: FtpWorld, passive: bool, data: bytes) -> None:
    """In both modes, twice over the same name, listed and sized right."""

    def work(client: Client) -> None:
        client.set_pasv(passive)
        for content in (b"something else", data):
            client.put("/t/x", content)
            assert client.get("/t/x") == content
        assert client.size("/t/x") == len(data)
        assert client.nlst("/t") == ["x"]

    await ftp.session(work)


async def test_text_as_lines(ftp: FtpWorld) -> None:
    """ftplib's own text transfers: lines go up and come down as they were, whatever cuts them into packets."""
    lines = [f"line {number}" for number in range(5000)]

    def work(client: Client) -> None:
        client.storlines("STOR /t/x", io.BytesIO("\r\n".join(lines).encode()))
        got: list[str] = []
        client.retrlines("RETR /t/x", got.append)
        assert got == lines
        assert client.get("/t/x") == "".join(f"{line}\n" for line in lines).encode()

    await ftp.session(work)


async def test_restarting(ftp: FtpWorld) -> None:
    """REST counts for the next transfer alone, whichever it is, and not beyond what is there."""

    def work(client: Client) -> None:
        client.put("/t/x", DATA)
        client.voidcmd("TYPE I")
        client.sendcmd("REST 100")
        assert client.nlst("/t") == ["x"]
        assert client.get("/t/x", rest=len(DATA) - 1) == DATA[-1:]
        client.sendcmd("REST 100")
        client.sendcmd("REST 0")
        assert client.get("/t/x") == DATA
        for command in ("RETR", "STOR"):
            client.makepasv()
            client.sendcmd(f"REST {len(DATA) + 1}")
            assert client.refused(f"{command} /t/x").startswith("554 ")
        assert client.get("/t/x") == DATA
        client.put("/t/x", b"tail", rest=10)
        assert client.get("/t/x") == DATA[:10] + b"tail"

    await ftp.session(work)


async def test_stou_and_rest(ftp: FtpWorld) -> None:
    """A unique name is a new file: an offset means nothing to it, and a failed one leaves none behind."""

    def work(client: Client) -> None:
        client.cwd("/@tree")
        client.sendcmd("REST 10")
        client.makepasv()
        client.putcmd("STOU")
        client.putcmd("ABOR")
        replies = [client.getmultiline()[:3] for _ in range(3)]
        assert replies[0] == "150" and replies[-1] == "226"
        assert client.names() == []
        with socket.create_connection(client.makepasv()) as data:
            name = client.sendcmd("STOU")[10:]
            data.sendall(b"whole")
        client.voidresp()
        assert client.get(name) == b"whole"

    await ftp.session(work)


async def test_a_refused_upload_is_refused_before_its_bytes(ftp: FtpWorld) -> None:
    """Bad names and directories that take nothing are told at once, and the data connection ends."""

    def work(client: Client) -> None:
        for path in ("/@recent/x", "/" + "n" * 256, "/-x/y"):
            with socket.create_connection(client.makepasv()) as data:
                assert client.refused(f"STOR {path}").startswith("553 ")
                data.settimeout(5)
                try:
                    assert data.recv(1) == b""
                except ConnectionResetError:
                    pass

    await ftp.session(work)


# Listings


async def test_listings_of_every_kind(ftp: FtpWorld) -> None:
    """Of the directory one is in, of another, of a file, of nothing; each as its RFC writes it."""
    for name in ("a", "b c"):
        await ftp.add(name, "t", data=b"12345")

    def work(client: Client) -> None:
        def rows(command: str) -> list[str]:
            got: list[str] = []
            client.retrlines(command, got.append)
            return got

        client.mkd("/empty")
        client.cwd("/t")
        for command in ("LIST", "LIST .", "LIST /t", "LIST -al", "LIST -al /t"):
            assert len(rows(command)) == 2, command
            assert all(
                re.fullmatch(r"-[rwx-]{9} +1 \S+ +\S+ +5 \w{3} [ \d]\d [ \d:]{5} .+", row) for row in rows(command)
            )
        assert rows("NLST") == rows("NLST /t") == ["a", "b c"]
        assert rows("NLST b c") == ["b c"]
        assert rows("LIST /empty") == rows("NLST /empty") == rows("MLSD /empty") == []
        assert [row.partition("; ")[2] for row in rows("MLSD")] == ["a", "b c"]
        assert re.fullmatch(r"(\S+=[^;]*;)+", rows("MLSD /t")[0].partition(" ")[0])
        client.sendcmd("OPTS MLST")
        assert rows("MLSD") == [" a", " b c"]
        client.sendcmd("OPTS MLST type;size;unknown;")
        assert rows("MLSD") == ["type=file;size=5; a", "type=file;size=5; b c"]
        for command in ("LIST", "NLST", "MLSD"):
            with pytest.raises(ftplib.error_perm, match="550"):
                rows(f"{command} /nosuch")
        assert client.sendcmd("STAT /t").count("\n") == 3
        assert client.sendcmd("STAT /t/*c").count("\n") == 2
        assert client.sendcmd("MLST").splitlines()[1].startswith(" type=cdir;")

    await ftp.session(work)


# Data connections and ABOR


async def test_abor_wherever_nothing_is_transferred(ftp: FtpWorld) -> None:
    """With nothing set up, behind PASV, behind PORT, with the data connection there: 226, and the set-up is gone."""

    def work(client: Client) -> None:
        assert say(client, "ABOR") == "226"
        client.makepasv()
        assert say(client, "ABOR") == "226"
        with pytest.raises(ftplib.error_temp, match="425"):
            client.sendcmd("NLST /")
        with socket.create_connection(client.makepasv()):
            assert say(client, "ABOR") == "226"
        with socket.create_server(("127.0.0.1", 0)) as server:
            client.sendport("127.0.0.1", server.getsockname()[1])
            assert say(client, "ABOR") == "226"
        with pytest.raises(ftplib.error_temp, match="425"):
            client.sendcmd("NLST /")
        assert client.nlst("/@tree") == []

    await ftp.session(work)


async def test_the_last_set_up_counts(ftp: FtpWorld) -> None:
    """PASV behind PORT, PORT behind PASV, EPSV behind PASV: each ends the one before."""
    await ftp.add("x", "t")

    def work(client: Client) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            client.sendport("127.0.0.1", port)
            with socket.create_connection(client.makepasv()) as data:
                client.sendcmd("NLST /t")
                assert data.makefile("rb").read() == b"x\r\n"
            client.voidresp()
            client.makepasv()
            client.sendcmd(f"EPRT |1|127.0.0.1|{port}|")
            client.sendcmd("NLST /t")
            with server.accept()[0] as data:
                assert data.makefile("rb").read() == b"x\r\n"
            client.voidresp()
        client.makepasv()
        port = int(client.sendcmd("EPSV").split("|")[3])
        with socket.create_connection(("127.0.0.1", port)) as data:
            client.sendcmd("NLST /t")
            assert data.makefile("rb").read() == b"x\r\n"
        client.voidresp()

    await ftp.session(work)


async def test_one_set_up_is_one_transfer(ftp: FtpWorld) -> None:
    """A second transfer over the same set-up is 425."""
    await ftp.add("x", "t")

    def work(client: Client) -> None:
        with socket.create_connection(client.makepasv()) as data:
            client.sendcmd("NLST /t")
            assert data.makefile("rb").read() == b"x\r\n"
        client.voidresp()
        with pytest.raises(ftplib.error_temp, match="425"):
            client.sendcmd("NLST /t")

    await ftp.session(work)


async def test_a_client_that_connects_and_leaves_at_once(ftp: FtpWorld) -> None:
    """On the control port and on a data port, by a reset, too: nobody else notices."""

    def work(client: Client) -> None:
        for _ in range(20):
            socket.create_connection((ftp.host, ftp.port)).close()
            with socket.create_connection(client.makepasv()) as data:
                data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.put("/t/x", DATA)
        assert client.get("/t/x") == DATA

    await ftp.session(work)


async def test_a_client_that_cannot_be_called_is_told(ftp: FtpWorld) -> None:
    """PORT to a port where nobody listens: 425 when the transfer begins, for uploads as for downloads."""
    await ftp.add("x", "t")

    def work(client: Client) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        for command in ("RETR /t/x", "STOR /t/y", "NLST /t"):
            client.sendport("127.0.0.1", port)
            client.sendcmd(command)
            with pytest.raises(ftplib.error_temp, match="425"):
                client.voidresp()
        assert client.nlst("/t") == ["x"]

    await ftp.session(work)
