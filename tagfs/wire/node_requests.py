"""The answering side of a connection between nodes: bytes in, requests out; answers in, bytes out. Layer: wire, sans-io.

docs/protocols/node.md is the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from tagfs.errors import TooLarge
from tagfs.wire.framing import Framing, Line, Piece, TooLong
from tagfs.wire.node_lines import (
    BY_HAND,
    MEMBER_LINE_LIMIT,
    STRANGER_LINE_LIMIT,
    BadLine,
    Request,
    encode_parts,
    encode_text,
    parse_request,
)
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call

ROWS_LIMIT: Final = BODY_LIMIT
"""Most bytes of all rows of one answer."""
_TEXT_LIMIT = 500  # characters of an error's text: with every one encoded, the line still fits for a stranger


class Asked(NamedTuple):
    """A whole request. ``line`` is what was written, without its line end."""

    tag: str
    call: Call
    line: bytes


class Misread(NamedTuple):
    """What came is no request, which the text says for ``BAD``. Where it is ``fatal``, nothing that follows can be
    understood: the connection has to end, and the reader gives nothing more."""

    tag: str
    text: str
    fatal: bool


Event: TypeAlias = "Asked | Misread"


class RequestReader:
    """Takes the bytes of one connection, gives one event after the other. Holds at most one request and what was fed last.

    A stranger gets short lines and no bodies, until :meth:`trust`.
    """

    __slots__ = ("_framing", "_line", "_over", "_pieces", "_request", "trusted")

    def __init__(self) -> None:
        self.trusted = False
        self._framing = Framing(STRANGER_LINE_LIMIT, telnet=False)
        self._over = False
        self._request: Request | None = None  # whose body is coming in
        self._line = b""
        self._pieces: list[bytes] = []

    def trust(self) -> None:
        """Takes the longer lines and the bodies of who has proved to belong to the cluster."""
        self.trusted = True
        self._framing.limit = MEMBER_LINE_LIMIT

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the stream."""
        if not self._over:
            self._framing.feed(data)

    def end(self) -> None:
        """Gives nothing more, whatever comes."""
        self._over = True
        self._framing.clear()
        self._pieces.clear()

    def next(self) -> Event | None:
        """The next event, or None where more bytes are needed."""
        while (event := self._framing.next()) is not None:
            if isinstance(event, Line):
                found = self._read(event.text)
            elif isinstance(event, Piece):
                self._pieces.append(event.data)
                found = None if self._framing.missing else self._whole()
            else:
                assert isinstance(event, TooLong)
                found = Misread(BY_HAND, f"a line has at most {self._framing.limit} bytes", False)
            if found is not None:
                return found
        return None

    def _read(self, line: bytes) -> Event | None:
        try:
            request = parse_request(line)
        except BadLine as bad:
            return Misread(bad.tag, str(bad), False)
        self._request, self._line = request, line
        if request.body is None:
            return self._whole()
        if not self.trusted:
            return self._fatal(f"{request.verb} has no body; closing")
        if request.body > BODY_LIMIT:
            return self._fatal(f"a body has at most {BODY_LIMIT} bytes; closing")
        self._framing.expect(request.body)
        return None if request.body else self._whole()

    def _whole(self) -> Asked:
        request, line = self._request, self._line
        assert request is not None
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._request, self._line, self._pieces = None, b"", []
        return Asked(request.tag, Call(request.verb, request.arguments, request.options, body), line)

    def _fatal(self, text: str) -> Misread:
        assert self._request is not None
        self.end()
        return Misread(self._request.tag, text, True)


def encode_answer(tag: str, answer: Answer) -> list[bytes]:
    """The bytes of an answer, its body last and as it is. Raises TooLarge where it is over a bound."""
    if len(answer.body) > BODY_LIMIT:
        raise TooLarge(f"an answer's body has at most {BODY_LIMIT} bytes")
    pieces = [encode_text(tag, "ROW", row) for row in answer.rows]
    final = final_line(tag, answer.facts, len(answer.body), answer.partial)
    if len(final) > MEMBER_LINE_LIMIT or any(len(piece) > MEMBER_LINE_LIMIT for piece in pieces):
        raise TooLarge(f"a line of an answer has at most {MEMBER_LINE_LIMIT} bytes")
    if pieces:
        final = b"".join([*pieces, final])
        if len(final) > ROWS_LIMIT:
            raise TooLarge(f"the rows of an answer have at most {ROWS_LIMIT} bytes")
    return [final, answer.body] if answer.body else [final]


def final_line(tag: str, facts: Mapping[str, str], size: int, partial: bool = False) -> bytes:
    """The line that ends an answer, before a body of that size. Who asks for bytes alone knows it before it comes."""
    kind = "PARTIAL" if partial else "OK"
    said = f" {encode_parts((), facts)}" if facts else ""
    body = f" {{{size}}}" if size else ""
    return f"{tag} {kind}{said}{body}\n".encode("ascii")


def encode_refusal(tag: str, kind: str, text: str = "", code: str = "") -> bytes:
    """A final ``NO code text``, ``BAD text`` or ``BUSY text``."""
    return encode_text(tag, f"{kind} {code}" if code else kind, text[:_TEXT_LIMIT])
