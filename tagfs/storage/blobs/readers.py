"""Open contents: verified while they are read, readable until closed. Layer: storage."""

from __future__ import annotations

import os
from collections.abc import Sequence

from blake3 import blake3
from zope.interface import implementer

from tagfs.errors import Corrupt
from tagfs.storage.blobs.disk import Disk
from tagfs.storage.blobs.verified import Verified
from tagfs.storage.interfaces import CHUNK, IBlobReader


@implementer(IBlobReader)
class SmallReader:
    """A small content, verified and in memory since it was opened; so its segment may go."""

    in_memory = True

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        """See :class:`IBlobReader`."""
        assert offset >= 0 and length >= 0
        return self._content[offset : offset + length]

    def close(self) -> None:
        """See :class:`IBlobReader`."""
        self._content = b""


@implementer(IBlobReader)
class LargeReader:
    """A file. What is read of it is verified wherever a whole chunk comes by: in one read, or in reads that follow
    one another, as a transfer from the beginning makes them; the read that ends a bad chunk fails then. A file that
    was read whole and found right not long ago is read without that."""

    in_memory = False

    def __init__(self, disk: Disk, fd: int, digest: bytes, chunks: Sequence[bytes], verified: Verified) -> None:
        self._disk = disk
        self._fd = fd
        self._digest = digest
        self._chunks = chunks or (digest,)
        self._state = os.fstat(fd)
        self.size = self._state.st_size
        self._verified = verified
        self._trusted = verified.holds(digest, self._state)
        self._right = 0  # chunks from the first on that were found right
        self._following: tuple[int, blake3] | None = None

    def read(self, offset: int, length: int) -> bytes:
        """See :class:`IBlobReader`."""
        assert offset >= 0 and length >= 0
        wanted = min(length, self.size - offset)
        if wanted <= 0:
            return b""
        data = self._disk.read(self._fd, offset, wanted)
        if len(data) < wanted:
            raise Corrupt(f"content {self._digest.hex()} ends early, at byte {offset + len(data)} of {self.size}")
        if not self._trusted:
            self._verify(offset, data)
        return data

    def close(self) -> None:
        """See :class:`IBlobReader`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _verify(self, offset: int, data: bytes) -> None:
        # Taken away while in use, so that threads that read at once never share a hasher.
        following, self._following = self._following, None
        hasher = following[1] if following is not None and following[0] == offset else None
        view = memoryview(data)
        at = 0
        while at < len(view):
            position = offset + at
            chunk = position // CHUNK
            end = min((chunk + 1) * CHUNK, self.size) - offset
            if position % CHUNK == 0:
                hasher = blake3()
            if hasher is not None:
                hasher.update(view[at:end])
                if end <= len(view):
                    self._compare(chunk, hasher.digest())
            at = end
        if hasher is not None:
            self._following = (offset + len(view), hasher)

    def _compare(self, chunk: int, digest: bytes) -> None:
        if digest != self._chunks[chunk]:
            raise Corrupt(f"content {self._digest.hex()} is damaged between byte {chunk * CHUNK} and the next chunk")
        if chunk == self._right:
            self._right += 1
            if self._right == len(self._chunks):
                self._verified.note(self._digest, self._state)
