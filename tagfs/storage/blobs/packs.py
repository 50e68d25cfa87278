"""The format of a pack segment: items one after the other, each telling its length and digest. Layer: storage.

A segment begins with :data:`SEGMENT_HEADER`. An item is :data:`ITEM_MAGIC`, the length of the content (32 bits,
little endian), its BLAKE3 digest, the CRC-32 of these three, and the content. So a segment can be read
without any index, and damage in it costs no item but those it hit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple
from zlib import crc32

from blake3 import blake3

from tagfs.errors import Corrupt
from tagfs.storage.interfaces import SMALL_CONTENT

SEGMENT_HEADER = b"tagfs pack 1\n\0\0\0"
ITEM_MAGIC = b"\xf7tf1"
_HEAD = struct.Struct("<4sI32s")
_CRC = 4
OVERHEAD = _HEAD.size + _CRC
"""Bytes an item takes besides its content."""
_WINDOW = 4 << 20
"""Bytes that a scan reads at once; at least two of the largest items."""


class Place(NamedTuple):
    """Where a content lies: the number of its segment, the offset of its item there, its own length in bytes."""

    segment: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """Offset behind the item."""
        return self.offset + OVERHEAD + self.length


class Item(NamedTuple):
    """An item found by :func:`scan`; ``content`` is None where its bytes do not match the digest."""

    offset: int
    digest: bytes
    length: int
    content: bytes | None


class Damage(NamedTuple):
    """A stretch in which no item could be read, from ``offset`` to ``end``."""

    offset: int
    end: int


def item_header(digest: bytes, length: int) -> bytes:
    """What stands before a content of that digest and length."""
    head = _HEAD.pack(ITEM_MAGIC, length, digest)
    return head + crc32(head).to_bytes(_CRC, "little")


def content_of(item: bytes, digest: bytes) -> bytes:
    """The content of a whole item, verified. Raises :class:`Corrupt`."""
    found = _header_at(item, 0)
    content = item[OVERHEAD:]
    if found is None or found != (digest, len(content)) or blake3(content).digest() != digest:
        raise Corrupt(f"the stored bytes of content {digest.hex()} do not match its digest")
    return content


def scan(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[Item | Damage]:
    """All items between two offsets of a segment, and the stretches between them that cannot be read.

    ``read(offset, length)`` gives bytes of the segment. An item whose header is sound but whose content is
    not comes with content None: its length still leads to the next one. Behind a broken header the next
    sound item is searched byte by byte.
    """
    window = _Window(read, end)
    at = start
    while at < end:
        item = window.item(at)
        if item is None:
            following = window.next_item(at + 1)
            resumed = end if following is None else following
            yield Damage(at, resumed)
            at = resumed
        else:
            yield item
            at = item.offset + OVERHEAD + item.length


class _Window:
    """A part of a segment in memory, moved forward as it is asked for."""

    def __init__(self, read: Callable[[int, int], bytes], end: int) -> None:
        self._read = read
        self._end = end
        self._offset = 0
        self._data = b""

    def item(self, at: int) -> Item | None:
        """The item that begins at ``at``, or None where there is none with a sound header and room."""
        self._hold(at, OVERHEAD)
        header = _header_at(self._data, at - self._offset)
        if header is None:
            return None
        digest, length = header
        if at + OVERHEAD + length > self._end:
            return None
        self._hold(at, OVERHEAD + length)
        begin = at - self._offset + OVERHEAD
        content = self._data[begin : begin + length]
        return Item(at, digest, length, content if blake3(content).digest() == digest else None)

    def next_item(self, at: int) -> int | None:
        """Offset of the next whole, sound item at or behind ``at``."""
        while at + OVERHEAD <= self._end:
            self._hold(at, OVERHEAD)
            found = self._data.find(ITEM_MAGIC, at - self._offset)
            if found < 0:
                at = self._offset + len(self._data) - len(ITEM_MAGIC) + 1
                continue
            at = self._offset + found
            item = self.item(at)
            if item is not None and item.content is not None:
                return at
            at += 1
        return None

    def _hold(self, at: int, length: int) -> None:
        if at < self._offset or at + length > self._offset + len(self._data):
            self._data = self._read(at, min(max(_WINDOW, length), self._end - at))
            self._offset = at


def _header_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    if len(data) - at < OVERHEAD:
        return None
    magic, length, digest = _HEAD.unpack_from(data, at)
    if magic != ITEM_MAGIC or length > SMALL_CONTENT:
        return None
    checksum = int.from_bytes(data[at + _HEAD.size : at + OVERHEAD], "little")
    return (digest, length) if checksum == crc32(data[at : at + _HEAD.size]) else None
