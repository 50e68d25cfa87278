"""Contents read from other nodes without storing them: pieces ahead of the reader, verified before they are passed on. Layer: node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import Corrupt
from tagfs.model.entry import Entry
from tagfs.node.contents.elsewhere import Elsewhere
from tagfs.node.interfaces import IReading
from tagfs.storage.interfaces import CHUNK

READ_AHEAD_PIECES = 4
"""Pieces (1 MiB) that one reading may hold or have asked for."""


ReadingMaker = Callable[[int, int], IReading]
"""Opens the content elsewhere, from an offset on, for some bytes."""
Damaged = Callable[[], None]
"""Told that the copy here is bad."""


class Allowance:
    """How many pieces all readings together may hold besides the one that each may have in any case."""

    def __init__(self, pieces: int) -> None:
        self._left = pieces

    def take(self) -> bool:
        """One more; False where none is left."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def give(self, pieces: int) -> None:
        """Gives some back."""
        self._left += pieces


@implementer(IReading)
class ReadingElsewhere:
    """INode's IReading over :class:`Elsewhere`."""

    def __init__(self, entry: Entry, way: Elsewhere, start: int, length: int, allowance: Allowance) -> None:
        self.entry = entry
        self.size = way.size
        self.start = start
        self.length = length
        self._way = way
        self._allowance = allowance
        self._at = start
        self._end = start + length
        self._piece = b""
        self._piece_start = start
        self._ahead: deque[Deferred[bytes]] = deque()
        self._following = start // CHUNK
        self._waited = False
        self._taken = 0
        self._closed = False
        self._failure: Failure | None = None

    async def begin(self) -> None:
        """Gets the first piece, so that who opens it hears at once if nobody has it: raises Unavailable then."""
        if self.length:
            await self._next_piece()

    async def read(self, limit: int) -> bytes:
        """See :class:`IReading`. Raises Unavailable when nobody has the content (any more), then and ever after."""
        if self._failure is not None:
            self._failure.raiseException()
        if self._closed or self._at >= self._end or limit <= 0:
            return b""
        if not self._piece_start <= self._at < self._piece_start + len(self._piece):
            await self._next_piece()
        begin = self._at - self._piece_start
        data = self._piece[begin : begin + min(limit, self._end - self._at)]
        self._at += len(data)
        return data

    def close(self) -> None:
        """See :class:`IReading`."""
        if self._closed:
            return
        self._closed = True
        self._piece = b""
        self._way.give_up()
        for coming in self._ahead:
            coming.addErrback(lambda _: None)
        self._ahead.clear()
        self._allowance.give(self._taken)
        self._taken = 0

    async def _next_piece(self) -> None:
        self._piece = b""
        self._ask_ahead()
        coming = self._ahead.popleft()
        self._waited = True
        try:
            piece = await coming
        except Exception:
            if not self._closed:
                self._failure = Failure()
                self.close()
            raise
        finally:
            self._waited = False
        if self._closed:
            return
        self._piece_start = self._at // CHUNK * CHUNK
        self._piece = piece
        self._ask_ahead()

    @property
    def _holding(self) -> int:
        """Pieces here or on their way."""
        return len(self._ahead) + bool(self._piece) + self._waited

    def _ask_ahead(self) -> None:
        """Asks for pieces while there may be more; gives back what is not needed any more."""
        last = (self._end - 1) // CHUNK
        while self._following <= last:
            holding = self._holding
            if holding >= READ_AHEAD_PIECES or len(self._ahead) + self._waited >= self._way.window:
                break
            if holding > self._taken and not self._allowance.take():
                break
            self._taken = max(self._taken, holding)
            self._ahead.append(Deferred.fromCoroutine(self._way.piece(self._following)))
            self._following += 1
        surplus = self._taken - max(0, self._holding - 1)
        if self._following > last and surplus > 0:
            self._allowance.give(surplus)
            self._taken -= surplus


@implementer(IReading)
class ReadingOn:
    """A reading of a content here, which goes on elsewhere if the copy here turns out to be damaged.

    ``here`` begins with the chunk that ``start`` is in, and ends with a chunk or the content: a chunk is verified as a whole, so
    none of it is given before all of it was read.
    """

    def __init__(self, here: IReading, elsewhere: ReadingMaker, damaged: Damaged, start: int, length: int) -> None:
        assert here.start % CHUNK == 0
        self._reading = here
        self._elsewhere: ReadingMaker | None = elsewhere
        self._damaged = damaged
        self._at = start
        self._end = start + length
        self._chunk = b""
        self._following = here.start
        self.entry = here.entry
        self.size = here.size
        self.start = start
        self.length = length

    async def read(self, limit: int) -> bytes:
        """See :class:`IReading`."""
        while self._elsewhere is not None and self._following <= self._at < self._end:
            self._chunk = b""
            try:
                self._chunk = await self._reading.read(CHUNK)
            except Corrupt:
                self._go_on_elsewhere()
            if not self._chunk:
                break
            self._following += len(self._chunk)
        wanted = min(limit, self._end - self._at)
        if self._chunk:
            begin = self._at - self._following + len(self._chunk)
            data = self._chunk[begin : begin + wanted]
        else:
            data = await self._reading.read(wanted)
        self._at += len(data)
        return data

    def _go_on_elsewhere(self) -> None:
        make, self._elsewhere = self._elsewhere, None
        assert make is not None
        self._reading.close()
        self._damaged()
        self._reading = make(self._at, self._end - self._at)

    def close(self) -> None:
        """See :class:`IReading`."""
        self._elsewhere = None
        self._chunk = b""
        self._reading.close()
