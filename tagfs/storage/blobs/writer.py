"""A content on its way in: hashed while it is written, in memory until a chunk is full. Layer: storage."""

from __future__ import annotations

import os
from typing import Protocol

from zope.interface import implementer

from tagfs.errors import TagfsError, TooLarge
from tagfs.storage.blobs.chunks import Hasher
from tagfs.storage.blobs.disk import Disk
from tagfs.storage.interfaces import CHUNK, SMALL_CONTENT, Blob, IBlobWriter

MAX_CONTENT = 1 << 40
"""Largest content, in bytes: its chunk list takes 32 MiB."""
WRITE_BACK = 8 << 20
"""Bytes after which the device is set to work, so that the sync at the end finds little left to do."""


class IDestination(Protocol):
    """What a writer needs of its store."""

    disk: Disk

    def temporary(self) -> str:
        """A path for what is being written."""

    def put_small(self, content: bytes) -> Blob:
        """Stores a content of at most :data:`SMALL_CONTENT` bytes."""

    def publish(self, temporary: str, blob: Blob, chunks: list[bytes]) -> None:
        """Gives a synced file its name."""

    def keep(self, temporary: str, fd: int, name: str, now_ms: int) -> None:
        """Keeps an unfinished content."""

    def closed(self, writer: Writer) -> None:
        """The writer came to its end."""


@implementer(IBlobWriter)
class Writer:
    """See :class:`IBlobWriter`."""

    def __init__(self, destination: IDestination) -> None:
        self._destination = destination
        self._disk = destination.disk
        self.size = 0
        self._open = True
        self._part = bytearray()
        self._hasher = Hasher()
        self._path: str | None = None
        self._fd = -1
        self._written = 0
        self._writing_back = 0

    @classmethod
    def resumed(cls, destination: IDestination, path: str, size: int) -> Writer:
        """A writer that goes on behind the first ``size`` bytes of a file, which becomes its own."""
        writer = cls(destination)
        writer._path = path
        try:
            writer._fd = destination.disk.open(path, writable=True)
            destination.disk.truncate(writer._fd, size)
            writer._take_up(size)
        except BaseException:
            writer.abort()
            raise
        return writer

    def write(self, data: bytes | memoryview, digest: bytes = b"") -> None:
        """See :class:`IBlobWriter`. Raises :class:`TooLarge` beyond :data:`MAX_CONTENT`."""
        assert self._open, "write to a writer that is finished or aborted"
        assert not digest or (len(data) == CHUNK and not self.size % CHUNK), "a digest of something that is no chunk"
        if self.size + len(data) > MAX_CONTENT:
            self.abort()
            raise TooLarge(f"a content may have at most {MAX_CONTENT} bytes")
        self.size += len(data)
        at = 0
        with memoryview(data) as view:
            while at < len(view):
                taken = min(CHUNK - len(self._part), len(view) - at)
                if taken == CHUNK:
                    self._write_chunk(view[at : at + CHUNK], digest)
                else:
                    self._part += view[at : at + taken]
                    if len(self._part) == CHUNK:
                        self._write_chunk(self._part)
                        self._part = bytearray()
                at += taken

    def finish(self) -> Blob:
        """See :class:`IBlobWriter`."""
        assert self._open, "finish of a writer that is finished or aborted"
        try:
            if self.size <= SMALL_CONTENT:
                return self._destination.put_small(bytes(self._part))
            if self._part:
                self._write_chunk(self._part)
            assert self._path is not None
            self._disk.sync(self._fd)
            blob = Blob(self._hasher.digest(), self.size)
            self._destination.publish(self._path, blob, self._hasher.chunks)
            self._path = None
            return blob
        finally:
            self.abort()

    def abort(self) -> None:
        """See :class:`IBlobWriter`."""
        if not self._open:
            return
        self._open = False
        self._part = bytearray()
        self._destination.closed(self)
        if self._fd >= 0:
            os.close(self._fd)
        if self._path is not None:
            self._disk.unlink(self._path)

    def keep(self, name: str, now_ms: int) -> None:
        """See :class:`IBlobWriter`."""
        assert self._open, "keep of a writer that is finished or aborted"
        try:
            self._write_out(self._part)
            assert self._path is not None
            self._destination.keep(self._path, self._fd, name, now_ms)
            self._path = None
        finally:
            self.abort()

    def _take_up(self, size: int) -> None:
        whole = size - size % CHUNK
        for offset in range(0, whole, CHUNK):
            self._hasher.update(self._disk.read(self._fd, offset, CHUNK))
        self._part += self._disk.read(self._fd, whole, size - whole)
        self._written = self._writing_back = whole
        self.size = size

    def _write_out(self, data: bytearray | memoryview) -> None:
        """Puts bytes behind those that are in the file, which is made now if need be."""
        if self._path is None:
            path = self._destination.temporary()
            self._fd = self._disk.create(path)
            self._path = path
        self._disk.require_room(len(data))
        self._disk.write(self._fd, data, self._written)

    def _write_chunk(self, chunk: bytearray | memoryview, digest: bytes = b"") -> None:
        try:
            self._write_out(chunk)
        except TagfsError:
            self.abort()
            raise
        self._hasher.update(chunk, digest)
        self._written += len(chunk)
        if self._written - self._writing_back >= WRITE_BACK:
            self._disk.start_write_back(self._fd, self._writing_back, self._written - self._writing_back)
            self._writing_back = self._written
