"""The body of one request on its way in: bounded in memory, read piece by piece. Layer: front."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

from twisted.internet.defer import Deferred

from tagfs.front.socket_ends import LARGE, SLICE
from tagfs.node.interfaces import IDrawing

HIGH_WATER = 1 << 19
"""Bytes held for a reader that does not keep up; then the socket is not read until half of them are taken."""


class Cut(Exception):
    """The client is gone; nobody is left to hear of anything."""


class Tap(Protocol):
    """Where the rest of a body can be taken from past the connection's reader, while that is paused."""

    def fill(self, view: memoryview) -> int:
        """Puts what is there into the view, on any thread; how many bytes, 0 for none at the moment, -1 at the end of the
        body, or of what the client sent. Raises OSError."""

    def close(self, alive: bool) -> int:
        """Ends it: the connection, where it is ``alive``, goes on behind the bytes that were taken; how many that were."""


class Body:
    """What a request carries. The connection feeds it, one reader takes it.

    ``length`` is the announced size in bytes, None for a chunked body. ``pause`` and ``resume`` act on the socket; ``invite``
    is given where the client waits for ``100 Continue``, and called before the first read; ``tap`` gives a way past the
    connection's reader, where there is one.
    """

    def __init__(
        self,
        length: int | None,
        pause: Callable[[], None] = lambda: None,
        resume: Callable[[], None] = lambda: None,
        invite: Callable[[], None] | None = None,
        tap: Callable[[], Tap | None] = lambda: None,
    ) -> None:
        self.length = length
        self.received = 0
        self.complete = False
        """Whether all of it has come."""
        self._pause = pause
        self._resume = resume
        self._invite = invite
        self._tap = tap
        self._pieces: list[bytes] = []
        self._held = 0
        self._paused = False
        self._dropping = False
        self._draw_from = 0
        self._lost = False
        self._reader: Deferred[None] | None = None

    @property
    def paused(self) -> bool:
        """Whether the socket is not read because the reader does not keep up."""
        return self._paused

    @property
    def waits(self) -> bool:
        """Whether the client sends nothing before somebody begins to read (``Expect: 100-continue``)."""
        return self._invite is not None

    @property
    def missing(self) -> int | None:
        """Bytes that have not come; None where that is not known."""
        if self.complete:
            return 0
        return None if self.length is None else self.length - self.received

    def feed(self, data: bytes) -> None:
        """The connection: a piece came."""
        self.received += len(data)
        if self._dropping or self._lost:
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= HIGH_WATER and self._reader is None and not self._paused:
            self._paused = True
            self._pause()
        self._wake()

    def end(self) -> None:
        """The connection: that was all."""
        self.complete = True
        self._wake()

    def cut(self) -> None:
        """The connection: there will be no more, and it is not whole."""
        self._lost = True
        self._forget()
        self._wake()

    def drop(self) -> None:
        """What came and what comes is of no interest."""
        self._dropping = True
        self._forget()

    async def read(self) -> bytes:
        """What has come since the last call; waits for something; empty at the end. Raises :class:`Cut`."""
        invite, self._invite = self._invite, None
        if invite is not None:
            invite()
        if not self._pieces and not self.complete and not self._lost:
            assert self._reader is None, "a body has one reader"
            self._reader = Deferred()
            await self._reader
        if self._lost:
            raise Cut
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._forget()
        return data

    async def draw(self, drawing: IDrawing) -> None:
        """Lets another thread take what comes next of a large body, as long as there is some; :meth:`read` goes on behind
        it. Raises :class:`Cut`, and what the drawing raises."""
        missing = self.missing or 0
        if self.received < self._draw_from or missing < LARGE or self._pieces or self._lost:
            return
        tap = self._tap()
        if tap is None:
            return
        self._paused = True
        self._pause()
        try:
            await drawing.draw(tap.fill, min(missing, SLICE))
        except OSError as error:
            raise Cut from error
        finally:
            self._paused = False
            taken = tap.close(alive=not self._lost)
            self.received += taken
            # Who sends little at a time keeps no thread of the few for it.
            self._draw_from = self.received + (0 if taken >= LARGE else LARGE)
            self._resume()
        if self._lost:
            raise Cut

    def _forget(self) -> None:
        self._pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._resume()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(None)


class SpooledBody(Body):
    """A body that Twisted has already stored away, in memory or in a temporary file."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(None)
        self.complete = True
        self._file = file

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises :class:`Cut`."""
        if self._lost or self._file.closed:
            raise Cut
        return self._file.read(HIGH_WATER)
