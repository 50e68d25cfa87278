"""Large contents: one file each, named by digest in one of 256 directories. Layer: storage.

Beside a content of more than one chunk lies the list of its chunk digests. It is derived and carries its own
digest: it is written without being synced, and made anew from the content where it is missing or torn.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import count

from tagfs.errors import Corrupt, ReadOnly, TagfsError
from tagfs.storage.blobs import chunks as chunk_lists
from tagfs.storage.blobs.disk import Disk
from tagfs.storage.blobs.totals import Taken, Totals
from tagfs.storage.interfaces import CHUNK

_LIST = ".chunks"
_NAME = re.compile(r"[0-9a-f]{64}")
_DIRECTORY = re.compile(r"[0-9a-f]{2}")


class Files:
    """The files of one store. Whoever calls :meth:`publish`, :meth:`remove` or :meth:`quarantine` holds the claim
    on the digest.

    A name that is not durable yet counts as absent: another writer, or a peer told that a copy is here, must not
    rely on it.
    """

    def __init__(self, disk: Disk, objects: str, incoming: str, aside: str) -> None:
        self._disk = disk
        self._objects = objects
        self._incoming = incoming
        self._aside = aside
        self._numbers = count(1)
        self._hidden: set[bytes] = set()
        self._directories = {name for name in os.listdir(objects) if _DIRECTORY.fullmatch(name)}
        self._totals = Totals(self._look)

    def settle(self) -> None:
        """Makes every name that an earlier process left durable (it may have died before it could), and removes what
        never got a name."""
        for name in os.listdir(self._incoming):
            self._disk.unlink(os.path.join(self._incoming, name))
        for name in sorted(self._directories):
            self._disk.sync_directory(os.path.join(self._objects, name))
        self._disk.sync_directory(self._objects)

    def temporary(self) -> str:
        """A path for a content on its way in or out; what is there is removed at the next start."""
        return os.path.join(self._incoming, f"{next(self._numbers):08d}")

    def size(self, digest: bytes) -> int | None:
        """Bytes of a content that is here, else None."""
        state = self._disk.stat(self._path(digest)) if digest else None
        return None if state is None or digest in self._hidden else state.st_size

    def open(self, digest: bytes) -> int:
        """A descriptor of a content. Raises FileNotFoundError."""
        if not digest or digest in self._hidden:
            raise FileNotFoundError
        return self._disk.open(self._path(digest))

    def publish(self, temporary: str, digest: bytes, size: int, chunks: Sequence[bytes]) -> None:
        """Gives a synced temporary file its name, durably. A content that was here is replaced by the same bytes:
        those just hashed are better than those written long ago."""
        path = self._path(digest)
        directory = os.path.dirname(path)
        if os.path.basename(directory) not in self._directories:
            self._disk.make_directory(directory)
            self._directories.add(os.path.basename(directory))
        old = self._disk.stat(path)
        if old is None:
            self._hidden.add(digest)
        try:
            self._disk.rename(temporary, path)
        except TagfsError:
            self._hidden.discard(digest)
            raise
        self._keep_chunks(digest, size, chunks)
        self._disk.sync_directory(directory)
        with self._totals.lock:
            self._hidden.discard(digest)
            for state, sign in ((old, -1), (self._disk.stat(path), 1)):
                if state is not None:
                    self._totals.change(digest[0], state, sign)

    def remove(self, digest: bytes) -> bool:
        """Forgets a content; False where it is not here. Its space is free when nobody reads it any more."""
        path = self._path(digest)
        leaving = self.temporary()
        with self._totals.lock:
            state = self._disk.stat(path)
            if state is None or not digest or digest in self._hidden:
                return False
            self._disk.unlink(path + _LIST)
            self._disk.rename(path, leaving)
            self._totals.change(digest[0], state, -1)
        self._disk.unlink(leaving)
        return True

    def quarantine(self, digest: bytes, fd: int) -> None:
        """Moves the file that ``fd`` is open on aside, unless another has taken its place meanwhile. On a read-only
        store it is only served no more."""
        path = self._path(digest)
        with self._totals.lock:
            state = self._disk.stat(path)
            if state is None or not os.path.samestat(state, os.fstat(fd)):
                return
            try:
                self._disk.rename(path, os.path.join(self._aside, digest.hex()))
                self._disk.unlink(path + _LIST)
            except ReadOnly:
                self._hidden.add(digest)
            self._totals.change(digest[0], state, -1)

    def chunks(self, digest: bytes, fd: int) -> Sequence[bytes]:
        """Chunk digests of the content open on ``fd``; empty where it is one chunk. Raises :class:`Corrupt` where they
        have to be made anew and the content does not match."""
        size = os.fstat(fd).st_size
        if size <= CHUNK:
            return ()
        kept = self._kept_chunks(digest, size)
        if kept is None:
            hasher = chunk_lists.read_digests(self._disk, fd)
            if hasher.digest() != digest:
                raise Corrupt(f"the stored bytes of content {digest.hex()} do not match its digest")
            kept = hasher.chunks
            self._keep_chunks(digest, size, kept)
        return kept

    def digests(self, after: bytes, limit: int) -> Sequence[bytes]:
        """Digests behind ``after``, ascending, at most ``limit``."""
        found: list[bytes] = []
        start = after.hex()
        for directory in range(after[0] if after else 0, 256):
            names = sorted(name for name in self._names(directory) if name > start)
            found.extend(digest for digest in map(bytes.fromhex, names) if digest not in self._hidden)
            if len(found) >= limit:
                break
        return found[:limit]

    def taken(self) -> Taken:
        """What is here."""
        return self._totals.sum()

    def _path(self, digest: bytes) -> str:
        name = digest.hex()
        return f"{self._objects}/{name[:2]}/{name}"

    def _keep_chunks(self, digest: bytes, size: int, chunks: Sequence[bytes]) -> None:
        if len(chunks) < 2:
            return
        temporary = self.temporary()
        try:
            fd = self._disk.create(temporary)
            try:
                self._disk.write(fd, chunk_lists.encode(digest, size, chunks), 0)
            finally:
                os.close(fd)
            self._disk.rename(temporary, self._path(digest) + _LIST)
        except TagfsError:
            # It can be made anew. A store that turned read-only says so at the next step.
            self._disk.unlink(temporary)

    def _kept_chunks(self, digest: bytes, size: int) -> Sequence[bytes] | None:
        try:
            fd = self._disk.open(self._path(digest) + _LIST)
        except (FileNotFoundError, Corrupt):
            return None
        try:
            return chunk_lists.decode(self._disk.read(fd, 0, os.fstat(fd).st_size), digest, size)
        except Corrupt:
            return None
        finally:
            os.close(fd)

    def _names(self, directory: int) -> Iterator[str]:
        name = f"{directory:02x}"
        if name in self._directories:
            for found in os.listdir(os.path.join(self._objects, name)):
                if _NAME.fullmatch(found):
                    yield found

    def _look(self, directory: int) -> Iterator[os.stat_result]:
        for name in self._names(directory):
            state = self._disk.stat(f"{self._objects}/{name[:2]}/{name}")
            if state is not None and bytes.fromhex(name) not in self._hidden:
                yield state
