"""Downloads: ranges, conditions, names and types; large ones with back-pressure. Replacing with If-Match."""

from __future__ import annotations

import socket
import time
from urllib.parse import quote

import pytest

from tagfs.front.web.conditions import Span, is_matched, is_unchanged, span_of
from tagfs.front.web.disposition import disposition, is_media_type, served_type
from tagfs.node.transfer import Reading
from tests.front.test_web_uploads import until
from tests.front.web_world import API, Client, WebWorld, web

__all__ = ["web"]
BIG = bytes(range(256)) * 32768  # 8 MiB
DATA = b"0123456789"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-3", (0, 4)),
        ("bytes=4-", (4, 6)),
        ("bytes=-3", (7, 3)),
        ("bytes=-99", (0, 10)),
        ("bytes=0-99999999999999999", (0, 10)),
        (" Bytes = 9 - 9 ", (9, 1)),
        ("bytes=3-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-3", None),
        ("bytes=x", None),
        ("bytes=" + "9" * 30 + "-", None),
        ("bytes=10-", ValueError),
        ("bytes=-0", ValueError),
    ],
)
def test_ranges(header: str | None, expected: object) -> None:
    """A single satisfiable range gives a part; several, other and malformed ones the whole; one beyond the end is told."""
    if expected is ValueError:
        with pytest.raises(ValueError, match="bytes"):
            span_of(header, None, "t", "m", 10)
    else:
        assert span_of(header, None, "t", "m", 10) == (expected and Span(*expected))  # type: ignore[misc]


def test_range_of_other_bytes_gives_the_whole() -> None:
    """If-Range: the strong tag or the exact time."""
    assert span_of("bytes=0-0", '"t"', "t", "m", 10) == Span(0, 1)
    assert span_of("bytes=0-0", "m", "t", "m", 10) == Span(0, 1)
    assert span_of("bytes=0-0", 'W/"t"', "t", "m", 10) is None
    assert span_of("bytes=0-0", '"other"', "t", "m", 10) is None


def test_tags_compare_as_the_rfc_says() -> None:
    """If-Match strongly, If-None-Match weakly; lists and stars."""
    assert is_matched(None, "a") and is_matched("*", "a") and is_matched('"b", "a"', "a")
    assert not is_matched('W/"a"', "a") and not is_matched('"b"', "a") and not is_matched("a", "a")
    assert is_unchanged('W/"a"', "a") and is_unchanged('"x","a"', "a") and is_unchanged("*", "a")
    assert not is_unchanged(None, "a") and not is_unchanged('"b"', "a") and not is_unchanged("", "a")


@pytest.mark.parametrize(
    ("name", "kind", "save", "expected"),
    [
        ("a b.png", "image/png", False, 'inline; filename="a b.png"'),
        ("a.png", "image/png", True, 'attachment; filename="a.png"'),
        ("a.html", "text/html", False, 'attachment; filename="a.html"'),
        ("a.svg", "image/svg+xml", False, 'attachment; filename="a.svg"'),
        ("a.txt", "text/plain; charset=utf-8", False, 'inline; filename="a.txt"'),
        ('€ "x".txt', "text/plain", False, "inline; filename=\"_ _x_.txt\"; filename*=UTF-8''%E2%82%AC%20%22x%22.txt"),
        ("50%.txt", "text/plain", False, "inline; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"),
    ],
)
def test_disposition(name: str, kind: str, save: bool, expected: str) -> None:
    """What can run is saved, never shown; names beyond ASCII go by RFC 8187 with a plain one beside."""
    assert disposition(name, kind, save) == expected


def test_media_types() -> None:
    """What would break the header, or is none, is served as any bytes."""
    assert is_media_type('text/plain; charset="utf-8"') and is_media_type("image/svg+xml")
    for bad in ("", "text", "text/plain\r\nX: y", "text/plain; x", "a" * 300 + "/b"):
        assert served_type(bad) == "application/octet-stream"


