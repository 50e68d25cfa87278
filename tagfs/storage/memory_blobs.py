"""The reference blob store: everything in memory, gone with the process. Layer: storage.

For tests, and for a node that is meant to forget. One lock makes every call a single step.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from urllib.parse import urlsplit

from blake3 import blake3
from zope.interface import implementer

from tagfs.errors import BadRequest, Corrupt, NotFound, StartError, StorageFull, TooLarge
from tagfs.storage.interfaces import (
    CHUNK,
    MAX_PAGE,
    SMALL_CONTENT,
    Blob,
    IBlobReader,
    IBlobStore,
    IBlobWriter,
    Usage,
)

CAPACITY = 1 << 30
"""Bytes of contents and kept uploads that a store holds unless told otherwise."""


def open_blobs(url: str) -> MemoryBlobStore:
    """An empty store for the URL ``memory:`` or ``memory:BYTES`` (its capacity). Raises :class:`StartError`."""
    parts = urlsplit(url)
    if parts.scheme != "memory" or not (parts.path.isdecimal() or not parts.path):
        raise StartError(f"{url!r} is no store in memory; write memory: or memory:BYTES")
    return MemoryBlobStore(int(parts.path or CAPACITY))


@implementer(IBlobStore)
class MemoryBlobStore:
    """See :class:`IBlobStore`. ``contents`` is public so that a test can damage what is stored."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.contents: dict[bytes, bytes] = {}
        self._free = capacity
        self._lock = RLock()
        self._pins: dict[bytes, int] = {}
        self._kept: dict[str, tuple[bytes, int]] = {}
        self._quarantine: dict[bytes, bytes] = {}

    def begin(self) -> IBlobWriter:
        """See :class:`IBlobStore`."""
        return _Writer(self, b"")

    def put_many(self, contents: Sequence[bytes]) -> Sequence[Blob]:
        """See :class:`IBlobStore`."""
        for content in contents:
            if len(content) > SMALL_CONTENT:
                raise TooLarge(f"put_many takes contents of at most {SMALL_CONTENT} bytes; this one has {len(content)}")
        with self._lock:
            named = {blake3(content).digest(): content for content in contents}
            self.require_room(sum(len(content) for digest, content in named.items() if digest not in self.contents))
            return [self.put(bytes(content)) for content in contents]

    def put(self, content: bytes) -> Blob:
        """Stores and pins one content of any size."""
        digest = blake3(content).digest()
        with self._lock:
            if digest not in self.contents:
                self._take(len(content))
            self.contents[digest] = content
            self._pins[digest] = self._pins.get(digest, 0) + 1
        return Blob(digest, len(content))

    def stat(self, digest: bytes) -> Blob | None:
        """See :class:`IBlobStore`."""
        content = self.contents.get(digest)
        return None if content is None else Blob(digest, len(content))

    def open(self, digest: bytes) -> IBlobReader:
        """See :class:`IBlobStore`."""
        return _Reader(digest, self._content(digest))

    def open_now(self, digest: bytes) -> IBlobReader | None:
        """See :class:`IBlobStore`."""
        content = self.contents.get(digest)
        if content is None or len(content) > SMALL_CONTENT or blake3(content).digest() != digest:
            return None
        return _Reader(digest, content)

    def chunks(self, digest: bytes) -> Sequence[bytes]:
        """See :class:`IBlobStore`."""
        content = self._content(digest)
        if len(content) <= CHUNK:
            return ()
        if blake3(content).digest() != digest:
            raise Corrupt(f"the stored bytes of content {digest.hex()} do not match its digest")
        return [blake3(content[at : at + CHUNK]).digest() for at in range(0, len(content), CHUNK)]

    def pin(self, digest: bytes) -> bool:
        """See :class:`IBlobStore`."""
        with self._lock:
            if digest not in self.contents:
                return False
            self._pins[digest] = self._pins.get(digest, 0) + 1
            return True

    def unpin(self, digest: bytes) -> None:
        """See :class:`IBlobStore`."""
        with self._lock:
            count = self._pins.get(digest, 0) - 1
            assert count >= 0, f"{digest.hex()} was unpinned more often than pinned"
            if count:
                self._pins[digest] = count
            else:
                del self._pins[digest]

    def drop(self, digest: bytes) -> bool:
        """See :class:`IBlobStore`."""
        with self._lock:
            if digest in self._pins or digest not in self.contents:
                return False
            self._free += len(self.contents.pop(digest))
            return True

    def digests(self, after: bytes, limit: int) -> Sequence[bytes]:
        """See :class:`IBlobStore`."""
        assert 1 <= limit <= MAX_PAGE
        with self._lock:
            return sorted(digest for digest in self.contents if digest > after)[:limit]

    def verify(self, digest: bytes) -> bool:
        """See :class:`IBlobStore`."""
        with self._lock:
            content = self._content(digest)
            if blake3(content).digest() == digest:
                return True
            self._quarantine[digest] = self.contents.pop(digest)
            self._free += len(content)
            return False

    def compact(self, limit: int) -> int:
        """See :class:`IBlobStore`. Nothing to do: dropping frees at once."""
        return 0

    def kept(self, name: str) -> int | None:
        """See :class:`IBlobStore`."""
        found = self._kept.get(_checked(name))
        return None if found is None else len(found[0])

    def keep(self, name: str, part: bytes, now_ms: int) -> None:
        """Keeps the beginning of a content."""
        with self._lock:
            self._forget(_checked(name))
            self._take(len(part))
            self._kept[name] = (part, now_ms)

    def resume(self, name: str, size: int) -> IBlobWriter:
        """See :class:`IBlobStore`."""
        with self._lock:
            kept = self.kept(name)
            if kept is None:
                raise NotFound(f"no upload is kept under {name}")
            if kept < size:
                raise BadRequest(f"only {kept} bytes of the upload were kept; go on from there, not from byte {size}")
            begun = self._kept[name][0][:size]
            self._forget(name)
            return _Writer(self, begun)

    def forget_kept(self, before_ms: int) -> int:
        """See :class:`IBlobStore`."""
        with self._lock:
            old = [name for name, (_, kept_ms) in self._kept.items() if kept_ms < before_ms]
            for name in old:
                self._forget(name)
            return len(old)

    def usage(self) -> Usage:
        """See :class:`IBlobStore`."""
        with self._lock:
            taken = sum(map(len, self.contents.values()))
            return Usage(len(self.contents), taken, taken, self._free)

    def room(self) -> int:
        """See :class:`IBlobStore`."""
        return self._free

    def close(self) -> None:
        """See :class:`IBlobStore`."""

    def _content(self, digest: bytes) -> bytes:
        content = self.contents.get(digest)
        if content is None:
            raise NotFound(f"there is no content {digest.hex()} here")
        return content

    def _forget(self, name: str) -> None:
        if name in self._kept:
            self._free += len(self._kept.pop(name)[0])

    def require_room(self, length: int) -> None:
        """Raises :class:`StorageFull` where ``length`` bytes more do not fit."""
        if length > self._free:
            raise StorageFull("no space left in the store in memory: drop contents, or open it with a greater capacity")

    def _take(self, length: int) -> None:
        self.require_room(length)
        self._free -= length


