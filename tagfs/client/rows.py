"""The values that a node's replies carry, read from their texts. Layer: client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tagfs.client.errors import ProtocolViolation
from tagfs.client.text import tags_in


class FoundRow(NamedTuple):
    """One entry as FIND lists it: ``size`` in bytes, ``modified`` in RFC 3339."""

    id: str
    size: int
    modified: str
    name: str
    tags: tuple[str, ...]


class Stored(NamedTuple):
    """The reply to ADD: the entry's id, and ``have`` durable copies of ``want``.

    ``degraded``: fewer copies than usual had to do. ``kept``: fewer than were demanded; the node keeps the
    content and completes the copies by itself.
    """

    id: str
    have: int
    want: int
    degraded: bool = False
    kept: bool = False


class Changed(NamedTuple):
    """The reply to a bulk change: how many entries it touched, and the whole text."""

    entries: int
    text: str


class NodeRow(NamedTuple):
    """One row of NODES; ``state`` is alive, suspect, dead, out or left."""

    id: str
    name: str
    zone: str
    state: str
    address: str
    entries: int
    bytes: int


class Information(NamedTuple):
    """What INFO tells of one entry: ``fields`` in the server's order, a field may repeat."""

    fields: tuple[tuple[str, str], ...]

    def get(self, field: str, default: str = "") -> str:
        """The first value of ``field``."""
        return next((value for name, value in self.fields if name == field), default)

    def all(self, field: str) -> tuple[str, ...]:
        """Every value of ``field``."""
        return tuple(value for name, value in self.fields if name == field)

    @property
    def tags(self) -> tuple[str, ...]:
        """The entry's tags."""
        return tuple(tag for value in self.all("tags") for tag in tags_in(value))


_STORED = re.compile(r"([0-9a-z]{26})\b(?:.*?\bcopies=(\d+)/(\d+))?(.*)", re.DOTALL)
_COUNT = re.compile(r"(\d{1,18})\b")
_PAIR = re.compile(r"([a-z]+)=(\S+)")


def found_row(row: str) -> FoundRow:
    """A row of FIND. Raises :class:`ProtocolViolation`."""
    columns = row.split("\t")
    if len(columns) != 5 or not _COUNT.fullmatch(columns[1]):
        raise _unreadable(row)
    return FoundRow(columns[0], int(columns[1]), columns[2], columns[3], tags_in(columns[4]))


def tag_count(row: str) -> tuple[str, int]:
    """A row of TAGS: the tag and how many entries have it."""
    count, tab, tag = row.partition("\t")
    if not tab or not _COUNT.fullmatch(count):
        raise _unreadable(row)
    return _one(tag), int(count)


def node_row(row: str) -> NodeRow:
    """A row of NODES."""
    columns = row.split("\t")
    if len(columns) < 7 or not _COUNT.fullmatch(columns[5]) or not _COUNT.fullmatch(columns[6]):
        raise _unreadable(row)
    return NodeRow(columns[0], columns[1], columns[2], columns[3], columns[4], int(columns[5]), int(columns[6]))


def saved_row(row: str) -> tuple[str, str]:
    """A row of SAVED: a name and a query."""
    name, tab, query = row.partition("\t")
    if not tab:
        raise _unreadable(row)
    return name, query


def information(rows: Sequence[str]) -> Information:
    """The rows of INFO."""
    parts = [row.partition("\t") for row in rows]
    if not parts or not all(tab for _, tab, _ in parts):
        raise _unreadable("\n".join(rows))
    return Information(tuple((field, value) for field, _, value in parts))


def stored(code: int, text: str) -> Stored | None:
    """The reply to ADD, or None where it names no entry. A 451 with an id: kept, will be completed."""
    match = _STORED.match(text)
    if match is None:
        return None
    have, want = int(match[2] or 0), int(match[3] or 0)
    return Stored(match[1], have, want, "degraded" in match[4], kept=code >= 400)


def changed(text: str) -> Changed:
    """The reply ``N changed …``. Raises :class:`ProtocolViolation`."""
    return Changed(leading_number(text), text)


def leading_number(text: str) -> int:
    """The number that a reply begins with. Raises :class:`ProtocolViolation`."""
    match = _COUNT.match(text)
    if match is None:
        raise _unreadable(text)
    return int(match[1])


def pairs(text: str) -> dict[str, str]:
    """The ``key=value`` words of a reply's last line."""
    return dict(_PAIR.findall(text))


def _one(word: str) -> str:
    """A single word that may be quoted."""
    named = tags_in(word) if word.startswith('"') else ()
    return named[0] if len(named) == 1 else word


def _unreadable(row: str) -> ProtocolViolation:
    return ProtocolViolation(f"the server sent {row[:80]!r}, which is not what the tag protocol has here")