async def test_range_of_a_content(web: WebWorld) -> None:
    """206 with Content-Range, 416 with the size, 200 for what is ignored; HEAD says the same without a body."""
    identifier = await web.add("a.txt", data=DATA)
    path = f"{API}/entries/{identifier}/content"

    def work(client: Client) -> None:
        part = client.get(path, Range="bytes=2-4")
        assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
        head = client.ask("HEAD", path, Range="bytes=2-4")
        assert (head.status, head.body, head.headers["Content-Length"]) == (206, b"", "3")
        beyond = client.get(path, Range="bytes=10-")
        assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */10")
        assert client.get(path, Range="bytes=0-0,2-2").body == DATA
        assert client.get(path, Range="bytes=0-0", If_Range='"other"').body == DATA
        whole = client.get(path)
        assert (whole.headers["Accept-Ranges"], whole.headers["Content-Length"]) == ("bytes", "10")

    await web.session(work)


async def test_unchanged_content_is_not_sent_again(web: WebWorld) -> None:
    """ETag is the digest, quoted; If-None-Match with it is 304 without a body, If-Match with another 412."""
    identifier = await web.add("a.txt", data=DATA)
    path = f"{API}/entries/{identifier}/content"

    def work(client: Client) -> None:
        digest = client.get(f"{API}/entries/{identifier}").json()["digest"]
        tag = client.get(path).headers["ETag"]
        assert tag == f'"{digest}"'
        again = client.get(path, If_None_Match=tag)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert client.get(path, If_Match='"other"').status == 412
        assert client.get("/healthz").status == 200

    await web.session(work)


async def test_times_as_conditions(web: WebWorld) -> None:
    """If-Modified-Since and If-Unmodified-Since count by the second, and only where no tag is given in their place."""
    identifier = await web.add("a.txt", data=DATA)
    path = f"{API}/entries/{identifier}/content"
    early, late = "Mon, 01 Jan 1990 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"

    def work(client: Client) -> None:
        first = client.get(path)
        exact, tag = first.headers["Last-Modified"], first.headers["ETag"]
        for date, status in ((exact, 304), (late, 304), (early, 200), ("yesterday", 200), ("", 200)):
            assert client.get(path, If_Modified_Since=date).status == status, date
        assert client.get(path, If_Modified_Since=late, If_None_Match='"x"').status == 200
        assert client.get(path, If_Modified_Since=early, If_None_Match=tag).status == 304
        for date, status in ((exact, 200), (late, 200), (early, 412), ("yesterday", 200)):
            assert client.get(path, If_Unmodified_Since=date).status == status, date
        assert client.get(path, If_Unmodified_Since=early, If_Match=tag).status == 200
        assert client.ask("PUT", path, b"x", If_Unmodified_Since=early).status == 412
        assert client.get(path).body == DATA

    await web.session(work)


async def test_replacing_can_be_forbidden(web: WebWorld) -> None:
    """PUT with If-None-Match of what is there is 412, and a part is never kept as the whole (RFC 9110 section 14.5)."""
    identifier = await web.add("a.txt", data=DATA)
    path = f"{API}/entries/{identifier}/content"

    def work(client: Client) -> None:
        assert client.ask("PUT", path, b"x", If_None_Match="*").status == 412
        assert client.ask("PUT", path, b"x", Content_Range="bytes 0-0/10").status == 400
        assert client.get(path).body == DATA
        assert client.ask("PUT", path, b"x", If_None_Match='"other"').status == 200

    await web.session(work)


async def test_plain_text_is_shown_as_utf8(web: WebWorld) -> None:
    """A browser that may not guess takes text without a charset for Windows-1252; what says a charset keeps it."""
    for kind, expected in ((None, "text/plain; charset=utf-8"), ("text/plain; charset=latin1",) * 2):
        identifier = await web.add("a.txt", data="Grüße".encode(), type=kind)
        answer = await web.session(lambda client: client.get(f"{API}/entries/{identifier}/content"))  # noqa: B023
        assert answer.headers["Content-Type"] == expected


