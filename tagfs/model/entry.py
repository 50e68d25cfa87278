"""Entries: stored files as people see them, read from records and changed by small records. Layer: model.

An entry is the record ``entry``/<entry id> with these fields:

========================  =====================================================================
``name``                  str
``content``               ``(digest: bytes, size: int, type: str, modified: int)``; one field
``added``                 int, milliseconds since 1970, never changed
``home``                  str, the folder it was stored under, or None
``tag:<tag>``             True (present) or False (absent); the tag is folded
``trash``                 True (in the trash) or False (restored)
``version:<stamp>``       as ``content``, immutable; None once the version has expired
``purged``                True: gone for ever; beats everything
``expired``               text of the trash stamp that an automatic purge ended; a later restore defeats it
========================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from blake3 import blake3

from tagfs.errors import BadRequest
from tagfs.model.names import fold
from tagfs.model.record import Field, Record, Value
from tagfs.model.stamp import COUNTER_BITS, ZERO, Stamp

KIND = "entry"
ID_LENGTH = 26
"""Characters of an entry id."""
PARTITIONS = 256

_PAIRS = [
    "0123456789abcdefghjkmnpqrstvwxyz"[bits >> 5] + "0123456789abcdefghjkmnpqrstvwxyz"[bits & 31]
    for bits in range(1024)
]
_PYTHON = bytes.maketrans(b"0123456789abcdefghjkmnpqrstvwxyz", b"0123456789abcdefghijklmnopqrstuv")
_ALPHABET = frozenset("0123456789abcdefghjkmnpqrstvwxyz")


class Content(NamedTuple):
    """The bytes of an entry: their BLAKE3 digest (32 bytes), size in bytes, media type (RFC 6838), and when
    they were last modified (milliseconds since 1970 in UTC)."""

    digest: bytes
    size: int
    type: str
    modified: int


class Version(NamedTuple):
    """A content that an entry had, or lost a race with, and the stamp it was written with."""

    stamp: str
    content: Content


class Entry(NamedTuple):
    """One stored file as of one state of its record.

    ``tags`` are folded and sorted; ``home`` is None where the tags decide (:func:`tagfs.model.paths`);
    ``trashed`` is when it went to the trash (milliseconds since 1970), or None.
    """

    id: str
    name: str
    content: Content
    added: int
    tags: tuple[str, ...]
    home: str | None
    trashed: int | None
    versions: tuple[Version, ...]


def entry_id(now_ms: int, random: bytes) -> str:
    """A new entry id: 48 bits of time, then the 10 bytes of ``random``, in Crockford's base 32, lower case."""
    assert len(random) == 10
    return _id_text((now_ms & (1 << 48) - 1).to_bytes(6, "big") + random)


def entry_id_for_key(user: str, key: str) -> str:
    """The entry id that belongs to a user's idempotency key: a repeat, on any node, names the same entry."""
    return _id_text(blake3(f"{user}\0{key}".encode(), derive_key_context="tagfs 2026 entry id of a key").digest(16))


def check_entry_id(text: str) -> str:
    """``text`` as an entry id in its canonical (lower-case) form. Raises :class:`BadRequest`."""
    folded = text.lower()
    if len(folded) != ID_LENGTH or not _ALPHABET.issuperset(folded) or folded[-1] not in "048cgmrw":
        raise BadRequest(
            f"{text[:80]!r} is no entry id: it has {ID_LENGTH} letters and digits, as ADD and FIND print it"
        )
    return folded


def id_bytes(identifier: str) -> bytes:
    """The 16 bytes of an entry id."""
    # As a number in base 32, with Python's digits for ours: an eighth of the time of base64.b32decode.
    return (int(identifier.encode().translate(_PYTHON), 32) >> 2).to_bytes(16, "big")


def id_from_bytes(data: bytes) -> str:
    """Inverse of :func:`id_bytes`."""
    return _id_text(data)


def partition(identifier: str) -> int:
    """The partition of an entry: the last byte of its id, 0 to 255."""
    return id_bytes(identifier)[-1]


def _id_text(data: bytes) -> str:
    assert len(data) == 16
    number = int.from_bytes(data, "big") << 2
    # Thirteen pairs of characters, ten bits each: a quarter of the time of base64.b32encode, once per stored entry.
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def is_gone(record: Record) -> bool:
    """Whether the entry was purged, by hand or automatically."""
    if record.value("purged"):
        return True
    ended = record.value("expired")
    trash = record.fields.get("trash")
    return ended is not None and trash is not None and ended == stamp_text(trash.stamp)


def is_whole(record: Record) -> bool:
    """Whether the record can be shown as an entry: it has a name and a content, and is not gone."""
    return "name" in record.fields and "content" in record.fields and not is_gone(record)


