"""The answer to FIND, as a stream. Layer: client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tagfs.client.channel import Channel
from tagfs.client.errors import ProtocolViolation, refusal
from tagfs.client.pipeline import Command, send
from tagfs.client.replies import Head, Rows, read_head, rest_of_reply
from tagfs.client.rows import FoundRow, found_row, pairs

if TYPE_CHECKING:
    from tagfs.client.client import Client


COLUMNS = 5
"""Of a row: id, size, modified, name, tags."""


class Found:
    """The answer to FIND: iterate it once for :class:`~tagfs.client.rows.FoundRow`; then the totals are known."""

    def __init__(self, client: Client, line: str) -> None:
        self._client = client
        self._line = line
        self.total = 0
        """How many entries match in all; known when the rows were read."""
        self.complete = False
        """Whether the node had heard of everything (DESIGN section 7, freshness)."""
        self.next: str | None = None
        """Where the next page begins, if a limit ended this one."""

    def __iter__(self) -> Iterator[FoundRow]:
        return map(found_row, self.lines())

    def lines(self) -> Iterator[str]:
        """The rows as the server sent them."""
        channel, head = self._client.again(self._begin, repeatable=True)
        yield from self._client.tracked(self._rows(channel, head))

    def _begin(self) -> tuple[Channel, Head]:
        channel = self._client.ready()
        send(channel, Command(self._line))
        head = read_head(channel)
        if head.code >= 400:
            reply = rest_of_reply(channel, head)
            raise refusal(reply.code, reply.text)
        return channel, head

    def _rows(self, channel: Channel, head: Head) -> Iterator[str]:
        lines = Rows(channel, head)
        for row in lines:
            if row.count("\t") != COLUMNS - 1:
                raise ProtocolViolation(f"the server sent {row[:80]!r} where an entry was due")
            yield row
        self._finish(lines.last)

    def _finish(self, last: str) -> None:
        said = pairs(last)
        if not said.get("total", "").isdigit():
            raise ProtocolViolation(f"the server ended a list with {last[:80]!r}; the list may be cut off")
        self.total = int(said["total"])
        self.complete = said.get("complete") == "yes"
        self.next = said.get("next")
