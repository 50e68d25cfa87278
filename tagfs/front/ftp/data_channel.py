"""A data connection and its TLS: what sending and receiving have in common. Layer: front.

Nothing is read from its socket until a transfer takes it, so a client that sends before its STOR fills only the kernel's
buffers. TLS is done here instead of by Twisted's wrapper, which knows nothing of tickets and cuts all it sends into small
pieces.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import TagfsError
from tagfs.front import direct
from tagfs.front.ftp.tls import Tls

BUFFER = 256 * 1024
"""Bytes that Twisted reads at once, and holds before it pauses who writes: 64 KiB costs a third of the throughput."""


class DataLost(TagfsError):
    """The data connection ended before the transfer did."""

    ftp = 426


@implementer(IHalfCloseableProtocol)
class DataChannel(Protocol):
    """One connection, in the clear or under TLS. ``on_made`` is told when it is there."""

    transport: Any  # TCP

    def __init__(self, on_made: Callable[[Any], None] | None = None) -> None:
        self._on_made = on_made
        self._end: Failure | None = None
        self._ended: Deferred[None] = Deferred()
        self._trouble: Failure | None = None
        self._tls: Tls | None = None
        self._handshake: Deferred[None] | None = None
        self._stall: IDelayedCall | None = None
        self._sending = False
        self.moved = 0
        """Bytes of the content sent or received so far."""

    # What a transfer adds

    def _took(self, data: bytes) -> None:
        """Bytes of a content came."""
        raise NotImplementedError

    @property
    def _wanted(self) -> bool:
        """Whether what comes is taken: a transfer goes on."""
        raise NotImplementedError

    @property
    def _waits_here(self) -> bool:
        """Whether this side is the one that is waited for (a slow store)."""
        raise NotImplementedError

    def _wake(self) -> None:
        """The connection is gone: whoever waits for it looks again."""
        raise NotImplementedError

    # Twisted's side

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.bufferSize = BUFFER
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
        if not self._wanted:
            return  # it stays with TLS until then
        data = tls.opened()
        if data:
            self._took(data)
        if tls.ended and not self._sending and self._trouble is None:
            self._say(tls.goodbye())
            self.transport.loseConnection()

    def _say(self, data: bytes) -> None:
        if data:
            direct.write(self.transport, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end = reason
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._wake()
        self._agreed()
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

    # The transfer's side

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
        if moved == self.moved and not self._waits_here:
            self._trouble = Failure(DataLost(f"nothing moved for {stall_s:g} seconds"))
            self.abort()
        else:
            self.watch(clock, stall_s)

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
