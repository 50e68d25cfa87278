"""How a record stands in its row: packed, with what is looked up beside it. Layer: storage."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgpack

from tagfs.model.entry import KIND, Content, Entry, digests, entry, home_of, is_whole
from tagfs.model.names import name_key
from tagfs.model.record import FORMAT, Record, decode
from tagfs.model.stamp import COUNTER_BITS

FETCH = 500
"""Rows read with one statement."""


class Shape(NamedTuple):
    """What of a state is looked up: for whole entries the entry itself, and the keys of its name and home; digests with
    whether they are of the current content."""

    entry: Entry | None
    name: str | None
    home: str | None
    trashed: int | None
    references: Mapping[bytes, int]


HIDDEN = Shape(None, None, None, None, {})
"""The shape of what is no entry."""


def shape(record: Record) -> Shape:
    """The shape of one state."""
    if record.kind != KIND:
        return HIDDEN
    if not is_whole(record):
        return HIDDEN._replace(references=dict.fromkeys(digests(record), 0))
    found = entry(record)
    references = {found.content.digest: 1}
    if max(record.fields) >= "version:":
        references = {**dict.fromkeys(digests(record), 0), **references}
    return Shape(found, name_key(found.name), name_key(home_of(found)), found.trashed, references)


def entry_of(data: bytes) -> Entry:
    """``entry(decode(data))`` in a fourth of the time, since every row of a listing goes through it."""
    version, _, key, stamps, names, values, numbers = msgpack.unpackb(data, use_list=False)
    if version != FORMAT or names[-1] >= "version:":
        return entry(decode(data))
    # Names of fields are in order: all tags are together, and sorted.
    start = bisect_left(names, "tag:")
    end = bisect_left(names, "tag;", start)
    if all(values[start:end]):
        tags = tuple([name[4:] for name in names[start:end]])
    else:
        tags = tuple([name[4:] for name, value in zip(names[start:end], values[start:end], strict=True) if value])
    fields = dict(zip(names[:start], values, strict=False))
    trashed = None
    if end < len(names) and names[end] == "trash" and values[end]:
        trashed = stamps[numbers[end]][0] >> COUNTER_BITS
    content = Content._make(fields["content"])
    return Entry(key, fields["name"], content, fields.get("added", 0), tags, fields.get("home"), trashed, ())


def pack_numbers(numbers: Mapping[int, int]) -> bytes:
    """A record's change numbers by origin."""
    return msgpack.packb(dict(numbers))  # type: ignore[no-any-return]


def unpack_numbers(data: bytes) -> dict[int, int]:
    """Inverse of :func:`pack_numbers`."""
    return msgpack.unpackb(data, strict_map_key=False)  # type: ignore[no-any-return]


def in_chunks(rows: Iterable[int]) -> Iterator[str]:
    """Row numbers as lists for ``IN (…)``, :data:`FETCH` at a time. They are integers: nothing in them needs quoting."""
    texts = [str(int(row)) for row in rows]
    for start in range(0, len(texts), FETCH):
        yield ",".join(texts[start : start + FETCH])


def fetch_entries(connection: sqlite3.Connection, rows: Iterable[int]) -> dict[int, Entry]:
    """The entries of those rows that still are whole entries."""
    found = {}
    for chunk in in_chunks(rows):
        statement = f"SELECT row, record FROM records WHERE row IN ({chunk}) AND name IS NOT NULL"
        for row, data in connection.execute(statement):
            found[row] = entry_of(data)
    return found
