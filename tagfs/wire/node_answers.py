"""The asking side of a connection between nodes: requests in, bytes out; bytes in, answers out. Layer: wire, sans-io.

docs/protocols/node.md is the page.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from tagfs.errors import TooLarge
from tagfs.wire.framing import Framing, Line, Piece
from tagfs.wire.node_lines import (
    MEMBER_LINE_LIMIT,
    STRANGER_LINE_LIMIT,
    announced,
    decode_text,
    encode_parts,
    sorted_parts,
    tag_of,
)
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call
from tagfs.wire.node_requests import ROWS_LIMIT


class Greeted(NamedTuple):
    """The first line of the connection, without its line end."""

    line: bytes


class Answered(NamedTuple):
    """``OK`` or ``PARTIAL``, with all that belongs to it."""

    tag: str
    answer: Answer


class Refused(NamedTuple):
    """``NO`` (with a code), ``BAD`` or ``BUSY``."""

    tag: str
    kind: str
    code: str
    text: str


Event: TypeAlias = "Greeted | Answered | Refused"


class BrokenStream(ValueError):
    """What came can be no answer; nothing that follows can be understood."""


class AnswerReader:
    """Takes the bytes of one connection, gives one event after the other: the greeting first, then answers.

    Holds at most one answer and what was fed last. Lines are short and bodies not taken until :meth:`trust`. ``greeted``: the
    greeting was read before.
    """

    __slots__ = ("_body_of", "_framing", "_greeted", "_pieces", "_rows", "_rows_of", "_rows_size", "_trusted")

    def __init__(self, greeted: bool = False) -> None:
        self._framing = Framing(STRANGER_LINE_LIMIT, telnet=False)
        self._trusted = False
        self._greeted = greeted
        self._body_of: tuple[str, Answer] | None = None  # the answer whose body is coming in
        self._pieces: list[bytes] = []
        self._rows_of = ""
        self._rows: list[str] = []
        self._rows_size = 0

    def trust(self) -> None:
        """Takes the longer lines and the bodies of who has proved to belong to the cluster."""
        self._trusted = True
        self._framing.limit = MEMBER_LINE_LIMIT

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the stream."""
        self._framing.feed(data)

    def next(self) -> Event | None:
        """The next event, or None where more bytes are needed. Raises :class:`BrokenStream`."""
        while (event := self._framing.next()) is not None:
            if isinstance(event, Line):
                found = self._read(event.text)
            elif isinstance(event, Piece):
                self._pieces.append(event.data)
                found = None if self._framing.missing else self._with_body()
            else:
                raise BrokenStream(f"a line is longer than {self._framing.limit} bytes")
            if found is not None:
                return found
        return None

    def _read(self, line: bytes) -> Event | None:
        if not self._greeted:
            self._greeted = True
            return Greeted(line)
        tag = tag_of(line)
        kind, _, rest = line.partition(b" ")[2].partition(b" ")
        if tag is None or (self._rows_of and self._rows_of != tag):
            raise BrokenStream(f"this is no answer: {line[:80]!r}")
        if kind == b"ROW":
            self._row(tag, rest)
            return None
        rows, self._rows, self._rows_of, self._rows_size = self._rows, [], "", 0
        if kind in (b"OK", b"PARTIAL"):
            return self._done(tag, line, tuple(rows), kind == b"PARTIAL")
        if kind == b"NO":
            code, _, rest = rest.partition(b" ")
            return Refused(tag, "NO", decode_text(code), decode_text(rest))
        if kind in (b"BAD", b"BUSY"):
            return Refused(tag, kind.decode(), "", decode_text(rest))
        raise BrokenStream(f"this is no answer: {line[:80]!r}")

    def _row(self, tag: str, text: bytes) -> None:
        self._rows_of = tag
        self._rows_size += len(text) + 1
        if self._rows_size > ROWS_LIMIT:
            raise BrokenStream(f"the rows of an answer are longer than {ROWS_LIMIT} bytes")
        self._rows.append(decode_text(text))

    def _done(self, tag: str, line: bytes, rows: tuple[str, ...], partial: bool) -> Answered | None:
        if not line.isascii():
            raise BrokenStream(f"this is no answer: {line[:80]!r}")
        parts = line.decode("ascii").split()
        size = announced(parts, 2)
        _, facts = sorted_parts(parts[2:])
        answer = Answer(facts, rows, b"", partial)
        if not size:
            return Answered(tag, answer)
        if size > BODY_LIMIT or not self._trusted:
            raise BrokenStream(f"a body of {size} bytes is not taken")
        self._framing.expect(size)
        self._body_of = (tag, answer)
        return None

    def _with_body(self) -> Answered:
        assert self._body_of is not None
        tag, answer = self._body_of
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._body_of, self._pieces = None, []
        return Answered(tag, answer._replace(body=body))


def encode_call(tag: str, call: Call) -> list[bytes]:
    """The bytes of a request, its body last and as it is. Raises TooLarge where it is over a bound."""
    if len(call.body) > BODY_LIMIT:
        raise TooLarge(f"the body of a request has at most {BODY_LIMIT} bytes")
    parts = encode_parts(call.words, call.facts)
    size = f" {{{len(call.body)}}}" if call.body else ""
    line = f"{tag} {call.verb}{' ' if parts else ''}{parts}{size}\n".encode("ascii")
    if len(line) > MEMBER_LINE_LIMIT:
        raise TooLarge(f"the line of a request has at most {MEMBER_LINE_LIMIT} bytes")
    return [line, call.body] if call.body else [line]
