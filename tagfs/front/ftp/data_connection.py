"""One data connection: sends a content or takes one in, with back-pressure both ways. Layer: front.

Nothing is read from its socket until a transfer takes it, so a client that sends before its STOR fills only the kernel's
buffers. Source: RFC 959 section 3.4 (stream mode: the end of the connection is the end of the file).

TLS is done here instead of by Twisted's wrapper, which knows nothing of tickets and cuts all it sends into small pieces.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import TagfsError
from tagfs.front.ftp import direct
from tagfs.front.ftp.socket_ends import Inlet, Outlet
from tagfs.front.ftp.tls import Tls
from tagfs.node.interfaces import IDrawing, IPouring

PIECE = 256 * 1024
"""Bytes per read from a content and per write to a plain connection: where loopback throughput levels off (FIGURES)."""
TLS_PIECE = 64 * 1024
"""The same for a connection with TLS, which is slower with larger pieces than with these."""
SLICE = 32 << 20
"""Bytes that one thread sends or takes over one connection before others get it, some 20 ms long."""
LARGE = 1 << 20
"""Bytes from which on a content that comes in is taken by another thread."""


class DataLost(TagfsError):
    """The data connection ended before the transfer did."""

    ftp = 426


class Sink(Shape):
    """Where received bytes go: :class:`tagfs.node.interfaces.IReceiving`, or something before it."""

    def write(self, data: bytes) -> object:
        """As IReceiving.write."""


@implementer(IPushProducer, IHalfCloseableProtocol)
class DataConnection(Protocol):
    """A data connection from its opening to its end. One transfer at most goes over it.

    ``on_made`` is told when the connection is there.
    """

    transport: Any  # TCP

    def __init__(self, on_made: Callable[[DataConnection], None] | None = None) -> None:
        self._on_made = on_made
        self._end: Failure | None = None
        self._ended: Deferred[None] = Deferred()
        self._writable: Deferred[None] | None = None
        self._paused = True
        self._sending = False
        self._flushing = False
        self._tls: Tls | None = None
        self._sink: Sink | None = None
        self._trouble: Failure | None = None
        self._waits = 0
        self._wanted = 0
        self._arrived: Deferred[None] | None = None
        self._drawing = False
        self._settled: Deferred[None] | None = None
        self._stall: IDelayedCall | None = None
        self._handshake: Deferred[None] | None = None
        self.moved = 0
        """Bytes sent or received so far."""

    # -- the transport's side

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        # Twisted reads and flushes in units of this: 64 KiB costs a third of the throughput.
        self.transport.bufferSize = PIECE
        self.transport.pauseProducing()
        if self._on_made is not None:
            self._on_made(self)

    def dataReceived(self, data: bytes) -> None:
        if self._tls is None:
            self._took(data)
            return
        self._tls.feed(data)
        try:
            if self._handshake is None:
                self._open(self._tls)
            elif self._tls.shake():
                self.transport.pauseProducing()
                self._say(self._tls.due())
                self._agreed()
            self._say(self._tls.due())
        except ssl.SSLError as error:
            self._say(self._tls.due())  # what is wrong
            self._trouble = self._trouble or Failure(DataLost(f"TLS broke on the data connection: {error.reason}"))
            self.transport.loseConnection()

    def _open(self, tls: Tls) -> None:
        """Hands on what TLS brought."""
        if self._sink is None and not self._sending:
            return  # it waits with TLS until it is wanted
        data = tls.opened()
        if data:
            self._took(data)
        if tls.ended and not self._sending and self._trouble is None:
            self._say(tls.goodbye())
            self.transport.loseConnection()

    def _say(self, data: bytes) -> None:
        if data:
            direct.write(self.transport, data)

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
        if self._arrived is not None and self.moved >= self._wanted:
            self.transport.pauseProducing()
            self._arrive()

    def _arrive(self) -> None:
        arrived, self._arrived = self._arrived, None
        if arrived is not None:
            arrived.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end = reason
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._wake()
        self._agreed()
        self._arrive()
        self._ended.callback(None)

    def readConnectionLost(self) -> None:
        """The peer sends nothing more. Who only reads may say so early (netcat does), and still gets all."""
        if not self._sending:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our side is ended as a whole only."""

    def _agreed(self) -> None:
        """The handshake is over, or never will be."""
        handshake, self._handshake = self._handshake, None
        if handshake is not None:
            handshake.callback(None)

    # -- IPushProducer, towards the transport while sending

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        self._wake()

    def _wake(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None:
            waiting.callback(None)

    # -- the transfer's side

    async def start_tls(self, tls: Tls) -> None:
        """Turns TLS on, as its server whoever called whom (RFC 4217 section 7); returns when it is on.

        Raises :class:`DataLost` where it cannot be agreed on.
        """
        self._tls = tls
        if self._end is None:
            self._handshake = Deferred()
            self.transport.resumeProducing()
            await self._handshake
        if self._end is not None:
            raise DataLost("TLS could not be agreed on for the data connection")

    def watch(self, clock: IReactorTime, stall_s: float) -> None:
        """From now on cuts the connection when the peer lets ``stall_s`` seconds pass without a byte moving."""
        self._stall = clock.callLater(stall_s, self._look, clock, stall_s, self.moved)

    def _look(self, clock: IReactorTime, stall_s: float, moved: int) -> None:
        self._stall = None
        # While this side is the one that is waited for (a slow store), the peer is not to blame.
        ours = self._waits > 0 or self._drawing or (self._sending and self._writable is None and not self._flushing)
        if moved == self.moved and not ours:
            self._trouble = Failure(DataLost(f"nothing moved for {stall_s:g} seconds"))
            self.abort()
        else:
            self.watch(clock, stall_s)

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
        if not direct.drained(self.transport):
            self.transport.registerProducer(self, False)  # as such it is told when all is sent
            self._writable = Deferred()
            await self._writable
            self.transport.unregisterProducer()
        self._check_alive()
        if self._tls is not None:
            self._say(self._tls.goodbye())
        self.transport.loseConnection()
        await self._ended

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
            self._wanted = size
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
                if not ended and came < SLICE:
                    await self._until(self.moved + 1)
        except OSError as error:
            self.abort()
            raise DataLost("the data connection broke; what came is no whole file") from error
        finally:
            self._drawing = False
            inlet.close()
        if ended:
            self.transport.loseConnection()

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

    def _check_end(self, outcome: str) -> None:
        if self._trouble is not None:
            self._trouble.raiseException()
        assert self._end is not None
        # Under TLS its goodbye counts alone: somebody between could end the connection, or a client that does not wait for
        # ours reset it.
        whole = self._end.check(ConnectionDone) if self._tls is None else self._tls.ended
        if not whole:
            raise DataLost(f"the data connection broke; {outcome}")

    def abort(self) -> None:
        """Cuts the connection at once; a transfer over it fails with :class:`DataLost`. Harmless after the end."""
        if self._end is None:
            self.transport.abortConnection()


async def _awaited(waited: Awaitable[bytes]) -> bytes:
    return await waited


def _heard(failure: Failure) -> None:
    """A piece that was read ahead is not wanted any more, nor what went wrong with it."""
