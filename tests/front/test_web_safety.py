"""What another site, or a hostile client, must not be able to do."""

from __future__ import annotations

import re
import socket
import time

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tagfs.front.web.guard import foreign_origin, host_name, is_own_host
from tagfs.front.web.limits import Limits
from tagfs.front.web.site import WebFactory
from tests.front.web_world import API, Client, WebWorld, web

__all__ = ["web"]
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
STRICT = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.mark.parametrize(
    ("authority", "own"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("127.0.0.1:99", True),
        ("127.1.2.3", True),
        ("[::1]:8080", True),
        ("192.0.2.7:8080", True),
        ("files.example.", True),
        ("192.0.2.8", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("a@localhost", False),
        ("localhost:", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_hosts(authority: str, own: bool) -> None:
    """The listener's address, loopback and the configured names; no other."""
    name = host_name(authority)
    assert (name is not None and is_own_host(name, "192.0.2.7", {"files.example"})) == own


@pytest.mark.parametrize(
    ("origin", "site", "foreign"),
    [
        (None, None, False),
        ("http://node:8080", None, False),
        ("https://NODE:8080", "same-origin", False),
        (None, "none", False),
        ("http://node", None, True),
        ("http://node:8081", None, True),
        ("null", None, True),
        ("http://evil.example", None, True),
        ("file://node:8080", None, True),
        ("http://[", None, True),
        (None, "same-site", True),
        ("http://node:8080", "cross-site", True),
    ],
)
def test_origins(origin: str | None, site: str | None, foreign: bool) -> None:
    """A change is taken from this site's own pages and from programs."""
    assert bool(foreign_origin(origin, site, "node:8080")) == foreign


async def test_foreign_host_is_421(web: WebWorld) -> None:
    """On everything, also where the target is absolute; a configured name passes."""

    def work(client: Client) -> None:
        for path in ("/", "/healthz", f"{API}/entries", "/nothing", f"http://evil.example:{web.port}/healthz"):
            host = "localhost" if "://" in path else "evil.example"
            assert client.ask("GET", path, Host=host).status == 421, path
        assert client.get("/healthz", Host="files.example:1234").status == 200
        assert client.get(f"http://localhost:{web.port}/healthz", Host="evil.example").status == 200

    await web.session(work)


async def test_foreign_origin_is_403_and_changes_nothing(web: WebWorld) -> None:
    """On every changing method; reading is left to the browser's own rules."""
    identifier = await web.add("a", "t")
    entry = f"{API}/entries/{identifier}"
    own = f"http://127.0.0.1:{web.port}"

    def work(client: Client) -> None:
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            assert client.ask("POST", f"{API}/entries?name=b", b"x", **headers).status == 403
            assert client.ask("PUT", f"{entry}/content", b"x", **headers).status == 403
            assert client.ask("PATCH", entry, {"name": "b"}, **headers).status == 403
            assert client.ask("DELETE", entry, **headers).status == 403
            assert client.ask("POST", f"{API}/delete", {"query": "t"}, **headers).status == 403
            assert client.get(entry, **headers).status == 200
        assert client.ask("PATCH", entry, {"name": "b"}, Origin=own, Sec_Fetch_Site="same-origin").status == 200

    await web.session(work)
    assert [entry.name for entry in await web.found()] == ["b"]


async def test_the_page_takes_no_offence_at_parameters(web: WebWorld) -> None:
    """Links in mails get parameters appended; the API names the one it does not know."""

    def work(client: Client) -> None:
        assert client.get("/?utm_source=mail&q=beach").status == 200
        assert client.get(f"{API}/entries?utm_source=mail").status == 400

    await web.session(work)


async def test_every_answer_has_the_strict_headers(web: WebWorld) -> None:
    """Pages, documents, contents, errors, and what was never a request; nothing may be read from another site."""
    identifier = await web.add("a")

    def work(client: Client) -> None:
        for path in ("/", "/healthz", "/nothing", f"{API}/entries", f"{API}/entries/{identifier}/content", "/metrics"):
            answer = client.get(path, Origin="http://evil.example")
            assert STRICT.items() <= dict(answer.headers).items(), path
            assert (
                "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                or "sandbox" in answer.headers["Content-Security-Policy"]
            )
            assert answer.headers["Date"]
            assert answer.headers["Access-Control-Allow-Origin"] is None

    await web.session(work)
    broken = (await web.exchange(b"rubbish\r\n\r\n")).decode()
    assert all(f"{name}: {value}\r\n" in broken for name, value in STRICT.items())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: localhost\n\n\r\n\r\n", 400),
        (b"GET / HTTP/3\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (GET + b"X: a\x00b\r\n\r\n", 400),
        (GET + b"no colon\r\n\r\n", 400),
        (GET + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
        (GET + b"Content-Length: +3\r\n\r\n", 400),
        (GET + b"Content-Length: -1\r\n\r\n", 400),
        (GET + b"Content-Length: 0x3\r\n\r\n", 400),
        (GET + b"Content-Length: 3,3\r\n\r\n", 400),
        (GET + b"Content-Length:\r\n\r\n", 400),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n", 414),
        (GET + b"X: " + b"x" * 20000 + b"\r\n", 431),
        (GET + b"".join(b"X: %s\r\n" % (b"x" * 9000) for _ in range(5)), 431),
        (GET + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"GET /%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"GET /assets/..%2fpage.py HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    ],
    ids=lambda value: repr(value[:50]) if isinstance(value, bytes) else str(value),
)
async def test_malformed_requests(web: WebWorld, request_: bytes, status: int) -> None:
    """Smuggling, endless and malformed requests get their answer, and the connection closes behind it."""
    answer = await web.exchange(request_)
    assert answer.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.0 %d " % status)), answer[:200]
    assert answer.count(b"HTTP/1.") == 1


async def test_nothing_behind_a_refused_request_runs(web: WebWorld) -> None:
    """A second request, smuggled behind an ambiguous first one, is never answered."""
    first = b"POST /api/v1/entries?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await web.exchange(
        first + b"0\r\n\r\nPOST /api/v1/entries?name=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1") == 1
    assert await web.found() == []


async def test_pipelined_requests_are_answered_in_order(web: WebWorld) -> None:
    """Many in one packet, with bodies between them."""
    many = b""
    for number in range(50):
        many += (
            f"POST {API}/entries?name=f{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".encode()
        )
        many += b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    many += GET + b"Connection: close\r\n\r\n"
    answer = await web.exchange(many)
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", answer)
    assert statuses == [b"201", b"200"] * 50 + [b"200"]
    assert len(await web.found()) == 50


@pytest.mark.limit(60)  # what the system buffers for both ends is worked through first
async def test_endless_pipeline_is_not_read_ahead(web: WebWorld) -> None:
    """A client that sends requests and reads no answers is stopped before it fills memory."""
    identifier = await web.add("a", data=b"x" * 100_000)
    one = f"GET {API}/entries/{identifier}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def work(sock: socket.socket) -> int:
        sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += sock.send(one * 500)
        except TimeoutError:
            pass
        return sent

    assert await web.wire(work) < 64 << 20


async def test_many_cheap_requests_in_one_packet_leave_others_their_turn(web: WebWorld) -> None:
    """Some of them are answered at once, the next ones when the reactor has been elsewhere; all of them in the end, unless the
    client has gone."""
    for stays in (True, False):
        clock = Clock()
        factory = WebFactory(web.node, clock)
        peer = Peer()
        channel = connect(factory, peer)
        channel.dataReceived((GET + b"\r\n") * 300)  # type: ignore[attr-defined]
        assert 0 < peer.value().count(b"HTTP/1.1 200 ") < 100
        if not stays:
            channel.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]
        for _ in range(10):
            clock.advance(0)
        assert (peer.value().count(b"HTTP/1.1 200 ") == 300) is stays
        if stays:
            channel.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]
        assert not clock.getDelayedCalls()


class Peer(StringTransport):
    """The other end of a channel; remembers how it was ended."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class FullPeer(Peer):
    """One that takes nothing: whatever is written is too much."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()  # type: ignore[union-attr]


def connect(factory: WebFactory, transport: StringTransport) -> object:
    channel = factory.buildProtocol(None)
    channel.makeConnection(transport)
    return channel


async def test_slow_headers_are_given_up(web: WebWorld) -> None:
    """However busily they trickle: 408 after head_s; an idle connection ends after idle_s without a word."""
    clock = Clock()
    factory = WebFactory(web.node, clock, limits=Limits(head_s=20, idle_s=75))
    slow, idle = Peer(), Peer()
    first, second = connect(factory, slow), connect(factory, idle)
    for letter in range(30):
        first.dataReceived(b"G" if letter == 0 else b"E")  # type: ignore[attr-defined]
        clock.pump([1])
    assert slow.value().startswith(b"HTTP/1.1 408 ") and slow.disconnecting
    assert not idle.disconnecting
    clock.pump([1] * 60)
    assert idle.disconnecting and idle.value() == b""
    for channel in (first, second):
        channel.connectionLost(None)  # type: ignore[attr-defined]
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("trickle", [b"", b"y"])
async def test_stalled_body_is_given_up(web: WebWorld, trickle: bytes) -> None:
    """A body of which nothing, or next to nothing, comes for stall_s ends the connection, and stores nothing."""
    clock = Clock()
    factory = WebFactory(web.node, clock, limits=Limits(stall_s=60, stall_bytes=10))
    peer = Peer()
    channel = connect(factory, peer)
    channel.dataReceived(  # type: ignore[attr-defined]
        b"POST /api/v1/entries?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx"
    )
    clock.pump([1] * 50)
    channel.dataReceived(b"ten bytes.")  # type: ignore[attr-defined]
    clock.pump([1] * 50)
    assert not peer.aborted
    for _ in range(5):
        channel.dataReceived(trickle)  # type: ignore[attr-defined]
        clock.pump([1] * 3)
    assert peer.aborted
    channel.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]
    assert await web.found() == []


async def test_download_that_is_not_taken_is_given_up(web: WebWorld) -> None:
    """A client that takes nothing for answer_stall_s is cut off; until then it is waited for."""
    identifier = await web.add("a", data=b"x" * 1_000_000)
    clock = Clock()
    factory = WebFactory(web.node, clock, limits=Limits(answer_stall_s=300))
    peer = FullPeer()
    channel = connect(factory, peer)
    channel.dataReceived(f"GET {API}/entries/{identifier}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())  # type: ignore[attr-defined]
    assert len(peer.value()) < 1_000_000
    clock.pump([1] * 290)
    assert not peer.aborted
    clock.pump([1] * 20)
    assert peer.aborted
    channel.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]


async def test_too_many_connections_are_refused(web: WebWorld) -> None:
    """One more than the bound is told 503 and closed; the others go on."""
    factory = WebFactory(web.node, Clock(), limits=Limits(connections=1))
    first, second = Peer(), Peer()
    channels = [connect(factory, first), connect(factory, second)]
    assert second.value().startswith(b"HTTP/1.1 503 ") and second.disconnecting
    channels[0].dataReceived(GET + b"\r\n")  # type: ignore[attr-defined]
    assert first.value().startswith(b"HTTP/1.1 200 ")
    for channel in channels:
        channel.connectionLost(None)  # type: ignore[attr-defined]


async def test_close_ends_idle_connections_at_once_and_others_after_their_answer(web: WebWorld) -> None:
    """The node stops: nobody is kept waiting, and no answer under way is lost."""
    identifier = await web.add("big", data=b"x" * (8 << 20))
    from twisted.internet.defer import Deferred, gatherResults

    started: list[bool] = []

    def download(sock: socket.socket) -> int:
        sock.sendall(f"GET {API}/entries/{identifier}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        size = len(sock.recv(1000))
        started.append(True)
        while not web.factory.closing:
            time.sleep(0.001)
        while data := sock.recv(1 << 18):
            size += len(data)
        return size

    def idle(sock: socket.socket) -> bytes:
        sock.sendall(GET + b"\r\n")
        first = sock.recv(2000)
        started.append(True)
        return first and sock.recv(100)

    waiting = [web.wire(download), web.wire(idle)]
    from tests.front.test_web_uploads import until

    await until(lambda: len(started) == 2)
    await Deferred.fromCoroutine(web.factory.close())
    size, rest = await gatherResults(waiting)
    assert size > 8 << 20
    assert rest == b""
