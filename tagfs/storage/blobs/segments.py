"""Pack segments on disk: appended to by many threads with one fdatasync for all that wait. Layer: storage."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from threading import Condition, Lock
from typing import NamedTuple

from tagfs.errors import Corrupt, TagfsError
from tagfs.storage.blobs.descriptors import Descriptors
from tagfs.storage.blobs.disk import Disk
from tagfs.storage.blobs.packs import OVERHEAD, SEGMENT_HEADER, Damage, Item, Place, content_of, item_header, scan

MAX_SEGMENT = 256 << 20
"""Bytes after which a segment is full."""
MAX_OPEN = 64
"""Segments open for reading at once."""
_SUFFIX = ".pack"
_NEVER = (0, 0)


class Group(NamedTuple):
    """Items appended together; ``start`` and ``end`` are offsets in the segment."""

    segment: int
    start: int
    end: int


class _Tail(NamedTuple):
    """The segment that is appended to, up to where it is written, and its descriptor."""

    segment: int
    end: int
    fd: int


class Segments:
    """The segments of one directory. Numbers only grow, and the greatest segment is never removed, so that a
    number never means two segments.

    A group is *appended*, then *synced*, then published in the index by the caller, then *settled*. What is
    appended and not settled must be looked at again after a crash, and keeps its segment from compaction.
    """

    def __init__(self, disk: Disk, directory: str, max_segment: int = MAX_SEGMENT) -> None:
        self._disk = disk
        self._directory = directory
        self._max_segment = max_segment
        self._sizes = {number: os.path.getsize(self._path(number)) for number in self._list()}
        self._append_lock = Lock()
        self._sync_changed = Condition()
        self._syncing = False
        self._open_groups_lock = Lock()
        self._open_groups: set[Group] = set()
        self._synced = _NEVER
        self._tail: _Tail | None = None
        self._files = Descriptors(lambda number: disk.open(self._path(number)), MAX_OPEN)

    def sizes(self) -> Mapping[int, int]:
        """The length in bytes of every segment, by number."""
        sizes = self._sizes.copy()
        tail = self._tail
        if tail is not None:
            sizes[tail.segment] = tail.end
        return sizes

    def resume(self, number: int, end: int) -> None:
        """Goes on appending to an existing segment at ``end``; what follows there is cut off. Durable."""
        assert self._tail is None and number == max(self._sizes)
        fd = self._disk.open(self._path(number), writable=True)
        if end < len(SEGMENT_HEADER):
            self._disk.write(fd, SEGMENT_HEADER, 0)
            end = len(SEGMENT_HEADER)
        if end != self._sizes[number]:
            self._disk.truncate(fd, end)
        self._disk.sync(fd)
        self._synced = (number, end)
        self._tail = _Tail(number, end, fd)

    def append(self, items: Sequence[tuple[bytes, bytes]]) -> tuple[Group, dict[bytes, Place]]:
        """Appends (digest, content) pairs as one group, neither durable nor visible yet. Where that fails, nothing of
        them stays."""
        parts: list[bytes] = []
        for digest, content in items:
            parts += item_header(digest, len(content)), content
        data = b"".join(parts)
        with self._append_lock:
            tail = self._tail_for(len(data))
            places = {}
            at = tail.end
            for digest, content in items:
                length = len(content)
                places[digest] = Place(tail.segment, at, length)
                at += OVERHEAD + length
            self._write(tail, data)
            group = Group(tail.segment, tail.end, at)
            with self._open_groups_lock:
                self._open_groups.add(group)
            self._tail = tail._replace(end=at)
        return group, places

    def sync(self, group: Group) -> None:
        """Returns once the group is durable: whoever comes first syncs for all that was appended by then."""
        wanted = (group.segment, group.end)
        with self._sync_changed:
            while self._syncing and self._synced < wanted:
                self._sync_changed.wait()
            if self._synced >= wanted:
                return
            self._syncing = True
            tail = self._tail
        assert tail is not None
        self._sync(tail)

    def settle(self, group: Group) -> None:
        """The group is published, or given up."""
        with self._open_groups_lock:
            self._open_groups.discard(group)

    def settled_to(self) -> Mapping[int, int]:
        """By number, the offset up to which every item of that segment is settled."""
        sizes = dict(self.sizes())
        with self._open_groups_lock:
            for group in self._open_groups:
                sizes[group.segment] = min(group.start, sizes[group.segment])
        return sizes

    def read(self, place: Place, digest: bytes, fresh: bool = False) -> bytes:
        """The verified content at a place; ``fresh`` from the device rather than from memory. Raises
        :class:`Corrupt`, and FileNotFoundError for a removed segment."""
        with self._files.borrow(place.segment) as fd:
            if fresh:
                self._disk.forget_cached(fd, place.offset, OVERHEAD + place.length)
            item = self._disk.read(fd, place.offset, OVERHEAD + place.length)
        return content_of(item, digest)

    def read_cached(self, place: Place, digest: bytes) -> bytes | None:
        """As :meth:`read`, where the system has the content in memory; else None."""
        with self._files.borrow(place.segment) as fd:
            item = self._disk.read_cached(fd, place.offset, OVERHEAD + place.length)
        return None if item is None else content_of(item, digest)

    def read_raw(self, place: Place) -> bytes:
        """The bytes of an item as they are; empty where they cannot be read."""
        try:
            with self._files.borrow(place.segment) as fd:
                return self._disk.read(fd, place.offset, OVERHEAD + place.length)
        except (Corrupt, FileNotFoundError):
            return b""

    def scan(self, number: int, start: int) -> Iterator[Item | Damage]:
        """The items of a segment from an offset on, in pieces; see :func:`~tagfs.storage.blobs.packs.scan`."""
        with self._files.borrow(number) as fd:
            yield from scan(
                lambda offset, length: self._disk.read(fd, offset, length),
                max(start, len(SEGMENT_HEADER)),
                self.sizes()[number],
            )

    def settle_device(self, number: int, start: int) -> None:
        """Makes what an earlier process left in a segment durable, and has it read from the device afterwards: pages
        whose writing failed may look sound in memory."""
        fd = self._disk.open(self._path(number), writable=True)
        try:
            self._disk.sync(fd)
            self._disk.forget_cached(fd, start, 0)
        finally:
            os.close(fd)

    def seal(self) -> None:
        """Ends the segment that is appended to, so that it can be compacted."""
        with self._append_lock:
            if self._tail is not None:
                self._start_segment()

    def sealed(self) -> Sequence[int]:
        """Numbers of the segments that nothing is appended to and of which every group is settled."""
        settled = self.settled_to()
        tail = self._tail
        return [
            number
            for number, size in sorted(self._sizes.items())
            if (tail is None or number != tail.segment) and settled[number] == size
        ]

    def remove(self, number: int) -> int:
        """Removes a sealed segment; its bytes. Reads that are under way end well."""
        size = self._sizes.pop(number)
        self._files.retire(number)
        self._disk.unlink(self._path(number))
        self._disk.sync_directory(self._directory)
        return size

    def close(self) -> None:
        """Closes all files."""
        with self._append_lock:
            self._files.close()
            if self._tail is not None:
                os.close(self._tail.fd)
                self._tail = None

    def _tail_for(self, total: int) -> _Tail:
        tail = self._tail
        if tail is None or (tail.end + total > self._max_segment and tail.end > len(SEGMENT_HEADER)):
            tail = self._start_segment()
        return tail

    def _write(self, tail: _Tail, data: bytes) -> None:
        try:
            self._disk.write(tail.fd, data, tail.end)
        except TagfsError:
            if self._disk.fault is None:
                self._disk.truncate(tail.fd, tail.end)
            raise

    def _start_segment(self) -> _Tail:
        """Syncs and closes the tail, and begins the next segment; durable. The caller holds the lock for appending."""
        old = self._tail
        if old is not None:
            with self._sync_changed:
                while self._syncing:
                    self._sync_changed.wait()
                self._syncing = True
            self._sync(old)
        new = self._create(max(self._sizes, default=0) + 1)
        self._sizes[new.segment] = new.end
        if old is not None:
            self._sizes[old.segment] = old.end
        self._tail = new
        if old is not None:
            # Every group in it is synced now, so no other thread can be about to use the descriptor.
            os.close(old.fd)
        return new

    def _sync(self, tail: _Tail) -> None:
        """Syncs a segment for all that wait; the caller has set ``_syncing``."""
        synced = self._synced
        try:
            self._disk.sync(tail.fd)
            synced = (tail.segment, tail.end)
        finally:
            with self._sync_changed:
                self._synced = synced
                self._syncing = False
                self._sync_changed.notify_all()

    def _create(self, number: int) -> _Tail:
        path = self._path(number)
        fd = self._disk.create(path)
        try:
            self._disk.write(fd, SEGMENT_HEADER, 0)
            self._disk.sync(fd)
            self._disk.sync_directory(self._directory)
        except TagfsError:
            os.close(fd)
            self._disk.unlink(path)
            raise
        return _Tail(number, len(SEGMENT_HEADER), fd)

    def _list(self) -> Iterator[int]:
        for name in os.listdir(self._directory):
            stem = name.removesuffix(_SUFFIX)
            if name.endswith(_SUFFIX) and stem.isdecimal():
                yield int(stem)

    def _path(self, number: int) -> str:
        return os.path.join(self._directory, f"{number:08d}{_SUFFIX}")
