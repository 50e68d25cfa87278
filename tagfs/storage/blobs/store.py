"""The embedded blob store as a whole. Layer: storage."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from threading import Lock

from blake3 import blake3
from zope.interface import implementer

from tagfs.errors import Corrupt, NotFound, TagfsError, TooLarge
from tagfs.storage.blobs.chunks import read_digests
from tagfs.storage.blobs.compaction import Compaction
from tagfs.storage.blobs.disk import RECORD_ROOM, Disk
from tagfs.storage.blobs.files import Files
from tagfs.storage.blobs.index import Index
from tagfs.storage.blobs.kept import Kept, bytes_in
from tagfs.storage.blobs.pins import Pins
from tagfs.storage.blobs.readers import LargeReader, SmallReader
from tagfs.storage.blobs.segments import Segments
from tagfs.storage.blobs.verified import Verified
from tagfs.storage.blobs.writer import Writer
from tagfs.storage.interfaces import MAX_PAGE, SMALL_CONTENT, Blob, IBlobReader, IBlobStore, IBlobWriter, Usage

MAX_GROUP = 16 << 20
"""Bytes of contents that are appended at once."""
MAX_ASIDE = 1000
"""Most bad small contents whose bytes are kept in the quarantine."""
_LOG = logging.getLogger(__name__)


@implementer(IBlobStore)
class FileBlobStore:
    """See :class:`IBlobStore`: small contents in packs, large ones in files. Made by :func:`tagfs.storage.blobs.open_blobs`.

    Order of every write: bytes durable, then the name, then the answer. ``lock`` is the descriptor that keeps
    other processes out.
    """

    def __init__(
        self, disk: Disk, segments: Segments, index: Index, files: Files, kept: Kept, aside: str, lock: int
    ) -> None:
        self.disk = disk
        self._segments = segments
        self._index = index
        self._verified = Verified()
        self._files = files
        self._kept = kept
        self._aside = aside
        self._aside_free = MAX_ASIDE - len(os.listdir(aside))
        self._lock = lock
        self._pins = Pins()
        self._writers: set[Writer] = set()
        self._writers_lock = Lock()
        self._compacting = Lock()
        self.temporary = files.temporary

    def begin(self) -> IBlobWriter:
        """See :class:`IBlobStore`."""
        self.disk.check_writable()
        return self._opened(Writer(self))

    def put_many(self, contents: Sequence[bytes]) -> Sequence[Blob]:
        """See :class:`IBlobStore`."""
        for content in contents:
            if len(content) > SMALL_CONTENT:
                raise TooLarge(f"put_many takes contents of at most {SMALL_CONTENT} bytes; this one has {len(content)}")
        self.disk.check_writable()
        # Also for a content that is here already: its record takes space as well.
        self.disk.require_room(sum(map(len, contents)) + RECORD_ROOM * len(contents))
        blobs = [Blob(blake3(content).digest(), len(content)) for content in contents]
        digests = [blob.digest for blob in blobs]
        self._pins.pin(digests)
        try:
            self._store(dict(zip(digests, contents, strict=True)))
        except BaseException:
            self._pins.unpin(digests)
            raise
        self._flush_if_due()
        return blobs

    def put_small(self, content: bytes) -> Blob:
        """One content of :meth:`put_many`."""
        return self.put_many((content,))[0]

    def publish(self, temporary: str, blob: Blob, chunks: Sequence[bytes]) -> None:
        """Gives a synced temporary file its name, pinned once."""
        self._pins.pin((blob.digest,))
        try:
            with self._pins.claimed(blob.digest):
                self._files.publish(temporary, blob.digest, blob.size, chunks)
        except BaseException:
            self._pins.unpin((blob.digest,))
            raise

    def keep(self, temporary: str, fd: int, name: str, now_ms: int) -> None:
        """Keeps an unfinished content."""
        self._kept.keep(temporary, fd, name, now_ms)

    def closed(self, writer: Writer) -> None:
        """A writer came to its end."""
        with self._writers_lock:
            self._writers.discard(writer)

    def stat(self, digest: bytes) -> Blob | None:
        """See :class:`IBlobStore`."""
        place = self._index.find(digest)
        size = self._files.size(digest) if place is None else place.length
        return None if size is None else Blob(digest, size)

    def open(self, digest: bytes) -> IBlobReader:
        """See :class:`IBlobStore`. Raises :class:`Corrupt` for a small content that is bad."""
        content = self._read_small(digest)
        if content is not None:
            return SmallReader(content)
        fd = self._open_large(digest)
        try:
            return LargeReader(self.disk, fd, digest, self._files.chunks(digest, fd), self._verified)
        except BaseException:
            os.close(fd)
            raise

    def open_now(self, digest: bytes) -> IBlobReader | None:
        """See :class:`IBlobStore`."""
        place = self._index.find(digest)
        if place is None:
            return None
        try:
            content = self._segments.read_cached(place, digest)
        except (Corrupt, FileNotFoundError):
            return None
        return None if content is None else SmallReader(content)

    def chunks(self, digest: bytes) -> Sequence[bytes]:
        """See :class:`IBlobStore`."""
        if self._index.find(digest) is not None:
            return ()
        fd = self._open_large(digest)
        try:
            return self._files.chunks(digest, fd)
        finally:
            os.close(fd)

    def pin(self, digest: bytes) -> bool:
        """See :class:`IBlobStore`."""
        self._pins.pin_settled(digest)
        if self.stat(digest) is None:
            self._pins.unpin((digest,))
            return False
        return True

    def unpin(self, digest: bytes) -> None:
        """See :class:`IBlobStore`."""
        self._pins.unpin((digest,))

    def drop(self, digest: bytes) -> bool:
        """See :class:`IBlobStore`."""
        self.disk.check_writable()
        self._require_index()
        with self._pins.claimed_unpinned(digest) as free:
            gone = free and (self._index.remove(digest) is not None or self._files.remove(digest))
        self._flush_if_due()
        return gone

    def digests(self, after: bytes, limit: int) -> Sequence[bytes]:
        """See :class:`IBlobStore`."""
        assert 1 <= limit <= MAX_PAGE
        if self._index.has_changes():
            self._flush()  # one page after the other looks through what is not written otherwise
        return list(islice(merge(self._index.digests(after, limit), self._files.digests(after, limit)), limit))

    def verify(self, digest: bytes) -> bool:
        """See :class:`IBlobStore`. Reads from the device, not from memory."""
        try:
            if self._read_small(digest, fresh=True) is not None:
                return True
        except Corrupt:
            with self._pins.claimed(digest):
                return not self._set_aside(digest)
        return self._verify_large(digest)

    def compact(self, limit: int) -> int:
        """See :class:`IBlobStore`. Does nothing while another call is at it."""
        self.disk.check_writable()
        if not self._compacting.acquire(blocking=False):
            return 0
        try:
            return Compaction(self._segments, self._index, self._set_aside_claimed, limit).run()
        finally:
            self._compacting.release()

    def kept(self, name: str) -> int | None:
        """See :class:`IBlobStore`."""
        return self._kept.size(name)

    def resume(self, name: str, size: int) -> IBlobWriter:
        """See :class:`IBlobStore`. Takes a while for a large content: its bytes are hashed anew."""
        self.disk.check_writable()
        path = self.temporary()
        self._kept.take(name, size, path)
        return self._opened(Writer.resumed(self, path, size))

    def forget_kept(self, before_ms: int) -> int:
        """See :class:`IBlobStore`."""
        return self._kept.forget(before_ms)

    def usage(self) -> Usage:
        """See :class:`IBlobStore`."""
        small = self._index.totals()
        large = self._files.taken()
        on_disk = sum(self._segments.sizes().values()) + self._index.size_on_disk() + large.on_disk
        on_disk += self._kept.bytes() + bytes_in(self._aside)
        return Usage(small.count + large.contents, small.bytes + large.bytes, on_disk, self.disk.free())

    def room(self) -> int:
        """See :class:`IBlobStore`."""
        return self.disk.free()

    def close(self) -> None:
        """See :class:`IBlobStore`."""
        with self._writers_lock:
            writers = list(self._writers)
        for writer in writers:
            writer.abort()
        self._flush()
        self._index.close()
        self._segments.close()
        os.close(self._lock)

    def _opened(self, writer: Writer) -> Writer:
        with self._writers_lock:
            self._writers.add(writer)
        return writer

    def _store(self, contents: dict[bytes, bytes]) -> None:
        """Stores those that are not here, while holding the claims on them; waits for others that store the same."""
        while contents:
            claimed = self._pins.claim_free(contents)
            try:
                here = self._index.find_many(claimed)
                fresh = [
                    (digest, contents[digest]) for digest in claimed if digest not in here or not self._is_sound(digest)
                ]
                if fresh:
                    self._append(fresh)
            finally:
                self._pins.release(claimed)
            for digest in claimed:
                del contents[digest]

    def _is_sound(self, digest: bytes) -> bool:
        """Whether a small content that should be here is: an upload must not be answered with bytes gone bad."""
        try:
            return self._read_small(digest) is not None
        except Corrupt:
            return not self._set_aside(digest)

    def _append(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Appends new contents, makes them durable, and only then lets them be found."""
        self._require_index()
        appended = []
        try:
            for part in _parts(items):
                appended.append(self._segments.append(part))  # noqa: PERF401 - an error must leave those before it
            self._segments.sync(appended[-1][0])
            for _, places in appended:
                self._index.add(places)
        finally:
            for group, _ in appended:
                self._segments.settle(group)

    def _read_small(self, digest: bytes, fresh: bool = False) -> bytes | None:
        """The verified content, or None where it is not among the small ones. Raises :class:`Corrupt`."""
        place = self._index.find(digest)
        while place is not None:
            try:
                return self._segments.read(place, digest, fresh)
            except FileNotFoundError:
                found = self._index.find(digest)
                if found == place:
                    raise Corrupt(f"the pack segment {place.segment} of content {digest.hex()} is missing") from None
                place = found  # compaction moved it between the look-up and the reading
        return None

    def _open_large(self, digest: bytes) -> int:
        try:
            return self._files.open(digest)
        except FileNotFoundError:
            raise NotFound(f"there is no content {digest.hex()} here") from None

    def _verify_large(self, digest: bytes) -> bool:
        fd = self._open_large(digest)
        try:
            try:
                sound = read_digests(self.disk, fd, fresh=True).digest() == digest
            except Corrupt:
                sound = False
            if not sound:
                _LOG.error("content %s does not match its digest; it is put in quarantine", digest.hex())
                with self._pins.claimed(digest):
                    self._files.quarantine(digest, fd)
            return sound
        finally:
            os.close(fd)

    def _set_aside_claimed(self, digest: bytes) -> None:
        with self._pins.claimed(digest):
            self._set_aside(digest)

    def _set_aside(self, digest: bytes) -> bool:
        """Puts a small content that is bad, on a second look, in quarantine: no longer served, its bytes kept as a
        file. False where it is sound. The caller holds the claim."""
        try:
            return self._read_small(digest) is None
        except Corrupt:
            place = self._index.find(digest)
        if place is None:
            return True
        _LOG.error("content %s in %s does not match its digest; it is put in quarantine", digest.hex(), place)
        item = self._segments.read_raw(place)
        self._index.remove(digest)
        if item and self._aside_free > 0:
            self._aside_free -= 1
            self._keep_aside(f"{digest.hex()}.{place.segment}.{place.offset}", item)
        return True

    def _keep_aside(self, name: str, item: bytes) -> None:
        try:
            fd = self.disk.create(os.path.join(self._aside, name))
            try:
                self.disk.write(fd, item, 0)
            finally:
                os.close(fd)
        except TagfsError as error:
            _LOG.warning("the bytes of bad content %s could not be kept: %s", name, error)

    def _require_index(self) -> None:
        """Raises what keeps the index from being written, once too many changes wait for that."""
        if self._index.is_overdue():
            self._index.flush(self._segments.settled_to())

    def _flush_if_due(self) -> None:
        if self._index.is_due():
            self._flush()

    def _flush(self) -> None:
        """Writes the index. It is derived: where that fails, the next start looks at more of the segments."""
        try:
            self._index.flush(self._segments.settled_to())
        except TagfsError as error:
            _LOG.warning("%s", error)


def _parts(items: Sequence[tuple[bytes, bytes]]) -> Iterator[Sequence[tuple[bytes, bytes]]]:
    """The items in parts of at most about :data:`MAX_GROUP` bytes."""
    step = max(1, MAX_GROUP // SMALL_CONTENT)
    if sum(len(content) for _, content in items) <= MAX_GROUP:
        yield items
        return
    for start in range(0, len(items), step):
        yield items[start : start + step]
