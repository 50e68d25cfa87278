"""Contents over data connections: what is stored, what is kept, and what a session answers meanwhile."""

from __future__ import annotations

import ftplib
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tagfs.errors import StorageFull
from tests.front.ftp_world import Client, FtpWorld, ftp, serving, until_sent

__all__ = ["ftp"]

DATA = bytes(range(256)) * 4096


async def test_what_goes_up_comes_down(ftp: FtpWorld) -> None:
    """Contents of any size, the empty one too, come back as they were."""

    def work(client: Client) -> None:
        for size in (0, 1, 65536, len(DATA)):
            assert client.put("/t/x", DATA[:size]).startswith("226 stored as ")
            assert client.get("/t/x") == DATA[:size]
            assert client.size("/t/x") == size

    await ftp.session(work)


async def test_active_mode(ftp: FtpWorld) -> None:
    """PORT and EPRT do all that PASV and EPSV do."""

    def work(client: Client) -> None:
        client.set_pasv(False)
        client.put("/t/x", DATA)
        assert client.get("/t/x") == DATA
        with socket.create_server(("127.0.0.1", 0)) as server:
            client.sendcmd(f"EPRT |1|127.0.0.1|{server.getsockname()[1]}|")
            client.sendcmd("NLST /t")
            data, _ = server.accept()
            with data:
                assert data.makefile("rb").read() == b"x\r\n"
        client.voidresp()

    await ftp.session(work)


@pytest.mark.parametrize(("interface", "host"), [("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1")])
async def test_over_ipv6(interface: str, host: str) -> None:
    """EPSV and EPRT serve IPv6; a listener of both families serves IPv4 clients by PASV and PORT as well."""
    async with serving(interface=interface) as world:
        world.host = host

        def work(client: Client) -> None:
            for passive in (True, False):
                client.set_pasv(passive)
                client.put("/t/x", DATA)
                assert client.get("/t/x") == DATA
            if host == "::1":
                with pytest.raises(ftplib.error_temp, match=r"425 .*EPSV"):
                    client.sendcmd("PASV")

        await world.session(work)


async def test_a_download_may_be_asked_for_before_the_data_connection_is_there(ftp: FtpWorld) -> None:
    """RETR right behind PASV waits for the client's call, and 150 comes before it."""
    await ftp.add("x", "t", data=DATA)

    def work(client: Client) -> None:
        host, port = client.makepasv()
        assert client.sendcmd("RETR /t/x").startswith("150 ")
        with socket.create_connection((host, port)) as data:
            assert data.makefile("rb").read() == DATA
        assert client.voidresp().startswith("226 ")

    await ftp.session(work)


async def test_a_refused_transfer_closes_the_data_connection(ftp: FtpWorld) -> None:
    """A client that waits on its data connection sees the end of it."""

    def work(client: Client) -> None:
        with socket.create_connection(client.makepasv(), timeout=5) as data:
            assert client.refused("RETR /nosuch").startswith("550 ")
            with suppress(ConnectionResetError):
                assert data.recv(1) == b""
        assert client.refused("RETR /nosuch").startswith("550 ")
        for command in ("STOR /x", "NLST /"):
            with pytest.raises(ftplib.error_temp, match="425 use PASV"):
                client.sendcmd(command)

    await ftp.session(work)


async def test_downloads_begin_where_rest_says(ftp: FtpWorld) -> None:
    """REST holds for one transfer; beyond the end it is refused."""
    await ftp.add("x", "t", data=DATA)

    def work(client: Client) -> None:
        assert client.get("/t/x", rest=1000) == DATA[1000:]
        assert client.get("/t/x") == DATA
        assert client.get("/t/x", rest=len(DATA)) == b""
        client.sendcmd(f"REST {len(DATA) + 1}")
        assert client.refused("RETR /t/x").startswith("554 ")
        assert client.refused("REST -1").startswith("501 ")
        client.sendcmd("REST 5")
        client.sendcmd("TYPE A")
        assert client.refused("RETR /t/x").startswith("554 ")

    await ftp.session(work)


async def test_an_upload_that_broke_stores_nothing_and_can_go_on(ftp: FtpWorld) -> None:
    """After a reset nothing is listed; SIZE tells what came, and APPE or REST with STOR complete it."""

    def work(client: Client) -> None:
        client.mkd("/t")
        for path, command, rest in (("/t/a", "APPE", None), ("/t/b", "STOR", 5000)):
            reply = client.break_off(path, DATA[:10_000])
            assert reply.startswith("426 ") and "10000 bytes are kept" in reply
            assert path.split("/")[2] not in client.nlst("/t")
            assert client.size(path) == 10_000
            client.voidcmd("TYPE I")
            start = rest or 10_000
            with client.transfercmd(f"{command} {path}", rest) as sock:
                sock.sendall(DATA[start:])
            client.voidresp()
            assert client.get(path) == DATA

    await ftp.session(work)


