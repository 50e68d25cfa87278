"""Uploads that were cut off and may be gone on with: files by name, dated, no contents yet. Layer: storage."""

from __future__ import annotations

import os
import re

from tagfs.errors import BadRequest, NotFound
from tagfs.storage.blobs.disk import Disk

_NAME = re.compile(r"[a-z0-9]{1,64}")


def bytes_in(directory: str) -> int:
    """Bytes of the files in a directory."""
    with os.scandir(directory) as found:
        return sum(file.stat().st_size for file in found)


class Kept:
    """The kept uploads of one store. A file's time of modification is when it was kept."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory

    def settle(self) -> None:
        """Makes every name that an earlier process left durable."""
        self._disk.sync_directory(self._directory)

    def keep(self, temporary: str, fd: int, name: str, now_ms: int) -> None:
        """Keeps the file open on ``fd``, durably, in place of what had that name."""
        path = self._path(name)
        self._disk.set_time(fd, now_ms)
        self._disk.sync(fd)
        self._disk.rename(temporary, path)
        self._disk.sync_directory(self._directory)

    def size(self, name: str) -> int | None:
        """Bytes kept under a name, or None."""
        state = self._disk.stat(self._path(name))
        return None if state is None else state.st_size

    def bytes(self) -> int:
        """Bytes of all that is kept."""
        return bytes_in(self._directory)

    def take(self, name: str, size: int, temporary: str) -> None:
        """Moves what is kept away to ``temporary``. Raises NotFound, or BadRequest where it is less than ``size``."""
        kept = self.size(name)
        if kept is None:
            raise NotFound(f"no upload is kept under {name}")
        if kept < size:
            raise BadRequest(f"only {kept} bytes of the upload were kept; go on from there, not from byte {size}")
        self._disk.rename(self._path(name), temporary)

    def forget(self, before_ms: int) -> int:
        """Forgets what was kept before that time; returns how many."""
        count = 0
        for name in os.listdir(self._directory):
            path = self._path(name)
            state = self._disk.stat(path)
            if state is not None and state.st_mtime_ns < before_ms * 1_000_000:
                self._disk.unlink(path)
                count += 1
        return count

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise BadRequest(f"{name[:80]!r} is no name to keep an upload under")
        return os.path.join(self._directory, name)
