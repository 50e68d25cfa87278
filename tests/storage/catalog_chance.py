"""Random changes and queries for tests of catalogs: few names, tags and contents, so that things meet often."""

from __future__ import annotations

import random
from collections.abc import Callable

from tagfs.model.entry import is_gone, is_whole, replacement
from tagfs.model.order import Scope, Sort
from tagfs.model.query import (
    And,
    Between,
    Compare,
    Everything,
    HasKey,
    InTrash,
    Not,
    Number,
    Or,
    Query,
    Tag,
    TagGlob,
    Text,
    Untagged,
)
from tagfs.model.record import Record
from tests.contracts.writing import START_MS, Writer, content

NAMES = ("a.jpg", "b.jpg", "b[1].txt", "e\u0301", "\u00e9", "ab*c", "z")
TAGS = ("beach", "sun", "year=2023", "year=2024", "year=9", "hol*", "\u00e4")
HOMES = (None, None, "", "beach", "beach/sun", "photos/2024", "e\u0301")
TEXTS = tuple(f"text {number}" for number in range(6))
TYPES = ("text/plain", "image/jpeg", "Image/PNG")
SCOPES = tuple(Scope)
SORTS = tuple(Sort(key, descending) for key in ("name", "size", "added", "modified") for descending in (False, True))


def some_entry(chance: random.Random, writer: Writer) -> Record:
    """A new entry."""
    return writer.entry(
        chance.choice(NAMES),
        chance.sample(TAGS, chance.randrange(4)),
        home=chance.choice(HOMES),
        text=chance.choice(TEXTS),
        size=chance.randrange(6),
        modified=START_MS + chance.randrange(6),
        added=START_MS + chance.randrange(6),
        type=chance.choice(TYPES),
    )


def some_change(chance: random.Random, writer: Writer, record: Record) -> Record:
    """A change that a node might make of an entry that is there, whatever state it is in."""
    if not is_whole(record):
        return (
            writer.tag(record, chance.choice(TAGS)) if chance.random() < 0.5 else some_entry_of(chance, writer, record)
        )
    changes: list[Callable[[], Record]] = [
        lambda: writer.tag(record, *chance.sample(TAGS, 2), absent=chance.sample(TAGS, 2)),
        lambda: writer.set(record, name=chance.choice(NAMES)),
        lambda: writer.set(record, home=chance.choice(HOMES)),
        lambda: replacement(
            record, writer.stamp(record.greatest()), content(chance.choice(TEXTS), chance.randrange(6))
        ),
        lambda: writer.set(record, trash=not record.value("trash")),
        lambda: writer.trash(record),
    ]
    if record.value("trash"):
        changes += [lambda: writer.purge(record), lambda: writer.expire(record)]
    versions = [
        name for name, field in record.fields.items() if name.startswith("version:") and field.value is not None
    ]
    if versions:
        changes.append(lambda: writer.set(record, **{chance.choice(versions): None}))
    return chance.choice(changes)()


def some_entry_of(chance: random.Random, writer: Writer, record: Record) -> Record:
    """A whole state of an entry of which only a part, or a tombstone, is known: it may have been restored elsewhere."""
    made = some_entry(chance, writer)._replace(key=record.key)
    trash = record.fields.get("trash")
    if is_gone(record) and trash is not None and chance.random() < 0.5:
        restored = writer.set(record, trash=False)
        return made._replace(fields={**made.fields, **restored.fields})
    return made


def some_query(chance: random.Random, ids: list[str], depth: int = 3) -> Query:
    """A query about what such changes make."""
    if depth and chance.random() < 0.5:
        items = tuple(some_query(chance, ids, depth - 1) for _ in range(chance.randrange(2, 4)))
        return chance.choice([Not(items[0]), And(items), Or(items)])
    kinds: list[Callable[[], Query]] = [
        Everything,
        Untagged,
        InTrash,
        lambda: Tag(chance.choice(TAGS)),
        lambda: TagGlob(chance.choice(["*", "b*", "*=*", "hol\\*", "year=????", "*u*"])),
        lambda: HasKey("year"),
        lambda: Compare("year", chance.choice(["=", "!=", "<", "<=", ">", ">="]), chance.choice(["9", "2023", "x"])),
        lambda: Between("year", "10", chance.choice(["2023", "2024"])),
        lambda: Number(chance.choice(["size", "copies"]), *some_range(chance, 0)),
        lambda: Number(chance.choice(["added", "modified"]), *some_range(chance, START_MS)),
        lambda: some_text(chance, ids),
    ]
    return chance.choice(kinds)()


def some_range(chance: random.Random, base: int) -> tuple[int | None, int | None]:
    """Two ends, each perhaps open."""
    low, high = base + chance.randrange(4), base + chance.randrange(6)
    return chance.choice([(low, high), (None, high), (low, None), (None, None)])


def some_text(chance: random.Random, ids: list[str]) -> Text:
    """A lookup of a name, home, digest, id, type or node, as it is or by a pattern."""
    field = chance.choice(["name", "home", "digest", "id", "type", "node"])
    values = {
        "name": ["a.jpg", "\u00e9", "b[1].txt", "ab*c"],
        "home": ["", "beach", "beach/sun", "photos/2024", "\u00e9"],
        "digest": [content(chance.choice(TEXTS)).digest.hex()],
        "id": [chance.choice(ids)] if ids else ["0" * 26],
        "type": ["text/plain", "image/jpeg", "image/png"],
        "node": ["n1", "n2"],
    }
    value = chance.choice(values[field])
    if chance.random() < 0.4 or not value:
        return Text(field, value)
    cut = chance.randrange(len(value) + 1)
    end = chance.randrange(cut, len(value) + 1)
    wild = chance.choice(["*", "?", "**", "*?"])
    return Text(field, value[:cut] + wild + value[end:], True)
