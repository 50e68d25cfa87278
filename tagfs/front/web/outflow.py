"""A content on its way out: written as fast as the client takes it. Layer: front."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tagfs.errors import Corrupt
from tagfs.front import direct
from tagfs.front.socket_ends import SLICE, Outlet
from tagfs.front.web.body import Cut
from tagfs.node.interfaces import IPouring, IReading

if TYPE_CHECKING:
    from tagfs.front.web.channel import Channel
    from tagfs.front.web.request import WebRequest

PIECE = 1 << 18
"""Bytes read and written at once (128 to 256 KiB measured best on plain sockets)."""


@implementer(IPushProducer)
class Outflow:
    """Between a coroutine that has bytes and a connection that takes them when it can."""

    def __init__(self, request: WebRequest) -> None:
        self._request = request
        self._channel: Channel = request.channel
        self._paused = False
        self.lost = False
        """Whether the client is gone."""
        self.when_cut: Callable[[], None] = lambda: None
        """Called when the client goes, for whoever waits for something else than room."""
        self._room: Deferred[None] | None = None
        request.registerProducer(self, True)  # type: ignore[no-untyped-call]

    async def send(self, data: bytes) -> None:
        """Writes; waits while the client does not keep up. Raises :class:`Cut`."""
        if not self.lost:
            self._request.write(data)  # type: ignore[no-untyped-call]
        await self._until_room()

    async def _until_room(self) -> None:
        if self._paused and not self.lost:
            self._room = Deferred()
            await self._room
        if self.lost:
            raise Cut

    @property
    def empty_socket(self) -> socket.socket | None:
        """The socket behind the connection, where all that was written is with the kernel; None where that is not so."""
        return self._channel.plain_socket if direct.drained(self._channel.transport) else None

    async def pour(self, content: IPouring, to: socket.socket) -> None:
        """Sends a content that threads can take from the disk to the socket. Raises :class:`Cut`."""
        outlet, ended = Outlet(to), False
        try:
            while True:
                if not outlet.flush():
                    self._channel.await_room()
                    await self._until_room()
                elif ended:
                    return
                else:
                    ended = await content.pour(outlet.take, SLICE)
                if self.lost:
                    raise Cut
        except OSError as error:
            raise Cut from error
        finally:
            outlet.close()

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
    to = outflow.empty_socket
    if to is not None and IPouring.providedBy(reading):
        try:
            await outflow.pour(reading, to)
        finally:
            reading.close()
        return
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
