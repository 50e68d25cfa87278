"""Contents on their way in and out: between the doors' callbacks and the blob store's blocking calls. Layer: node."""

from __future__ import annotations

from collections.abc import Callable
from threading import local
from time import monotonic
from typing import NamedTuple, TypeVar

from twisted.internet.defer import Deferred, execute, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import TooLarge, Unavailable
from tagfs.model.entry import Entry
from tagfs.node.interfaces import IPouring, IReading
from tagfs.node.offload import Offload
from tagfs.storage.interfaces import CHUNK, SMALL_CONTENT, Blob, IBlobReader, IBlobStore, IBlobWriter

T = TypeVar("T")

HIGH_WATER = 1 << 20
"""Bytes waiting for the disk at which a source is told to pause."""
POURED = 1 << 18
"""Bytes of a piece that is poured: small enough to stay in a processor's cache from disk to socket."""
TURN_S = 0.1
"""How long one content keeps a thread, in seconds: a client that trickles, or takes a little again and again, would keep it for
as long as it likes, and few of them all threads."""
MAX_CONTENT = 1 << 44
"""Largest content in bytes (16 TiB)."""


class _Drawn(NamedTuple):
    """What one draw came to: bytes taken, whether it was the end, and how the source broke."""

    size: int
    ended: bool
    broke: OSError | None


class _Buffers(local):
    """A thread's own buffer of one chunk."""

    def __init__(self) -> None:
        self.chunk = memoryview(bytearray(CHUNK))


_buffers = _Buffers()


def _chunk_buffer() -> memoryview:
    return _buffers.chunk


