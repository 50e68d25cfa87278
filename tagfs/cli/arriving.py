"""Contents on their way into a directory: checked, never in place of something else, never outside. Layer: cli."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tagfs.cli.failure import Failure

if TYPE_CHECKING:
    from blake3 import blake3

PART = ".tagfs-{}.part"
"""Name of a file that is not whole yet; removed when it fails."""
CHUNK = 1 << 20
SHORT = 8
"""Characters of an id put into a name; as the directories of the FTP door do."""


class Arriving:
    """A file being written in ``directory`` under a name of its own until it is whole."""

    def __init__(self, directory: str) -> None:
        from blake3 import blake3

        self.directory = directory
        self.size = 0
        self._path = os.path.join(directory, PART.format(os.urandom(6).hex()))
        self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115 (closed by finish and abort)
        self._hash = blake3()

    def write(self, piece: bytes) -> None:
        """Takes the next bytes."""
        self._hash.update(piece)
        self.size += len(piece)
        while piece:
            piece = piece[self._file.write(piece) :]

    def abort(self) -> None:
        """Forgets the file; harmless after the end."""
        self._file.close()
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass

    def finish(self, name: str, entry_id: str, digest: str, modified_ms: int | None, reserved: str = "") -> str:
        """Puts the whole file into its place and returns the name that it got there.

        A name that is taken by other content, or is the path ``reserved``, gets the end of the entry's id. Raises
        :class:`~tagfs.cli.failure.Failure` where the content is not what the ``digest`` (hex) names.
        """
        try:
            if self._hash.hexdigest() != digest:
                raise Failure(f"{name}: what came does not match its digest; nothing was kept")
            if modified_ms is not None:
                os.utime(self._path, ns=(modified_ms * 1_000_000, modified_ms * 1_000_000))
            for candidate in candidates(name, entry_id):
                target = os.path.join(self.directory, candidate)
                if os.path.normpath(target) != os.path.normpath(reserved) and self._place(target, digest):
                    return candidate
            raise Failure(f"{name}: every name for it is taken in {self.directory}")
        finally:
            self.abort()

    def _place(self, target: str, digest: str) -> bool:
        """Whether the file is at ``target`` now: put there, or there already with the same content."""
        try:
            os.link(self._path, target)
        except FileExistsError:
            return holds(target, self.size, digest)
        except OSError:
            return self._place_without_links(target, digest)
        return True

    def _place_without_links(self, target: str, digest: str) -> bool:
        """For file systems that have no hard links: the name is taken first, then the file is moved onto it."""
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            return holds(target, self.size, digest)
        os.replace(self._path, target)
        return True


def candidates(name: str, entry_id: str) -> list[str]:
    """Names to try for an entry in a directory: its own, then with the end of its id, then with all of it.

    A server is not trusted with paths: what is no valid file name is replaced by the id.
    """
    from tagfs.errors import BadRequest
    from tagfs.model.names import check_name
    from tagfs.model.paths.shown import suffixed

    safe_id = "".join(c for c in entry_id if c.isascii() and c.isalnum()) or "unnamed"
    try:
        check_name(name)
    except BadRequest:
        name = safe_id
    tried = [name, suffixed(name, safe_id[-SHORT:]), suffixed(name, safe_id)]
    return [one if len(os.fsencode(one)) <= 255 else safe_id for one in tried]


def holds(path: str, size: int, digest: str) -> bool:
    """Whether ``path`` is a regular file with just this content."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
        return stat.S_ISREG(found.st_mode) and found.st_size == size and hash_of(descriptor).hexdigest() == digest
    finally:
        os.close(descriptor)


def hash_of(descriptor: int) -> blake3:
    """The BLAKE3 hash of an open file from its current position."""
    from blake3 import blake3

    made = blake3()
    while piece := os.read(descriptor, CHUNK):
        made.update(piece)
    return made


def make_folder(top: str, home: str) -> str:
    """The directory for ``home`` inside ``top``, made where needed; its parts as they are on disk, relative to ``top``.

    A part that is no valid name or would lead outside (a link, ``..``), or that is a file already, gets ``~`` behind it.
    """
    made: list[str] = []
    for part in home.split("/"):
        if part in ("", "."):
            continue
        made.append(_folder_in(os.path.join(top, *made), "~" if part == ".." else part.replace("\0", "")))
    return os.path.join(*made) if made else ""


def _folder_in(parent: str, name: str) -> str:
    while True:
        path = os.path.join(parent, name)
        try:
            os.mkdir(path)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                return name
            name += "~"
        else:
            return name
