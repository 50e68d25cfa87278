"""Uploads: streamed with back-pressure, chunked, announced, as a form; cut ones leave nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tagfs.errors import StorageFull
from tagfs.front.web import request as request_module
from tagfs.front.web.channel import Channel
from tests.front.web_world import API, Answer, Client, WebWorld, web

__all__ = ["web"]
BIG = bytes(range(256)) * 16384  # 4 MiB


async def until(condition: object) -> None:
    """Waits for a condition; the limit of the test ends it."""
    from twisted.internet import reactor

    while not condition():  # type: ignore[operator]
        await deferLater(reactor, 0.002)  # type: ignore[arg-type]


async def test_large_body_arrives_whole(web: WebWorld) -> None:
    """Of known length and chunked, in whatever pieces it comes."""

    def work(client: Client) -> list[str]:
        def pieces() -> Iterator[bytes]:
            yield BIG[:1]
            yield BIG[1:70000]
            yield BIG[70000:]

        return [client.put_entry("a", data=BIG)["id"], client.put_entry("b", data=pieces())["id"]]

    for identifier in await web.session(work):
        assert await web.content(identifier) == BIG


async def test_empty_body_is_an_empty_entry(web: WebWorld) -> None:
    """Size 0, by Content-Length and by chunks."""

    def work(client: Client) -> None:
        assert client.put_entry("a", data=b"")["size"] == 0
        assert client.put_entry("b", data=iter([]))["size"] == 0

    await web.session(work)


async def test_slow_store_holds_the_client_back(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the node says wait, no more is read from the socket than the bounds allow."""
    gates: list[Deferred[None]] = []
    taken = 0
    receive = web.node.receive

    async def slow(*arguments: object, **more: object) -> object:
        receiving = await receive(*arguments, **more)  # type: ignore[arg-type]
        write = receiving.write

        def wait(data: bytes) -> Deferred[None]:
            nonlocal taken
            taken += len(data)
            write(data)
            gates.append(Deferred())
            return gates[-1]

        receiving.write = wait  # type: ignore[method-assign]
        return receiving

    monkeypatch.setattr(web.node, "receive", slow)
    monkeypatch.setattr(Channel, "tap_body", lambda channel: None)  # the way that bodies of other kinds go
    size = 32 << 20
    sent = 0

    def upload(sock: socket.socket) -> bytes:
        nonlocal sent
        sock.sendall(
            f"POST {API}/entries?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        while sent < size:
            sent += sock.send(BIG[: min(len(BIG), size - sent)])
        return sock.recv(100)

    done = web.wire(upload)
    await until(lambda: gates)
    before = -1
    while before != sent:  # until the sender stands still
        before = sent
        from twisted.internet import reactor

        await deferLater(reactor, 0.05)  # type: ignore[arg-type]
    assert taken <= 1 << 19
    assert sent < size
    finished: list[bytes] = []
    done.addCallback(finished.append)
    while not finished:
        while gates:
            gates.pop().callback(None)
        await until(lambda: gates or finished)
    assert finished[0].startswith(b"HTTP/1.1 201 ")
    assert taken == size


async def test_cut_upload_stores_nothing(web: WebWorld) -> None:
    """A connection that ends in the middle of a body, of known length or chunked or a form, leaves no entry."""
    head = f"POST {API}/entries?name=a HTTP/1.1\r\nHost: localhost\r\n".encode()
    starts = [
        b"Content-Length: 2000000\r\n\r\n" + BIG[:1500000],
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno number\r\n",
        b'Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 900\r\n\r\n--x\r\nContent-Disposition: form-data; name="f"; '
        b'filename="a"\r\n\r\nhello',
    ]

    def work(sock: socket.socket, start: bytes) -> None:
        sock.sendall(head + start)

    for start in starts:
        await web.wire(lambda sock, start=start: work(sock, start))  # type: ignore[misc]
    await until(lambda: not web.factory._channels)
    assert await web.found() == []


@pytest.mark.parametrize("ends_with", ["POST", "GET", "body", "head"])
async def test_a_client_that_only_reads_on_is_answered(web: WebWorld, ends_with: str) -> None:
    """`printf … | nc -N`: what came whole before the half-close is answered, in order, and then the connection ends; a request
    that is cut stores nothing."""

    def post(name: str) -> bytes:
        return f"POST {API}/entries?name={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".encode()

    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last, statuses = {
        "POST": (post("b"), [b"201"]),
        "GET": (get, [b"200"]),
        "body": (post("b")[:-1], []),
        "head": (get[:-2], []),
    }[ends_with]

    def work(sock: socket.socket) -> bytes:
        sock.sendall(post("a") + get + last)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))

    answer = await web.wire(work)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"201", b"200", *statuses]
    assert [entry.name for entry in await web.found()] == (["a", "b"] if ends_with == "POST" else ["a"])