class Inflow:
    """A content on its way in: kept in memory while small, handed to a blob writer in another thread beyond that.

    Bytes written go to the disk in order, in one call for all that came while the last call ran. At most about
    :data:`HIGH_WATER` bytes and one more piece wait in memory, as long as the source pauses when told.
    """

    log = Logger()

    def __init__(self, blobs: IBlobStore, offload: Offload, writer: IBlobWriter | None = None, size: int = 0) -> None:
        self._blobs = blobs
        self._offload = offload
        self._writer = writer
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._busy = False
        self._room: Deferred[None] | None = None
        self._drained: Deferred[None] | None = None
        self._failure: Failure | None = None
        self._aborted = False
        self.size = size

    @property
    def is_small(self) -> bool:
        """Whether all of it is still in memory."""
        return self._writer is None and not self._busy and self._failure is None

    def write(self, data: bytes) -> Deferred[None] | None:
        """Takes ``data``; returns None, or a Deferred that fires when there is room for more."""
        if self._failure is not None:
            return fail(self._failure)
        self.size += len(data)
        if self.size > MAX_CONTENT:
            self._give_up(Failure(TooLarge(f"a content has at most {MAX_CONTENT} bytes")))
            return fail(self._failure)
        self._pieces.append(data)
        self._waiting += len(data)
        if self._writer is None and self.size <= SMALL_CONTENT:
            return None
        self._flush()
        if self._waiting < HIGH_WATER:
            return None
        if self._room is None:
            self._room = Deferred()
        return self._room

    async def draw(self, fill: Callable[[memoryview], int], budget: int) -> bool:
        """See :class:`~tagfs.node.interfaces.IDrawing`."""
        self._flush()
        await self._settled()
        self._busy = True
        answer: Deferred[_Drawn] = Deferred()
        self._offload.run(lambda: self._draw(fill, budget)).addBoth(self._drew, answer)
        drawn = await answer
        if drawn.broke is not None:
            raise drawn.broke
        return drawn.ended

    def _draw(self, fill: Callable[[memoryview], int], budget: int) -> _Drawn:
        """In another thread: whole chunks of what comes, as far as they come."""
        if self._writer is None:
            self._writer = self._blobs.begin()
        writer, buffer = self._writer, _chunk_buffer()
        until_s = monotonic() + TURN_S
        size = 0
        while size < budget:
            room = CHUNK - writer.size % CHUNK
            at = count = 0
            broke = None
            try:
                while at < room and (count := fill(buffer[at:room])) > 0:
                    at += count
                    if monotonic() > until_s:
                        break
            except OSError as error:
                broke = error
            writer.write(buffer[:at])
            size += at
            if at < room:
                return _Drawn(size, count < 0, broke)
        return _Drawn(size, False, None)

    def _drew(self, result: _Drawn | Failure, answer: Deferred[_Drawn]) -> None:
        if isinstance(result, Failure):
            self._fail_store(result)
        else:
            self.size += result.size
            self._stored(None, 0)
        answer.callback(result)

    def small(self) -> bytes:
        """The whole content; only while :attr:`is_small`."""
        assert self.is_small
        return b"".join(self._pieces)

    async def finish(self) -> Blob:
        """Makes the content durable, pinned once. Raises what went wrong; the content is then forgotten."""
        writer = await self._whole()
        return await self._offload.run(writer.finish)

    async def keep(self, name: str, now_ms: int) -> None:
        """Keeps what came so far in the blob store under ``name``."""
        writer = await self._whole()
        await self._offload.run(lambda: writer.keep(name, now_ms))

    def abort(self) -> None:
        """Forgets the content; harmless when repeated."""
        self._aborted = True
        self._give_up(Failure(Unavailable("the transfer was given up")))
        if not self._busy:
            self._discard()

    def _give_up(self, failure: Failure) -> None:
        """Nothing more is taken; the first failure is what everybody hears."""
        self._failure = self._failure or failure
        self._pieces.clear()
        self._waiting = 0

    def _discard(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            self._offload.run(writer.abort).addErrback(
                lambda failure: self.log.failure("an unfinished content was not cleaned up", failure)
            )

    def _flush(self) -> None:
        if self._busy or not self._pieces:
            return
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._busy = True
        self._offload.run(lambda: self._store(data)).addCallbacks(self._stored, self._fail_store, (len(data),))

    def _store(self, data: bytes) -> None:
        if self._writer is None:
            self._writer = self._blobs.begin()
        self._writer.write(data)

    def _stored(self, _: None, size: int) -> None:
        self._busy = False
        if self._aborted:
            self._discard()
        else:
            self._waiting -= size
            self._flush()
        if self._room is not None and self._waiting < HIGH_WATER // 2:
            room, self._room = self._room, None
            room.callback(None)
        if self._drained is not None and not self._busy:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def _fail_store(self, failure: Failure) -> None:
        self._busy = False
        self._give_up(failure)
        self._discard()
        for waiting in (self._room, self._drained):
            if waiting is not None:
                waiting.errback(failure)
        self._room = self._drained = None

    async def _settled(self) -> None:
        """Returns when all that was written is with the writer, as far as there is one. Raises what went wrong."""
        if not self.is_small:
            self._flush()
        if self._busy:
            self._drained = Deferred()
            await self._drained
        if self._failure is not None:
            self._failure.raiseException()

    async def _whole(self) -> IBlobWriter:
        """The writer, with everything in it; it is the caller's from now on."""
        await self._settled()
        writer, self._writer = self._writer, None
        if writer is not None:
            return writer
        data = self.small()

        def begin() -> IBlobWriter:
            begun = self._blobs.begin()
            begun.write(data)
            return begun

        return await self._offload.run(begin)


@implementer(IReading)
class Reading:
    """An open content as INode's IReading: reads run in another thread, one at a time."""

    def __init__(self, entry: Entry, reader: IBlobReader, offload: Offload, start: int, length: int) -> None:
        self.entry = entry
        self._reader: IBlobReader | None = reader
        self._offload = offload
        self._busy = False
        self._at = start
        self.size: int = reader.size
        self.start = start
        self.length = length

    async def read(self, limit: int) -> bytes:
        """The next bytes, at most ``limit``; empty at the end."""
        reader = self._reader
        wanted = min(limit, self.start + self.length - self._at)
        if reader is None or wanted <= 0:
            return b""
        at = self._at
        data = await self._busy_with(reader, lambda: reader.read(at, wanted))
        self._at += len(data)
        return data

    def _busy_with(self, reader: IBlobReader, work: Callable[[], T], offload: Offload | None = None) -> Deferred[T]:
        """The result of ``work``, which uses the reader in another thread (of ``offload``, where that is given). Where the
        reading is closed meanwhile, the reader is closed afterwards, also where nobody waits for the result any more."""
        if reader.in_memory:
            return execute(work)
        self._busy = True
        answer: Deferred[T] = Deferred()
        (offload or self._offload).run(work).addBoth(self._idle, reader, answer)
        return answer

    def _idle(self, result: T | Failure, reader: IBlobReader, answer: Deferred[T]) -> None:
        self._busy = False
        if self._reader is None:
            self._offload.run(reader.close)
        answer.callback(result)

    def close(self) -> None:
        """Lets go; harmless when repeated, and while a read is under way."""
        reader, self._reader = self._reader, None
        if reader is None:
            return
        if reader.in_memory:
            reader.close()
        elif not self._busy:
            self._offload.run(reader.close)


@implementer(IPouring)
class LargeReading(Reading):
    """The reading of a content that lies in a file; ``pours`` is where it is poured."""

    def __init__(
        self, entry: Entry, reader: IBlobReader, offload: Offload, pours: Offload, start: int, length: int
    ) -> None:
        super().__init__(entry, reader, offload, start, length)
        self._pours = pours

    async def pour(self, take: Callable[[bytes], bool], budget: int) -> bool:
        """See :class:`~tagfs.node.interfaces.IPouring`."""
        reader, end = self._reader, self.start + self.length
        if reader is None or self._at >= end:
            return True

        def work() -> int:
            at, stop = self._at, min(end, self._at + budget)
            until_s = monotonic() + TURN_S
            while at < stop:
                data = reader.read(at, min(POURED, end - at))
                at += len(data)
                if not take(data) or monotonic() > until_s:
                    break
            return at

        self._at = await self._busy_with(reader, work, self._pours)
        return self._at >= end
