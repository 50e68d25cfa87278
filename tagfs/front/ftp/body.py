"""The content that follows a command on the control connection, on its way to the verb. Layer: front."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred

from tagfs.errors import Unavailable


class BodyCut(Unavailable):
    """The connection ended inside a body; there is nobody left to be told."""


class Body:
    """``size`` announced bytes. The session pushes what comes, the verb reads it; what the verb leaves is dropped.

    ``released`` is told how many bytes no longer take memory, so that the session bounds what it holds.
    """

    __slots__ = ("_cut", "_discarding", "_pieces", "_released", "_waiting", "missing", "size")

    def __init__(self, size: int, released: Callable[[int], None]) -> None:
        self.size = size
        self.missing = size
        """Bytes that have not come yet."""
        self._pieces: deque[bytes] = deque()
        self._released = released
        self._waiting: Deferred[None] | None = None
        self._discarding = False
        self._cut = False

    def push(self, data: bytes) -> None:
        """The next bytes have come."""
        self.missing -= len(data)
        assert self.missing >= 0
        if self._discarding:
            self._released(len(data))
            return
        self._pieces.append(data)
        self._wake()

    def cut(self) -> None:
        """No more bytes will come."""
        self._cut = True
        self._wake()

    def discard(self) -> None:
        """Nobody reads on: drops what is here and what will come."""
        self._discarding = True
        while self._pieces:
            self._released(len(self._pieces.popleft()))

    async def read(self) -> bytes:
        """The next bytes, as they came; empty at the end. Raises :class:`BodyCut`."""
        while not self._pieces:
            if not self.missing:
                return b""
            if self._cut:
                raise BodyCut("the connection ended inside the content; nothing was stored")
            assert self._waiting is None, "two readers of one body"
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        data = self._pieces.popleft()
        self._released(len(data))
        return data

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