async def test_a_half_closed_client_gets_all_of_a_slow_answer(web: WebWorld) -> None:
    """The half-close is long past when the last byte of a large content goes out."""
    identifier = await web.add("a", data=BIG)

    def work(sock: socket.socket) -> int:
        sock.sendall(f"GET {API}/entries/{identifier}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        sock.shutdown(socket.SHUT_WR)
        return sum(map(len, iter(lambda: sock.recv(65536), b"")))

    assert await web.wire(work) > len(BIG)
    await until(lambda: not web.factory._channels)


async def test_continue_is_said_only_where_the_body_is_wanted(web: WebWorld) -> None:
    """Expect: 100-continue gets 100 and then the answer; a refused request gets its answer at once, and no 100."""

    def wanted(sock: socket.socket) -> tuple[bytes, bytes]:
        head = f"POST {API}/entries?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        sock.sendall(head.encode())
        first = sock.recv(1000)
        sock.sendall(b"hello")
        return first, sock.recv(1000)

    def refused(sock: socket.socket) -> bytes:
        head = f"POST {API}/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        sock.sendall(head.encode())
        return b"".join(iter(lambda: sock.recv(1000), b""))

    first, then = await web.wire(wanted)
    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert then.startswith(b"HTTP/1.1 201 ")
    assert (await web.wire(refused)).startswith(b"HTTP/1.1 400 ")


async def test_unknown_expectation_is_refused(web: WebWorld) -> None:
    """417."""
    head = f"POST {API}/entries?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: a-pony\r\nConnection: close\r\n\r\nhello"
    assert (await web.exchange(head.encode())).startswith(b"HTTP/1.1 417 ")


async def test_refusal_of_a_large_body_reaches_a_client_that_goes_on_sending(web: WebWorld) -> None:
    """The answer is not lost to a reset, and the connection closes."""

    def work(sock: socket.socket) -> bytes:
        sock.sendall(f"POST {API}/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: {32 << 20}\r\n\r\n".encode())
        for _ in range(8):
            sock.sendall(BIG)
        return b"".join(iter(lambda: sock.recv(65536), b""))

    answer = await web.wire(work)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answer


async def test_refusal_of_a_small_body_keeps_the_connection(web: WebWorld) -> None:
    """The body is dropped and the next request is answered on the same connection."""

    def work(client: Client) -> None:
        assert client.ask("POST", f"{API}/entries", b"x" * 100_000).status == 400
        sock = client.sock
        assert client.get("/healthz").status == 200
        assert client.sock is sock

    await web.session(work)


async def test_full_disk_is_507(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is known beforehand or happens in the middle; nothing is stored."""
    receive = web.node.receive

    async def full(*arguments: object, **more: object) -> object:
        receiving = await receive(*arguments, **more)  # type: ignore[arg-type]

        def write(data: bytes) -> Deferred[None]:
            from twisted.internet.defer import fail

            receiving.abort()
            return fail(StorageFull("no space is left"))

        receiving.write = write  # type: ignore[method-assign]
        return receiving

    monkeypatch.setattr(web.node, "receive", full)

    def work(client: Client) -> None:
        answer = client.ask("POST", f"{API}/entries?name=a", b"x" * 5000)
        assert (answer.status, answer.json()["title"]) == (507, "Insufficient Storage")

    await web.session(work)
    assert await web.found() == []


def form(*parts: tuple[str, bytes], boundary: str = "=_limit") -> tuple[bytes, str]:
    """A form: each part is what stands behind ``form-data; ``, and its value."""
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {what}\r\n\r\n".encode() + value + b"\r\n"
        for what, value in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f'multipart/form-data; boundary="{boundary}"'


def send_form(client: Client, *parts: tuple[str, bytes], path: str = f"{API}/entries") -> Answer:
    body, kind = form(*parts)
    return client.ask("POST", path, body, Content_Type=kind)


async def test_form_stores_its_file_with_its_fields(web: WebWorld) -> None:
    """Fields may stand before and behind the file, and in the URL; the file's own name serves where no other is given."""

    def work(client: Client) -> None:
        made = send_form(
            client,
            ('name="tag"', b"one"),
            ('name="file"; filename="C:\\\\photos\\\\se\u00e4.png"', BIG),
            ('name="tag"', b"two words"),
            ('name="name"', b""),
            path=f"{API}/entries?tag=three",
        )
        assert made.status == 201, made.body
        assert made.json()["tags"] == ["one", "three", "two words"]
        assert (made.json()["name"], made.json()["size"], made.json()["type"]) == ("seä.png", len(BIG), "image/png")
        assert client.get(f"{API}/entries/{made.json()['id']}/content").body == BIG
        assert send_form(client, ('name="f"; filename="x"', b""), ('name="name"', b"y")).json()["name"] == "y"

    await web.session(work)


async def test_wrong_forms_are_refused(web: WebWorld) -> None:
    """No file, two files, other fields, endless fields, no boundary, rubbish: 400 or 413, and nothing is stored."""

    def work(client: Client) -> None:
        one = ('name="f"; filename="x"', b"1")
        assert send_form(client, ('name="name"', b"y")).status == 400
        assert send_form(client, one, one).status == 400
        assert send_form(client, one, ('name="colour"', b"y")).status == 400
        assert send_form(client, one, ('name="tag"', b"\xff")).status == 400
        assert send_form(client, one, ('name="tag"', b"a" * 5000)).status == 413
        assert send_form(client, one, *[('name="tag"', b"a")] * 1200).status == 413
        body, kind = form(one)
        assert client.ask("POST", f"{API}/entries", body[:-6], Content_Type=kind).status == 400
        assert client.ask("POST", f"{API}/entries", body, Content_Type="multipart/form-data").status == 400
        assert client.ask("POST", f"{API}/entries", b"x" * 999, Content_Type=kind).status == 400

    await web.session(work)
    assert await web.found() == []


async def test_type_is_kept_where_it_says_something(web: WebWorld) -> None:
    """A type that clients send by habit gives way to what the name suggests; one that is none is 415."""

    def work(client: Client) -> None:
        assert client.put_entry("a.png", Content_Type="image/webp")["type"] == "image/webp"
        for habit in ("application/x-www-form-urlencoded", "application/octet-stream"):
            assert client.put_entry("a.png", Content_Type=habit)["type"] == "image/png"
        assert client.ask("POST", f"{API}/entries?name=a", b"x", Content_Type="no type").status == 415
        assert client.ask("POST", f"{API}/entries?name=a", b"x", Content_Encoding="gzip").status == 415

    await web.session(work)


async def test_time_and_folder_can_be_given(web: WebWorld) -> None:
    """modified and folder of the new entry."""

    def work(client: Client) -> None:
        answer = client.ask("POST", f"{API}/entries?name=a&folder=x/y&modified=2020-01-02T03:04:05Z", b"x").json()
        assert (answer["home"], answer["modified"]) == ("x/y", "2020-01-02T03:04:05.000Z")
        for query in ("modified=soon", "folder=/x", "tag=a/b", "tag="):
            assert client.ask("POST", f"{API}/entries?name=a&{query}", b"x").status == 400, query

    await web.session(work)


async def test_without_twisteds_private_names_bodies_are_spooled(
    web: WebWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Twisted that keeps method and path elsewhere costs speed, not function."""
    monkeypatch.setattr(request_module, "getattr", lambda *_: None, raising=False)

    def work(client: Client) -> str:
        assert client.ask("POST", f"{API}/retag", {"query": ""}).status == 400
        return str(client.put_entry("a", data=BIG)["id"])

    assert await web.content(await web.session(work)) == BIG
