"""Digests of contents and of their chunks, and the list of them that lies beside a large content. Layer: storage.

The list is: :data:`MAGIC`, the content's digest, its size (64 bits, little endian), the BLAKE3 digests of its
chunks of 1 MiB in order, and the BLAKE3 digest of all this.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from blake3 import blake3

from tagfs.errors import Corrupt
from tagfs.storage.blobs.disk import Disk
from tagfs.storage.interfaces import CHUNK

MAGIC = b"tagfs chunks 1\n\0"
_HEAD = struct.Struct("<16s32sQ")
_DIGEST = 32


class Hasher:
    """Takes a content chunk by chunk; gives its digest and those of its chunks."""

    def __init__(self) -> None:
        self._whole = blake3()
        self.chunks: list[bytes] = []

    def update(self, chunk: bytes | bytearray | memoryview, digest: bytes = b"") -> None:
        """The next chunk: :data:`CHUNK` bytes, only the last may be shorter; and its digest where that is known."""
        self._whole.update(chunk)
        self.chunks.append(digest or blake3(chunk).digest())

    def digest(self) -> bytes:
        """The digest of all so far."""
        return self._whole.digest()


def read_digests(disk: Disk, fd: int, fresh: bool = False) -> Hasher:
    """Hashes a whole file; ``fresh`` reads it from the device rather than from memory, and leaves none of it there."""
    hasher = Hasher()
    offset = 0
    if fresh:
        disk.forget_cached(fd, 0, 0)
    while chunk := disk.read(fd, offset, CHUNK):
        hasher.update(chunk)
        if fresh:
            disk.forget_cached(fd, offset, len(chunk))
        offset += len(chunk)
    return hasher


def encode(digest: bytes, size: int, chunks: Sequence[bytes]) -> bytes:
    """The list of the chunks of a content."""
    listed = _HEAD.pack(MAGIC, digest, size) + b"".join(chunks)
    return listed + blake3(listed).digest()


def decode(data: bytes, digest: bytes, size: int) -> Sequence[bytes]:
    """The chunk digests in a list of that content. Raises :class:`Corrupt` where it is torn or another's."""
    listed, seal = data[:-_DIGEST], data[-_DIGEST:]
    if listed[: _HEAD.size] != _HEAD.pack(MAGIC, digest, size) or blake3(listed).digest() != seal:
        raise Corrupt(f"the chunk list of content {digest.hex()} is damaged")
    chunks = [listed[at : at + _DIGEST] for at in range(_HEAD.size, len(listed), _DIGEST)]
    if len(chunks) != -(-size // CHUNK):
        raise Corrupt(f"the chunk list of content {digest.hex()} is damaged")
    return chunks
