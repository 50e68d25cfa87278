"""What replies of the tag protocol carry: rows of entries, of tags, of everything known (docs/protocols/tag.md). Layer: wire."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tagfs.model.entry import Entry
from tagfs.model.query import quote_tag
from tagfs.model.query.quantities import write_time

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999
"""The milliseconds since 1970 that RFC 3339 can write: year 1 to year 9999."""


def time_text(moment: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC; what is out of its range is shown as its nearest time."""
    return write_time(min(max(moment, _FIRST), _LAST))


def tags_text(tags: Iterable[str]) -> str:
    """Tags as they stand in a row: between single spaces, quoted where the query language would not take them bare."""
    return " ".join(map(quote_tag, tags))


def plain(text: str) -> str:
    """A text that cannot break a row. Names have no control characters by rule; a row must not rely on it."""
    return text if text.isprintable() else _UNSAFE.sub("?", text)


def entry_rows(entries: Iterable[Entry]) -> bytes:
    """Rows of FIND: `` ID⇥size⇥modified⇥name⇥tags`` each, with their line ends."""
    return "".join(
        [
            f" {entry.id}\t{entry.content.size}\t{time_text(entry.content.modified)}\t{plain(entry.name)}"
            f"\t{plain(tags_text(entry.tags))}\r\n"
            for entry in entries
        ]
    ).encode("utf-8", "surrogateescape")


def tag_rows(tags: Iterable[tuple[str, int]]) -> bytes:
    """Rows of TAGS: `` count⇥tag`` each, with their line ends."""
    return "".join([f" {count}\t{plain(quote_tag(tag))}\r\n" for tag, count in tags]).encode("utf-8", "surrogateescape")


def info_fields(entry: Entry, home: str, copies: tuple[int, int], nodes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Fields of INFO, in order; ``copies`` are had and wanted."""
    content = entry.content
    yield "id", entry.id
    yield "name", entry.name
    yield "size", str(content.size)
    yield "type", content.type
    yield "digest", content.digest.hex()
    yield "tags", tags_text(entry.tags)
    yield "home", home
    yield "added", time_text(entry.added)
    yield "modified", time_text(content.modified)
    if entry.trashed is not None:
        yield "trashed", time_text(entry.trashed)
    yield "copies", f"{copies[0]}/{copies[1]}"
    yield "nodes", " ".join(nodes)
    yield "versions", str(len(entry.versions))
    for version in entry.versions:
        was = version.content
        yield "version", f"{version.stamp} {was.size} {time_text(was.modified)} {was.digest.hex()}"
