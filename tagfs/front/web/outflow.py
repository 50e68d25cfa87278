"""A content on its way out: written as fast as the client takes it. Layer: front."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tagfs.errors import Corrupt
from tagfs.front.web.body import Cut
from tagfs.node.interfaces import IReading

if TYPE_CHECKING:
    from twisted.web.http import Request

PIECE = 1 << 18
"""Bytes read and written at once (128 to 256 KiB measured best on plain sockets)."""


@implementer(IPushProducer)
class Outflow:
    """Between a coroutine that has bytes and a connection that takes them when it can."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._paused = False
        self.lost = False
        """Whether the client is gone."""
        self.when_cut: Callable[[], None] = lambda: None
        """Called when the client goes, for whoever waits for something else than room."""
        self._room: Deferred[None] | None = None
        request.registerProducer(self, True)

    async def send(self, data: bytes) -> None:
        """Writes; waits while the client does not keep up. Raises :class:`Cut`."""
        if not self.lost:
            self._request.write(data)
        if self._paused and not self.lost:
            self._room = Deferred()
            await self._room
        if self.lost:
            raise Cut

    def cut(self) -> None:
        """The client is gone."""
        self.lost = True
        self._wake()
        self.when_cut()

    def pauseProducing(self) -> None:
        """Twisted: enough is waiting for the client."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Twisted: the kernel has taken all of it."""
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        """Twisted: the connection is lost."""
        self.cut()

    def _wake(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)


def fire(deferred: Deferred[None]) -> None:
    """Fires a Deferred that several may want to fire."""
    if not deferred.called:
        deferred.callback(None)


async def send_reading(reading: IReading, outflow: Outflow) -> None:
    """Sends a reading to its end and closes it; the next piece is read while the last one is being sent."""
    left = reading.length
    ahead = _ahead(reading, left)
    try:
        while left:
            data = await ahead
            if not data:
                raise Corrupt(f"a content is {left} bytes short")
            left -= len(data)
            ahead = _ahead(reading, left)
            await outflow.send(data)
    finally:
        ahead.addErrback(lambda _: None)  # it is abandoned with the reading; what went wrong has been raised
        reading.close()


def _ahead(reading: IReading, left: int) -> Deferred[bytes]:
    """The next piece, under way."""
    return Deferred.fromCoroutine(reading.read(min(PIECE, left)))
