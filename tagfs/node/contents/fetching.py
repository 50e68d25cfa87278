"""Contents brought here from other nodes: joined, in bounded windows, durable in the end. Layer: node."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from attrs import define
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from tagfs.errors import Corrupt, Unavailable
from tagfs.node.contents.elsewhere import Elsewhere, Piece
from tagfs.node.contents.taking import RUN, Taking
from tagfs.node.offload import Offload
from tagfs.storage.interfaces import CHUNK, SMALL_CONTENT, Blob, IBlobStore, IBlobWriter

MAX_FETCHES = 16
"""Contents that come at a time; others wait for their turn."""
MAX_PIECES = 32
"""Pieces (1 MiB) of all of them that are under way or wait for the disk."""
KEEP_FROM = 8 * CHUNK
"""What came of a content that broke off is kept for the next attempt from this size on."""
WORTH_A_RUN = 4
"""Pieces for which threads are worth their trouble."""

Pace = Callable[[int], Awaitable[None]]
"""Waits until so many bytes may be asked for."""


async def unhurried(_size: int) -> None:
    """A :data:`Pace` without bounds."""


@define(eq=False)
class _Fetch:
    """One content on its way."""

    way: Elsewhere
    waiting: list[Deferred[None]]


class Fetching:
    """Brings contents here. ``elsewhere`` makes the way to one, given its digest, size and the nodes to ask first; ``arrived`` is
    awaited when one has come; ``taking`` brings runs of pieces by threads, where there are some."""

    log = Logger()

    def __init__(
        self,
        blobs: IBlobStore,
        offload: Offload,
        now_ms: Callable[[], int],
        elsewhere: Callable[[bytes, int, Sequence[str]], Elsewhere],
        arrived: Callable[[bytes], Awaitable[None]],
        taking: Taking | None = None,
    ) -> None:
        self._blobs = blobs
        self._offload = offload
        self._now_ms = now_ms
        self._elsewhere = elsewhere
        self._arrived = arrived
        self._taking = taking
        self._fetches: dict[bytes, _Fetch] = {}
        self._turns = DeferredSemaphore(MAX_FETCHES)
        self._pieces = DeferredSemaphore(MAX_PIECES)
        self._closed = False
        self.got = 0
        self.got_bytes = 0

    @property
    def running(self) -> int:
        """Contents on their way, or waiting for a turn."""
        return len(self._fetches)

    def fetch(self, digest: bytes, size: int, sources: Sequence[str], pace: Pace = unhurried) -> Deferred[None]:
        """See :class:`IContents <tagfs.node.contents.interfaces.IContents>`."""
        waiting: Deferred[None] = Deferred(lambda cancelled: self._leave(digest, cancelled))
        if self._closed:
            waiting.errback(Unavailable("the node is stopping"))
            return waiting
        fetch = self._fetches.get(digest)
        if fetch is not None:
            fetch.way.prefer(sources)
            fetch.waiting.append(waiting)
            return waiting
        fetch = self._fetches[digest] = _Fetch(self._elsewhere(digest, size, sources), [waiting])
        Deferred.fromCoroutine(self._turn(fetch, pace)).addBoth(self._end, fetch)
        return waiting

    def close(self) -> None:
        """Gives up all that is on its way."""
        self._closed = True
        for fetch in list(self._fetches.values()):
            fetch.way.give_up()

    def _leave(self, digest: bytes, waiting: Deferred[None]) -> None:
        """One who waited gave up; with the last one, the fetch ends, in its own time, and nobody joins it any more."""
        fetch = self._fetches.get(digest)
        if fetch is not None and waiting in fetch.waiting:
            fetch.waiting.remove(waiting)
            if not fetch.waiting:
                del self._fetches[digest]
                fetch.way.give_up()

    def _end(self, result: Failure | None, fetch: _Fetch) -> None:
        if self._fetches.get(fetch.way.digest) is fetch:
            del self._fetches[fetch.way.digest]
        for waiting in fetch.waiting:
            waiting.callback(result)

    async def _turn(self, fetch: _Fetch, pace: Pace) -> None:
        digest = fetch.way.digest
        async with self._turns:
            if not await self._offload.run(lambda: self._blobs.pin(digest)):
                await self._get(fetch.way, pace)
                self.got += 1
                self.got_bytes += fetch.way.size
                await self._arrived(digest)
        # It is pinned once. Others may join until each of those who wait has a pin: from then on it ends in one step.
        pins = 1
        while lacking := max(0, len(fetch.waiting) - pins):
            await self._offload.run(lambda lacking=lacking: [self._blobs.pin(digest) for _ in range(lacking)])  # type: ignore[misc]
            pins += lacking
        for _ in range(pins - len(fetch.waiting)):
            self._blobs.unpin(digest)

    async def _get(self, elsewhere: Elsewhere, pace: Pace) -> None:
        if elsewhere.size <= SMALL_CONTENT:
            await pace(elsewhere.size)
            data = await elsewhere.piece(0)
            await self._offload.run(lambda: self._blobs.put_many((data,)))
            return
        while True:
            blob = await self._get_large(elsewhere, pace)
            if blob.digest == elsewhere.digest:
                return
            self.log.error(
                "what came as content {digest} is another one; it is thrown away", digest=elsewhere.digest.hex()
            )
            await self._offload.run(lambda blob=blob: self._throw_away(blob.digest))  # type: ignore[misc]
            if elsewhere.count == 1:
                raise Corrupt(f"content {elsewhere.digest.hex()} was stored as another one")
            elsewhere.distrust()

    def _throw_away(self, digest: bytes) -> None:
        """Nothing refers to it: the collection would take it, too, only later."""
        self._blobs.unpin(digest)
        self._blobs.drop(digest)

    async def _get_large(self, elsewhere: Elsewhere, pace: Pace) -> Blob:
        name = elsewhere.digest.hex()
        writer, first = await self._offload.run(lambda: self._begin(name, elsewhere.size))
        try:
            await self._bring(elsewhere, writer, first, pace)
            return await self._offload.run(writer.finish)
        except BaseException:
            await self._offload.run(lambda: self._leave_off(writer, name))
            raise

    def _begin(self, name: str, size: int) -> tuple[IBlobWriter, int]:
        """A writer, and the first piece that it lacks."""
        kept = min(self._blobs.kept(name) or 0, size) // CHUNK
        if kept:
            return self._blobs.resume(name, kept * CHUNK), kept
        return self._blobs.begin(), 0

    def _leave_off(self, writer: IBlobWriter, name: str) -> None:
        if writer.size >= KEEP_FROM and not self._closed:
            writer.keep(name, self._now_ms())
        else:
            writer.abort()

    async def _bring(self, elsewhere: Elsewhere, writer: IBlobWriter, first: int, pace: Pace) -> None:
        """Writes all pieces from ``first`` on, in order: in runs by threads where there are some, else one by one."""
        taking, at, count = self._taking, first, elsewhere.count
        if taking is None:
            await self._pull(elsewhere, writer, at, count, pace)
            return
        while at < count:
            until = min(at + RUN, count)
            await pace((until - at) * CHUNK)
            if until - at >= WORTH_A_RUN:
                at += await elsewhere.run(taking, writer, at, until)
            if at < until:
                await self._pull(elsewhere, writer, at, until, unhurried)
                at = until

    async def _pull(self, elsewhere: Elsewhere, writer: IBlobWriter, first: int, until: int, pace: Pace) -> None:
        """Writes the pieces from ``first`` on, before ``until``, in order, with a window of them on their way."""
        ahead: deque[Deferred[Piece]] = deque()
        following = first
        try:
            while ahead or following < until:
                while following < until and len(ahead) < elsewhere.window:
                    ahead.append(Deferred.fromCoroutine(self._piece(elsewhere, following, pace)))
                    following += 1
                coming = ahead.popleft()  # one that fails has given its slot back
                piece = await coming
                try:
                    await self._write(elsewhere, writer, piece)
                finally:
                    self._pieces.release()
        except BaseException:
            elsewhere.give_up()
            raise
        finally:
            for unwanted in ahead:
                unwanted.addCallbacks(lambda _: self._pieces.release(), lambda _: None)

    async def _write(self, elsewhere: Elsewhere, writer: IBlobWriter, piece: Piece) -> None:
        """Verifies and writes in one go, while the bytes are near the processor."""

        def write() -> bool:
            if piece.is_sound:
                writer.write(piece.data)
                return True
            return False

        while not await self._offload.run(write):
            elsewhere.blame(piece)
            piece = await elsewhere.unverified(piece.number)

    async def _piece(self, elsewhere: Elsewhere, number: int, pace: Pace) -> Piece:
        """One piece; it holds a slot, which whoever takes the piece gives back."""
        await self._pieces.acquire()
        try:
            await pace(min(CHUNK, elsewhere.size))
            return await elsewhere.unverified(number)
        except BaseException:
            self._pieces.release()
            raise
