"""What looks like HTTP, and what does not."""

from __future__ import annotations

import pytest

from tagfs.wire.tag_guard import long_line_looks_like_http, looks_like_http


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b"get / http/1.0",
        b"PRI * HTTP/2.0",
        b"FOO x HTTP/3",
        b"POST /api?x=DELETE HTTP/1.1 ",
        b"GET /index.html",
        b"POST /",
        b"GET https://x/",
        b"Host: x",
        b"host:x",
        b"  Host: x",
        b"Content-Length: 5",
        b"X!#$%&'*+.^_`|~9: DELETE everything",
        b"FIND: x",
    ],
)
def test_http(line: bytes) -> None:
    """Request lines and headers."""
    assert looks_like_http(line)


@pytest.mark.parametrize(
    "line",
    [
        b"GET 0123456789abcdefghjkmnpqrs",
        b"GET 0123456789abcdefghjkmnpqrs | offset=5",
        b"DELETE beach and size:>10M",
        b"FIND name:*.jpg",
        b"FIND home:a/b",
        b'ADD 5 a | folder="x/HTTP"',
        b"CWD /beach/2024",
        b"RETR /GET /x",
        b"EPRT |2|::1|5282|",
        b"USER a:b",
        b"HTTP",
        b"",
        b": x",
        b"LIST http/1",
        b"PASS x:HTTP/1.1.x",
    ],
)
def test_commands(line: bytes) -> None:
    """No command of the tag protocol or of FTP."""
    assert not looks_like_http(line)


def test_long_lines() -> None:
    """Of a line of which only both ends are known, each is enough."""
    assert long_line_looks_like_http(b"GET /aaaa", b"aaaa")
    assert long_line_looks_like_http(b"Cookie: a", b"b")
    assert long_line_looks_like_http(b"FOO aaaa", b"aaaa HTTP/1.1")
    assert not long_line_looks_like_http(b"FIND a or b", b"or c or d")
