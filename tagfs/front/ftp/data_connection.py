"""One data connection: sends a content or takes one in, with back-pressure both ways. Layer: front.

Source: RFC 959 section 3.4 (stream mode: the end of the connection is the end of the file).
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import TagfsError
from tagfs.front import direct
from tagfs.front.ftp.data_channel import DataChannel, DataLost
from tagfs.front.ftp.tls import Tls
from tagfs.front.socket_ends import LARGE, SLICE, Inlet, Outlet
from tagfs.node.interfaces import IDrawing, IPouring

PIECE = 256 * 1024
"""Bytes per read from a content and per write to a plain connection: where loopback throughput levels off (FIGURES)."""
TLS_PIECE = 64 * 1024
"""The same for a connection with TLS, which is slower with larger pieces than with these."""


class Sink(Shape):
    """Where received bytes go: :class:`tagfs.node.interfaces.IReceiving`, or something before it."""

    def write(self, data: bytes) -> object:
        """As IReceiving.write."""


@implementer(IPushProducer)
class DataConnection(DataChannel):
    """A data connection from its opening to its end. One transfer at most goes over it.

    ``on_made`` is told when the connection is there.
    """

    def __init__(self, on_made: Callable[[DataConnection], None] | None = None) -> None:
        super().__init__(on_made)
        # While sending
        self._paused = True
        self._flushing = False
        self._writable: Deferred[None] | None = None
        # While receiving
        self._sink: Sink | None = None
        self._waits = 0  # for the sink
        self._settled: Deferred[None] | None = None
        self._until_moved = 0
        self._arrived: Deferred[None] | None = None
        self._drawing = False

    @property
    def _wanted(self) -> bool:
        return self._sink is not None or self._sending

    @property
    def _waits_here(self) -> bool:
        return self._waits > 0 or self._drawing or (self._sending and self._writable is None and not self._flushing)

    def _wake(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None:
            waiting.callback(None)
        self._arrive()

    # Sending; IPushProducer towards the transport

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        self._wake()

    async def send(self, read: Callable[[int], Awaitable[bytes]], piece: int = PIECE) -> None:
        """Sends what ``read(limit)`` gives until it is empty, then ends the connection.

        Returns when the last byte was handed to the network. Raises :class:`DataLost` where the peer left before, and
        whatever ``read`` raises (then the connection was cut, so that the peer does not take the part for the whole).
        """
        self._paused = False
        self._sending = True
        self.transport.registerProducer(self, True)
        tls = self._tls
        if tls is not None:
            self.transport.resumeProducing()  # TLS may have something to say, and is to be answered
        ahead = Deferred.fromCoroutine(_awaited(read(piece)))
        try:
            while data := await ahead:
                direct.write(self.transport, data if tls is None else self._sealed(tls, data))
                self.moved += len(data)
                # The store reads on while the network takes what it has.
                ahead = Deferred.fromCoroutine(_awaited(read(piece)))
                await self._room()
                self._check_alive()
        except BaseException:
            ahead.addErrback(_heard)
            self.abort()
            raise
        ahead.addErrback(_heard)
        await self._finish()

    async def pour(self, content: IPouring) -> None:
        """As :meth:`send`, for a content that threads can take from the disk to the socket."""
        self._sending = True
        outlet = Outlet(self.transport.getHandle(), self._tls)
        ended = False
        try:
            self.transport.registerProducer(self, False)
            while True:
                if not outlet.flush():
                    await self._free()
                elif ended:
                    break
                else:
                    ended = await content.pour(outlet.take, SLICE)
                    self.moved = outlet.moved
                self._check_alive()
        except OSError as error:
            self.abort()
            raise DataLost("the client closed the data connection; the transfer is incomplete") from error
        except BaseException:
            self.abort()
            raise
        finally:
            outlet.close()
        await self._finish()

    async def _free(self) -> None:
        """Waits until the socket has room."""
        if self._end is None:
            self._writable = Deferred()
            self.transport.startWriting()
            await self._writable

    @staticmethod
    def _sealed(tls: Tls, data: bytes) -> bytes:
        try:
            return tls.sealed(data)
        except ssl.SSLError as error:
            raise DataLost(f"TLS broke on the data connection: {error.reason}") from error

    async def _room(self) -> None:
        """Waits until more may be written, or the connection is gone."""
        if self._paused and self._end is None:
            self._writable = Deferred()
            await self._writable

    def _check_alive(self) -> None:
        if self._end is not None:
            self._check_end("the transfer is incomplete")
            raise DataLost("the client closed the data connection; the transfer is incomplete")

    async def _finish(self) -> None:
        """All is with the transport: ends the connection when it is with the kernel. How the client hangs up then does not
        matter; under TLS few wait for our goodbye."""
        self.transport.unregisterProducer()
        self._flushing = True
        if self._end is None and not direct.drained(self.transport):
            self.transport.registerProducer(self, False)  # as such it is told when all is sent
            self._writable = Deferred()
            await self._writable
            self.transport.unregisterProducer()
        self._check_alive()
        if self._tls is not None:
            self._say(self._tls.goodbye())
        self.transport.loseConnection()
        await self._ended

    # Receiving

    async def receive(self, sink: Sink, drawing: IDrawing | None = None) -> None:
        """Hands all that comes to ``sink`` until the peer ends the connection; much of it, where it goes there without
        change, in another thread by ``drawing``.

        Raises :class:`DataLost` where it did not end cleanly, and what the sink's Deferreds fail with.
        """
        self._sink = sink
        if self._tls is not None:
            if self._end is None:
                self.transport.resumeProducing()
                self.dataReceived(b"")  # of what came with the end of the handshake
        elif drawing is None:
            self.transport.resumeProducing()
        else:
            await self._until(LARGE)
            await self._draw(drawing)
        await self._ended
        if self._waits:
            self._settled = Deferred()
            await self._settled
        self._check_end("what came is no whole file")

    async def _until(self, size: int) -> None:
        """Reads on the reactor's thread until ``size`` bytes have come in all, or the end."""
        if self._end is None:
            self._until_moved = size
            self._arrived = Deferred()
            self.transport.resumeProducing()
            await self._arrived

    async def _draw(self, drawing: IDrawing) -> None:
        """Takes what comes in another thread, for as long as something is there."""
        if self._end is not None or self._trouble is not None:
            return
        inlet = Inlet(self.transport.getHandle())
        ended = False
        try:
            while self._end is None and self._trouble is None and not ended:
                self._drawing = True
                ended = await drawing.draw(inlet.fill, SLICE)
                self._drawing = False
                came, inlet.moved = inlet.moved, 0
                self.moved += came
                if not ended and came < SLICE:  # who sends little at a time keeps no thread of the few for it
                    await self._until(self.moved + (1 if came >= LARGE else LARGE))
        except OSError as error:
            self.abort()
            raise DataLost("the data connection broke; what came is no whole file") from error
        finally:
            self._drawing = False
            inlet.close()
        if ended:
            self.transport.loseConnection()

    def _took(self, data: bytes) -> None:
        if self._sink is None:
            return  # a client that sends into a download
        self.moved += len(data)
        try:
            wait = self._sink.write(data)
        except TagfsError:
            self._trouble = Failure()
            self.transport.abortConnection()
            return
        if isinstance(wait, Deferred):
            self._waits += 1
            self.transport.pauseProducing()
            wait.addErrback(self._refused).addCallback(self._taken)
        if self._arrived is not None and self.moved >= self._until_moved:
            self.transport.pauseProducing()
            self._arrive()

    def _arrive(self) -> None:
        arrived, self._arrived = self._arrived, None
        if arrived is not None:
            arrived.callback(None)

    def _refused(self, failure: Failure) -> None:
        self._trouble = self._trouble or failure
        self.abort()

    def _taken(self, _: None) -> None:
        self._waits -= 1
        if self._waits:
            return
        if self._end is None and self._trouble is None and not self._drawing:
            self.transport.resumeProducing()
        settled, self._settled = self._settled, None
        if settled is not None:
            settled.callback(None)


async def _awaited(waited: Awaitable[bytes]) -> bytes:
    return await waited


def _heard(failure: Failure) -> None:
    """A piece that was read ahead is not wanted any more, nor what went wrong with it."""
