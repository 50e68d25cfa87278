"""Reading replies: three digits, rows that begin with a space, and the line that ends them (RFC 959 section 4.2). Layer: client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tagfs.client.channel import Channel
from tagfs.client.errors import ProtocolViolation

MAX_REPLY = 16 << 20
"""Bytes of a reply that is kept whole, with :data:`ROW_COST` for each row; longer ones are streamed."""
ROW_COST = 64
"""Bytes of memory that a row takes besides its text."""


class Head(NamedTuple):
    """The first or the last line of a reply; ``more`` says that rows follow."""

    code: int
    more: bool
    text: str


class Reply(NamedTuple):
    """A whole reply: ``text`` of its last line and the rows before it, without their first space."""

    code: int
    text: str
    rows: tuple[str, ...] = ()


def read_head(channel: Channel) -> Head:
    """The first line of the next reply. Raises :class:`ProtocolViolation` for anything else."""
    line = channel.line()
    code, dash, text = line[:3], line[3:4], line[4:]
    if not code.isdigit() or not 100 <= int(code) <= 599 or dash not in (b" ", b"-", b""):
        channel.close()
        shown = line[:60].decode("utf-8", "replace")
        raise ProtocolViolation(
            f"the server sent {shown!r}, which is no reply of the tag protocol; is it a tagfs node?"
        )
    return Head(int(code), dash == b"-", text.decode("utf-8", "replace"))


class Rows:
    """The rows of the reply that began with ``head``, read one at a time; then ``last`` is the text of its last line."""

    def __init__(self, channel: Channel, head: Head) -> None:
        self._channel = channel
        self._head = head
        self.last = head.text

    def __iter__(self) -> Iterator[str]:
        end = b"%d " % self._head.code
        while self._head.more:
            line = self._channel.line()
            if line.startswith(b" "):
                yield line[1:].decode("utf-8", "replace")
            elif line.startswith(end) or line == end[:3]:
                self.last = line[4:].decode("utf-8", "replace")
                return
            else:
                # Texts for people (greetings, HELP) need not be indented (RFC 959 allows it).
                yield line.decode("utf-8", "replace")


def read_reply(channel: Channel) -> Reply:
    """The next reply as a whole; at most :data:`MAX_REPLY` bytes."""
    head = read_head(channel)
    return rest_of_reply(channel, head)


def rest_of_reply(channel: Channel, head: Head) -> Reply:
    """The reply that began with ``head``, as a whole."""
    rows: list[str] = []
    size = 0
    lines = Rows(channel, head)
    for row in lines:
        size += len(row) + ROW_COST
        if size > MAX_REPLY:
            channel.close()
            raise ProtocolViolation(
                f"the server sent a reply of more than {MAX_REPLY >> 20} MiB where a short one was due"
            )
        rows.append(row)
    return Reply(head.code, lines.last, tuple(rows))


def transcript(channel: Channel) -> Iterator[str]:
    """The lines up to the final reply, as they came."""
    while True:
        head = read_head(channel)
        yield f"{head.code}{'-' if head.more else ' '}{head.text}"
        if head.more:
            lines = Rows(channel, head)
            yield from (" " + row for row in lines)
            yield f"{head.code} {lines.last}"
        if head.code == 421:
            channel.close()
        if head.code >= 200:
            return
