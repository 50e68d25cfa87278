"""Request smuggling, by the forms that public lists have of it: whatever a proxy in front may make of such bytes, nothing that
is hidden in a body ever runs here as a request, and what is ambiguous ends the connection.

Sources of the forms: RFC 9112 sections 6 and 11, the published mutations of ``Transfer-Encoding`` and of chunk framing by which
proxies and servers were found to disagree (CL.TE, TE.CL, TE.TE, CL.0, 0.CL), and the malformed lines of parser comparisons.
"""

from __future__ import annotations

import re
import socket

import pytest

from tests.front.web_world import API, WebWorld, web

__all__ = ["web"]

HIDDEN = f"POST {API}/entries?name=hidden HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
FIRST = f"POST {API}/entries?name=first HTTP/1.1\r\nHost: localhost\r\n".encode()

TRANSFER_ENCODINGS = [
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b"Transfer-Encoding\x0b: chunked",
    b"Transfer-Encoding\x00: chunked",
    b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked",
    b"\x0bTransfer-Encoding: chunked",
    b"Transfer-Encoding: \tchunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: \x0cchunked",
    b"Transfer-Encoding: \x00chunked",
    b"Transfer-Encoding: \x7fchunked",
    b"Transfer-Encoding: \xa0chunked",
    b"Transfer-Encoding: \xffchunked",
    b"Transfer-Encoding: chunked\t",
    b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding: chunked\r",
    b"Transfer-Encoding: chunked;q=1",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: 'chunked'",
    b"Transfer-Encoding: CHUNKED",
    b"Transfer-Encoding: ChUnKeD",
    b"transfer-encoding: chunked",
    b"TRANSFER-ENCODING: chunked",
    b"Transfer-Encoding: chunkedfoo",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: , chunked",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: cow",
    b"Transfer-Encoding:",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding:\r\n\tchunked",
    b"Transfer-Encoding: identity\r\n, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    b"Transfer Encoding: chunked",
    b"X: x\nTransfer-Encoding: chunked",
    b"X: x\rTransfer-Encoding: chunked",
    b"X: x\r\n Transfer-Encoding: chunked",
    b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
]

OTHER_HEADERS = [
    b"Transfer_Encoding: chunked",
    b"Content-Encoding: chunked",
    b"TE: chunked",
    b"X-Transfer-Encoding: chunked",
]
"""They say nothing of where a body ends: the length counts, and a second request behind it is one."""

LENGTHS = [
    b"Content-Length: %d\r\nContent-Length: 0",
    b"Content-Length: 0\r\nContent-Length: %d",
    b"Content-Length: %d\r\nContent-Length: %d",
    b"Content-Length: %d, %d",
    b"Content-Length: %d,",
    b"Content-Length: 0, %d",
    b"Content-Length: +%d",
    b"Content-Length: -%d",
    b"Content-Length: 0x%x",
    b"Content-Length: %d.0",
    b"Content-Length: %de0",
    b"Content-Length: \x0b%d",
    b"Content-Length: %d\x00",
    b"Content-Length: %d\r\n 0",
    b"Content-Length: %d 0",
    b"Content-Length: %d;a=b",
    b"Content-Length : %d",
    b"Content-Length\x0b: %d",
    b"Content-Length: \xef\xbc\x91",  # a digit, but not one of ASCII
    b"Content-Length: \xc2\xb2",
    b"Content-Length: _%d",
    b"Content-Length: 1_0",
    b"Content-Length: 99999999999999999999999999",
    b"Content_Length: %d",
    b"X: x\nContent-Length: %d",
    b"X: x\rContent-Length: %d",
]

CHUNKS = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;name=value\r\nhello\r\n0\r\n\r\n",
    b"0005\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"5_0\r\nhello\r\n0\r\n\r\n",
    b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"5\rX\nhello\r\n0\r\n\r\n",
    b"5\r\r\nhello\r\n0\r\n\r\n",
    b"5;\nhello\r\n0\r\n\r\n",
    b"5;a=\n0\r\n\r\n\r\nhello\r\n0\r\n\r\n",
    b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"100000005\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n00\r\n\r\n",
    b"5\r\nhello\r\n0\n\n",
    b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    b"5\r\nhello\r\n0\r\nContent-Length: 100\r\n\r\n",
    b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"5\r\nhello\r\n0\r\n" + b"T: x\r\n" * 100_000 + b"\r\n",
    b"5\r\nhello\r\n0\r\n" + b"T" * 1_000_000,
    b"5\r\nhello\r\n0\r\n X\r\n\r\n",
    b"G\r\nhello\r\n0\r\n\r\n",
]