def compact(record: Record) -> Record:
    """The record without what nobody can see again once it is gone: only its tombstone stays.

    Safe since whole states are exchanged, never single fields: where a later restore defeats an automatic
    purge, the state that carries the restore carries all other fields too.
    """
    if not is_gone(record):
        return record
    kept = ("purged",) if record.value("purged") else ("expired", "trash")
    return record._replace(fields={name: record.fields[name] for name in kept})


def entry(record: Record) -> Entry:
    """The entry that a record describes; the record must be :func:`is_whole`."""
    name = ""
    content: Content | None = None
    added = 0
    home: str | None = None
    trashed: int | None = None
    tags = []
    versions = []
    current = ZERO
    for field, (value, stamp) in record.fields.items():
        if field.startswith("tag:"):
            if value:
                tags.append(field[4:])
        elif field == "name":
            name = str(value)
        elif field == "content":
            content = Content(*value)  # type: ignore[misc]
            current = stamp
        elif field == "added":
            added = value  # type: ignore[assignment]
        elif field == "home":
            home = value  # type: ignore[assignment]
        elif field == "trash":
            trashed = stamp.milliseconds if value else None
        elif field.startswith("version:") and value is not None:
            versions.append(Version(field[8:], Content(*value)))  # type: ignore[misc]
    assert content is not None, "entry() of a record that is not whole"
    tags.sort()
    if versions:
        shown = stamp_text(current)
        versions = sorted(version for version in versions if version.stamp != shown)
    return Entry(record.key, name, content, added, tuple(tags), home, trashed, tuple(versions))


def home_of(entry: Entry) -> str:
    """The one folder where ``/@tree`` shows an entry: where it was stored, else its tags in alphabetical order.

    Tags are folded in it, also those of an entry in display spelling, so that one entry has one home.
    """
    if entry.home is not None:
        return entry.home
    return "/".join(sorted(map(fold, entry.tags)))


def digests(record: Record) -> set[bytes]:
    """The digests of all contents that the record refers to: its current one and its versions."""
    if is_gone(record):
        return set()
    return {
        field.value[0]  # type: ignore[index,misc]
        for name, field in record.fields.items()
        if (name == "content" or name.startswith("version:")) and field.value is not None
    }


def stamp_text(stamp: Stamp) -> str:
    """A stamp as it stands in field names: sortable, unique."""
    return f"{stamp.time:016x}.{stamp.node}"


def change(identifier: str, stamp: Stamp, **fields: Value) -> Record:
    """A change that sets ``fields`` of one entry."""
    return Record(KIND, identifier, {name: Field(value, stamp) for name, value in fields.items()})


def creation(
    identifier: str, stamp: Stamp, name: str, content: Content, added: int, tags: Iterable[str], home: str | None
) -> Record:
    """The first state of an entry. ``tags`` are folded."""
    fields = {
        "name": Field(name, stamp),
        "content": Field(tuple(content), stamp),
        "added": Field(added, stamp),
        "home": Field(home, stamp),
    }
    present = Field(True, stamp)
    for tag in tags:
        fields[f"tag:{tag}"] = present
    return Record(KIND, identifier, fields)


def tagging(identifier: str, stamp: Stamp, present: Iterable[str] = (), absent: Iterable[str] = ()) -> Record:
    """A change that gives the entry the tags ``present`` and takes the tags ``absent`` (both folded)."""
    gone, there = Field(False, stamp), Field(True, stamp)
    fields = {f"tag:{tag}": gone for tag in absent}
    fields.update((f"tag:{tag}", there) for tag in present)
    return Record(KIND, identifier, fields)


def replacement(record: Record, stamp: Stamp, content: Content) -> Record:
    """A change that gives the entry another content and keeps the one it had, and itself, as versions.

    The same digest with other metadata (a new time of modification) makes no version.
    """
    old = record.fields["content"]
    new: Value = tuple(content)
    fields = {"content": Field(new, stamp)}
    if old.value[0] != content.digest:  # type: ignore[index]
        fields[f"version:{stamp_text(stamp)}"] = Field(new, stamp)
        before = f"version:{stamp_text(old.stamp)}"
        if before not in record.fields:
            fields[before] = Field(old.value, stamp)
    return Record(KIND, record.key, fields)


def versions_replaced_before(record: Record, before_ms: int) -> list[str]:
    """The names of the fields of versions whose successor was written before that time (milliseconds since 1970)."""
    kept = [
        name[8:] for name, field in record.fields.items() if name.startswith("version:") and field.value is not None
    ]
    current = stamp_text(record.fields["content"].stamp)
    order = sorted({*kept, current})
    successor = dict(pairwise(order))
    return [
        f"version:{stamp}"
        for stamp in kept
        if stamp in successor and int(successor[stamp][:16], 16) >> COUNTER_BITS < before_ms
    ]