async def test_a_whole_upload_ends_what_an_earlier_one_left(ftp: FtpWorld) -> None:
    """Bytes kept of one upload are never mixed into a later one of the same name."""

    def work(client: Client) -> None:
        client.break_off("/t/x", b"a" * 100)
        client.put("/t/x", b"b" * 10)
        client.delete("/t/x")
        assert client.refused("SIZE /t/x").startswith("550 ")
        client.makepasv()
        client.sendcmd("REST 50")
        assert client.refused("STOR /t/x").startswith("554 ")

    await ftp.session(work)


async def test_what_is_kept_belongs_to_the_path(ftp: FtpWorld) -> None:
    """However a path is written, it names the same unfinished upload, and only that."""

    def work(client: Client) -> None:
        client.mkd("/t")
        client.break_off("/t/u/x", b"123")
        client.cwd("/t")
        assert client.size("u/../u//x") == 3
        assert client.refused("SIZE /t/x").startswith("550 ")

    await ftp.session(work)


async def test_appending_goes_on_behind_the_file(ftp: FtpWorld) -> None:
    """APPE keeps id, tags and an older version; without a file it makes one."""
    identifier = await ftp.add("x", "t", data=b"one ")

    def work(client: Client) -> None:
        for text in (b"two ", b"three"):
            with client.transfercmd("APPE /t/x") as sock:
                sock.sendall(text)
            client.voidresp()
        with client.transfercmd("APPE /t/new") as sock:
            sock.sendall(b"new")
        client.voidresp()
        assert client.get("/t/x") == b"one two three"
        assert client.get("/t/new") == b"new"
        with client.transfercmd("STOR /t/x", 4) as sock:
            sock.sendall(b"2")
        client.voidresp()
        assert client.get("/t/x") == b"one 2"

    await ftp.session(work)
    assert (await ftp.only("name:x")).id == identifier


async def test_a_client_that_dies_stores_nothing(ftp: FtpWorld) -> None:
    """The kernel of a dead client ends both its connections cleanly; that is no whole file, but can be gone on with."""

    def die(client: Client) -> None:
        sock = client.transfercmd("STOR /t/x")
        sock.sendall(DATA)
        until_sent(sock)
        client.file.close()
        client.sock.close()
        sock.close()
        client.sock = client.file = None

    await ftp.session(die)

    def look(client: Client) -> int | None:
        while True:
            try:
                return client.size("/t/x")
            except ftplib.error_perm:
                continue

    # What still was on its way may be lost with the client.
    assert 0 < (await ftp.session(look) or 0) <= len(DATA)
    assert await ftp.found() == []


async def test_abor_stops_a_download(ftp: FtpWorld) -> None:
    """The transfer is answered 426, ABOR 226, and the session goes on; also where ABOR is urgent data behind telnet's
    interrupt."""
    await ftp.add("x", "t", data=DATA * 20)

    def work(client: Client) -> None:
        for urgent in (False, True):
            with client.transfercmd("RETR /t/x") as sock:
                sock.recv(1000)
                if urgent:
                    client.sock.sendall(b"\xff\xf4\xff", socket.MSG_OOB)
                    client.sock.sendall(b"\xf2ABOR\r\n")
                else:
                    client.putcmd("ABOR")
                assert client.getmultiline().startswith("426 ")
                assert client.getmultiline().startswith("226 ")
            assert client.sendcmd("NOOP").startswith("200 ")
        assert client.sendcmd("ABOR").startswith("226 ")

    await ftp.session(work)


async def test_abor_stops_an_upload(ftp: FtpWorld) -> None:
    """Nothing is stored; what came is kept."""

    def work(client: Client) -> None:
        with client.transfercmd("STOR /t/x") as sock:
            sock.sendall(DATA)
            until_sent(sock)
            while f"{len(DATA)} bytes" not in client.sendcmd("STAT"):
                pass
            client.putcmd("ABOR")
            assert client.getmultiline().startswith("426 ")
            assert client.getmultiline().startswith("226 ")
        assert client.size("/t/x") == len(DATA)

    await ftp.session(work)
    assert await ftp.found() == []


async def test_the_session_answers_in_the_middle_of_a_transfer(ftp: FtpWorld) -> None:
    """STAT and NOOP are answered at once; what must wait is answered after the transfer, in order."""

    def work(client: Client) -> None:
        with client.transfercmd("STOR /t/x") as sock:
            sock.sendall(b"123")
            assert client.sendcmd("NOOP").startswith("200 ")
            status = client.sendcmd("STAT")
            while ": 3 bytes" not in status:
                status = client.sendcmd("STAT")
            assert "STOR /t/x" in status
            client.putcmd("SIZE /t/x")
        assert client.voidresp().startswith("226 ")
        assert client.getresp() == "213 3"
        assert "no transfer" in client.sendcmd("STAT")

    await ftp.session(work)