HEADS = [
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n evil.example\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: evil.example#localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\x00.evil.example\r\n\r\n",
    b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET //evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1 x\r\nHost: localhost\r\n\r\n",
    b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET\t/healthz\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/01.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.10\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/0.9\r\nHost: localhost\r\n\r\n",
    b"GET /healthz http/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz XTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"G\x00T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX\xe9: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA B: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
    b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x00" * 4096 + b"\r\n\r\n",
    b"A" * 1_000_000,
    b"GET /" + b"a" * 1_000_000,
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"A" * 1_000_000,
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\r\n" + b" c\r\n" * 100_000 + b"\r\n",
]


async def converse(web: WebWorld, data: bytes) -> list[bytes]:
    """Sends bytes and then ends the stream; the status codes of all answers."""

    def work(sock: socket.socket) -> bytes:
        answer = b""
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while got := sock.recv(65536):
                answer += got
        except OSError:
            pass  # the server has closed with some of it unread, as it may
        return answer

    return re.findall(rb"HTTP/1\.[01] (\d+) ", await web.wire(work))


def shown(value: object) -> str:
    return repr(value[:60]) if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("line", TRANSFER_ENCODINGS, ids=shown)
async def test_what_a_body_hides_never_runs(web: WebWorld, line: bytes) -> None:
    """CL.TE and TE.CL with every form of the other header: one answer at most, and no second entry."""
    hidden = b"0\r\n\r\n" + HIDDEN
    for length in (b"Content-Length: %d\r\n" % len(hidden), b"Content-Length: 4\r\n"):
        for head in (FIRST + length + line + b"\r\n\r\n", FIRST + line + b"\r\n" + length + b"\r\n"):
            chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
            body = hidden if length.endswith(b" %d\r\n" % len(hidden)) else chunk
            statuses = await converse(web, head + body)
            assert "hidden" not in {entry.name for entry in await web.found()}
            # A request that is none ends the connection. Else the length counts, and what is behind it is refused.
            assert statuses[:1] in ([b"201"], [b"400"], []) and b"201" not in statuses[1:], statuses
            assert b"400" not in statuses[:-1], statuses


@pytest.mark.parametrize("line", OTHER_HEADERS, ids=shown)
async def test_other_headers_do_not_say_where_a_body_ends(web: WebWorld, line: bytes) -> None:
    """What looks like chunks is then the content."""
    hidden = b"0\r\n\r\n" + HIDDEN
    statuses = await converse(web, FIRST + b"Content-Length: %d\r\n" % len(hidden) + line + b"\r\n\r\n" + hidden)
    assert statuses in ([b"201"], [b"415"])
    assert "hidden" not in {entry.name for entry in await web.found()}


@pytest.mark.parametrize("line", LENGTHS, ids=shown)
async def test_lengths_that_can_be_read_in_two_ways_are_refused(web: WebWorld, line: bytes) -> None:
    """CL.CL, CL.0 and all that is no plain number: nothing is stored by it, and what follows does not run."""
    text = line.replace(b"%x", b"%d")
    text = text % ((len(HIDDEN),) * text.count(b"%d"))
    statuses = await converse(web, FIRST + text + b"\r\n\r\n" + HIDDEN)
    names = {entry.name for entry in await web.found()}
    if b"_Length" in line.replace(b"Content_", b"_"):  # another header, that means nothing: a body of no length
        assert statuses == [b"201", b"201"] and names == {"first", "hidden"}
    else:
        assert statuses in ([b"400"], [b"413"], []) and not names, (statuses, names)


@pytest.mark.parametrize("body", CHUNKS, ids=shown)
async def test_chunks_are_read_in_one_way_only(web: WebWorld, body: bytes) -> None:
    """A well-formed body is stored as it is and the next request is answered; any other ends the connection, with nothing
    stored and nothing run, however much of it there is."""
    statuses = await converse(web, FIRST + b"Transfer-Encoding: chunked\r\n\r\n" + body + HIDDEN)
    names = sorted(entry.name for entry in await web.found())
    if statuses == [b"201", b"201"]:
        assert names == ["first", "hidden"]
        (first,) = await web.found("name:first")
        assert await web.content(first.id) == b"hello"
        assert re.match(rb"0*5[; \t]?[^\n\x00]*\r\nhello\r\n0+\r\n", body), "this is no chunked body"
    else:
        assert statuses in ([b"400"], [b"413"], []) and not names, (statuses, names)


@pytest.mark.parametrize("head", HEADS, ids=shown)
async def test_lines_that_are_no_request_end_the_connection(web: WebWorld, head: bytes) -> None:
    """Malformed, doubled, endless and foreign ones: refused, and where the end of the request is in doubt nothing follows."""
    statuses = await converse(web, head + HIDDEN)
    assert statuses[:1] != [b"200"], statuses
    if statuses[:1] in ([b"400"], [b"414"], [b"431"], []):
        assert len(statuses) <= 1 and await web.found() == []