@implementer(IBlobWriter)
class _Writer:
    """See :class:`IBlobWriter`."""

    def __init__(self, store: MemoryBlobStore, begun: bytes) -> None:
        self._store = store
        self._part = bytearray(begun)
        self._open = True
        self.size = len(begun)

    def write(self, data: bytes | memoryview, digest: bytes = b"") -> None:
        """See :class:`IBlobWriter`."""
        assert self._open, "write to a writer that is finished, kept or aborted"
        try:
            self._store.require_room(self.size + len(data))
        except StorageFull:
            self.abort()
            raise
        self._part += data
        self.size += len(data)

    def finish(self) -> Blob:
        """See :class:`IBlobWriter`."""
        assert self._open, "finish of a writer that is finished, kept or aborted"
        self._open = False
        return self._store.put(bytes(self._part))

    def abort(self) -> None:
        """See :class:`IBlobWriter`."""
        self._open = False
        self._part = bytearray()

    def keep(self, name: str, now_ms: int) -> None:
        """See :class:`IBlobWriter`."""
        assert self._open, "keep of a writer that is finished, kept or aborted"
        self._open = False
        self._store.keep(name, bytes(self._part), now_ms)


@implementer(IBlobReader)
class _Reader:
    """See :class:`IBlobReader`."""

    in_memory = True

    def __init__(self, digest: bytes, content: bytes) -> None:
        self._digest = digest
        self._content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        """See :class:`IBlobReader`. Everything is verified: it costs little here."""
        if blake3(self._content).digest() != self._digest:
            raise Corrupt(f"the stored bytes of content {self._digest.hex()} do not match its digest")
        return self._content[offset : offset + length]

    def close(self) -> None:
        """See :class:`IBlobReader`."""


def _checked(name: str) -> str:
    if not 1 <= len(name) <= 64 or not name.isascii() or not name.isalnum() or name != name.lower():
        raise BadRequest(f"{name[:80]!r} is no name to keep an upload under")
    return name
