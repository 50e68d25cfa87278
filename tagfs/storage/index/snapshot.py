"""A file of parts that is whole or refused: the index's form on disk. Layer: storage.

::

    magic          a line of 16 bytes, with the version of the format
    part           length (8 bytes, little-endian), then so many bytes; repeated
    digest         32 bytes: BLAKE3 of all that is before

Numbers in parts are in the byte order of the machine, which the magic tells apart. The file is derived: whoever
cannot read it makes it anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from mmap import ACCESS_READ, mmap
from types import TracebackType

from blake3 import blake3

MAGIC = b"tagfs index %b 2\n" % (b"<" if sys.byteorder == "little" else b">")
_LENGTH = 8
_DIGEST = 32


class Parts:
    """The parts of a snapshot, one after the other. Raises AssertionError where there are fewer than asked for."""

    def __init__(self, data: mmap) -> None:
        self._data = data
        self._at = len(MAGIC)

    def __enter__(self) -> Parts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()

    def take(self) -> bytes:
        """The next part."""
        start = self._at + _LENGTH
        self._at = start + int.from_bytes(self._data[self._at : start], "little")
        assert self._at <= len(self._data) - _DIGEST
        return self._data[start : self._at]

    def left(self) -> bool:
        """Whether there is another part."""
        return self._at < len(self._data) - _DIGEST


def read_snapshot(path: str) -> Parts | None:
    """The parts of the file; None where there is none, or it is damaged or of another format."""
    try:
        with open(path, "rb") as file:
            data = mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return None
    whole = len(data) >= len(MAGIC) + _DIGEST and data[: len(MAGIC)] == MAGIC
    if whole:
        with memoryview(data) as view:
            whole = blake3(view[:-_DIGEST]).digest() == bytes(view[-_DIGEST:])
    if not whole:
        data.close()
        return None
    return Parts(data)


def write_snapshot(path: str, parts: Iterable[bytes]) -> None:
    """Puts the parts at ``path``: temporary file, fsync, rename, fsync of the directory. Raises OSError."""
    temporary = f"{path}.new"
    try:
        with open(temporary, "wb") as file:
            digest = blake3()
            for piece in _framed(parts):
                digest.update(piece)
                file.write(piece)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _framed(parts: Iterable[bytes]) -> Iterable[bytes]:
    yield MAGIC
    for part in parts:
        yield len(part).to_bytes(_LENGTH, "little")
        yield part