async def test_text_transfers_change_line_ends_both_ways(ftp: FtpWorld) -> None:
    """TYPE A: LF here is CRLF there, and a round trip changes nothing; without TYPE nothing is changed."""

    def work(client: Client) -> None:
        def put(data: bytes) -> None:
            with client.transfercmd("STOR /t/x") as sock:
                for byte in data:
                    sock.sendall(bytes([byte]))
            client.voidresp()

        def get() -> bytes:
            with client.transfercmd("RETR /t/x") as sock:
                data = sock.makefile("rb").read()
            client.voidresp()
            return data

        put(b"a\r\nb")
        assert get() == b"a\r\nb"
        client.sendcmd("TYPE A N")
        put(b"one\r\ntwo\r\r\nthree\rfour\n\r")
        assert get() == b"one\r\ntwo\r\r\nthree\rfour\r\n\r"
        client.sendcmd("TYPE I")
        assert get() == b"one\ntwo\r\nthree\rfour\n\r"

    await ftp.session(work)


async def test_stou_finds_a_free_name(ftp: FtpWorld) -> None:
    """STOU never replaces anything, and tells the name it chose."""
    await ftp.add("x.txt", "t")

    def work(client: Client) -> None:
        client.cwd("/t")
        names = set()
        for _ in range(3):
            host, port = client.makepasv()
            with socket.create_connection((host, port)) as data:
                reply = client.sendcmd("STOU x.txt")
                assert reply.startswith("150 FILE: x")
                names.add(reply[10:])
                data.sendall(b"new")
            client.voidresp()
        assert len(names) == 3
        assert sorted(client.nlst()) == sorted({*names, "x.txt"})
        assert client.get("x.txt") == b"content"

    await ftp.session(work)


async def test_uploads_to_one_path_at_once_are_versions(ftp: FtpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """However they overlap, one path has one entry in the end."""
    named = ftp.node.named

    async def slowly(*asked: Any, **more: Any) -> Any:
        from twisted.internet import reactor

        found = await named(*asked, **more)
        await deferLater(reactor, 0.02)
        return found

    monkeypatch.setattr(ftp.node, "named", slowly)
    paths = ["/a/b/x", "/b/a/x", "/A/B/x", "/b/a/x"]
    await gatherResults([ftp.session(lambda client, path=path: client.put(path, path.encode())) for path in paths])
    assert len((await ftp.only()).versions) >= 2


@pytest.mark.parametrize("step", ["add", "keep"])
async def test_a_store_that_fails_says_why(ftp: FtpWorld, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """What goes wrong once all bytes are here reaches the client as what it is, and the session goes on."""
    receive = ftp.node.receive
    aborted: list[Any] = []

    async def full(*asked: Any, **more: Any) -> Any:
        from twisted.internet import reactor

        await deferLater(reactor, 0)
        raise StorageFull("the disk is full")

    async def failing(*asked: Any, **more: Any) -> Any:
        receiving = await receive(*asked, **more)
        monkeypatch.setattr(type(receiving), step, full)
        monkeypatch.setattr(type(receiving), "abort", lambda self: aborted.append(self))
        return receiving

    def work(client: Client) -> None:
        if step == "add":
            with pytest.raises(ftplib.error_temp, match=r"^452 .*the disk is full"):
                client.put("/t/x", DATA)
        else:
            assert client.break_off("/t/x", DATA).startswith("452 ")
        assert client.sendcmd("NOOP").startswith("200 ")

    monkeypatch.setattr(ftp.node, "receive", failing)
    await ftp.session(work)
    assert await ftp.found() == []
    assert len(aborted) == 1, "what was received must not take room for ever"


async def test_abor_in_the_same_packet(ftp: FtpWorld) -> None:
    """A transfer whose data connection never came ends by ABOR, at once."""
    await ftp.add("x", "t", data=DATA)

    def work(client: Client) -> None:
        for setup in ("PASV", "PORT 127,0,0,1,4,1"):
            client.sendcmd(setup)
            client.sock.sendall(b"RETR /t/x\r\nABOR\r\n")
            replies = [client.getmultiline()[:3] for _ in range(3)]
            assert replies in (["150", "426", "226"], ["150", "425", "226"])

    await ftp.session(work)


async def test_a_reset_download_is_426(ftp: FtpWorld) -> None:
    """A client that resets its data connection is told, and goes on."""
    await ftp.add("x", "t", data=DATA * 20)

    def work(client: Client) -> None:
        with client.transfercmd("RETR /t/x") as sock:
            sock.recv(1000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with pytest.raises(ftplib.error_temp, match="426"):
            client.voidresp()
        assert client.nlst("/t") == ["x"]

    await ftp.session(work)


async def test_many_small_files_in_one_session(ftp: FtpWorld) -> None:
    """Each transfer leaves nothing behind that the next one could run into."""

    def work(client: Client) -> None:
        for number in range(50):
            client.put(f"/t/{number}", b"%d" % number)
        for number in range(50):
            assert client.get(f"/t/{number}") == b"%d" % number

    await ftp.session(work)