async def test_replacing_keeps_the_old_content_as_a_version(web: WebWorld) -> None:
    """PUT answers with the entry; If-Match of other bytes is 412 and changes nothing; the version can be read."""
    identifier = await web.add("a.txt", data=b"old")
    path = f"{API}/entries/{identifier}/content"

    def work(client: Client) -> None:
        old = client.get(path).headers["ETag"]
        answer = client.ask("PUT", path, b"new", If_Match=old)
        assert (answer.status, answer.json()["size"], answer.json()["id"]) == (200, 3, identifier)
        assert client.get(path).headers["ETag"] == answer.headers["ETag"] != old
        assert client.ask("PUT", path, b"newer", If_Match=old).status == 412
        assert client.get(path).body == b"new"
        versions = client.get(f"{API}/entries/{identifier}").json()["versions"]
        assert [client.get(f"{path}?version={quote(v['version'])}").body for v in versions] == [b"old"]
        assert client.get(f"{path}?version=x").status == 404
        assert client.ask("PUT", f"{API}/entries/{'0' * 26}/content", b"x").status == 404

    await web.session(work)
    assert web.factory.door.replacing == {}


async def test_users_pages_cannot_run_as_the_site(web: WebWorld) -> None:
    """HTML, SVG and whatever else may hold scripts: sandboxed, never sniffed, saved instead of shown."""
    for name, kind in (
        ("a.html", None),
        ("a.svg", None),
        ("a.xml", None),
        ("a.png", "text/html"),
        ("a", "a/b\r\nX: y"),
    ):
        identifier = await web.add(name, data=b"<script>alert(1)</script>", type=kind)

        def work(client: Client, identifier: str = identifier) -> None:
            answer = client.get(f"{API}/entries/{identifier}/content")
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert answer.headers["X"] is None

        await web.session(work)


async def test_large_content_is_sent_as_fast_as_it_is_taken(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read holds up the reading, and gets every byte in the end."""
    identifier = await web.add("big", data=BIG)
    given = 0
    read = Reading.read

    async def count(self: Reading, limit: int) -> bytes:
        nonlocal given
        data = await read(self, limit)
        given += len(data)
        return data

    monkeypatch.setattr(Reading, "read", count)

    def slow(sock: socket.socket) -> bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(
            f"GET {API}/entries/{identifier}/content HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        first = sock.recv(1000)
        before = -1
        while before != given:  # until the server stands still
            before = given
            time.sleep(0.05)
        assert given < len(BIG)
        return first + b"".join(iter(lambda: sock.recv(1 << 18), b""))

    _, _, body = (await web.wire(slow)).partition(b"\r\n\r\n")
    assert body == BIG


async def test_client_that_leaves_frees_the_reading(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing in the middle of a download lets go of the content."""
    identifier = await web.add("big", data=BIG)
    closed: list[Reading] = []
    close = Reading.close
    monkeypatch.setattr(Reading, "close", lambda self: (closed.append(self), close(self)))

    def work(sock: socket.socket) -> bytes:
        sock.sendall(f"GET {API}/entries/{identifier}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return sock.recv(1000)

    await web.wire(work)
    await until(lambda: closed)
    await until(lambda: not web.factory._channels)


async def test_failing_content_cuts_the_connection(
    web: WebWorld, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: object
) -> None:
    """A content that breaks off is never taken for whole: the connection is cut before its announced end."""
    identifier = await web.add("big", data=BIG)
    read = Reading.read

    async def break_off(self: Reading, limit: int) -> bytes:
        return b"" if self._at > len(BIG) // 2 else await read(self, limit)

    monkeypatch.setattr(Reading, "read", break_off)

    def work(sock: socket.socket) -> int:
        sock.sendall(f"GET {API}/entries/{identifier}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        size = 0
        try:
            while data := sock.recv(1 << 18):
                size += len(data)
        except ConnectionResetError:
            pass
        return size

    assert await web.wire(work) < len(BIG)
    assert len(flush_logged_errors()) == 1  # type: ignore[operator]
