"""One HTTP connection: Twisted's channel, with bounds in size and time and answers that say what was wrong. Layer: front."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from tagfs.front import direct
from tagfs.front.socket_ends import Inlet
from tagfs.front.web.door import DOOR
from tagfs.front.web.reply import INERT, PROBLEM, STRICT, problem
from tagfs.front.web.request import WebRequest

if TYPE_CHECKING:
    from tagfs.front.web.site import WebFactory

BUFFER_SIZE = 1 << 18
"""Bytes read from a socket at once, and held for it before its producer is paused (measured best for contents)."""

TURN = 64
"""Pipelined requests that are answered in one go."""


class BodyTap:
    """The rest of a body of known length, taken from the socket by another thread while the channel does not read. Never more
    than that: the next request may be behind it."""

    def __init__(self, decoder: Any, handle: socket.socket) -> None:
        self._decoder = decoder  # Twisted's; counts down to the end of the body
        self._inlet = Inlet(handle)
        self._left: int = decoder.contentLength

    def fill(self, view: memoryview) -> int:
        """See :class:`~tagfs.front.web.body.Tap`."""
        if not self._left:
            return -1
        count = self._inlet.fill(view[: self._left])
        self._left -= max(count, 0)
        return count

    def close(self, alive: bool) -> int:
        """See :class:`~tagfs.front.web.body.Tap`."""
        self._inlet.close()
        taken = int(self._decoder.contentLength) - self._left
        self._decoder.contentLength = self._left
        if not self._left and alive:
            self._decoder.dataReceived(b"")  # that was all of it
        return taken


class Phase(Enum):
    """What a connection is doing; each has its own time limit."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    CLOSING = "closing"


@implementer(IHalfCloseableProtocol)
class Channel(http.HTTPChannel):
    """A connection. Keep-alive and pipelining are Twisted's: one request at a time, at most 16 KiB read ahead."""

    factory: WebFactory
    transport: Any
    requestFactory = WebRequest
    timeOut = None  # see overdue(); Twisted's is moved on by every byte that trickles in
    phase = Phase.IDLE
    host = ""
    secure = False
    """Whether it is under TLS."""
    _peer: IAddress
    _host: IAddress
    _since_s = 0.0
    _dropped = 0
    _moved = 0
    _in_turn = 0
    _blocked = False
    _half_closed = False
    _finishing = False

    def connectionMade(self) -> None:
        """Twisted: somebody connected."""
        limits = self.factory.door.limits
        self.MAX_LENGTH = limits.header_line
        self.totalHeadersSize = limits.headers
        self.maxHeaders = limits.header_count
        super().connectionMade()  # type: ignore[no-untyped-call]
        transport = self.transport
        if hasattr(transport, "bufferSize"):
            transport.bufferSize = BUFFER_SIZE
        self._peer, self._host = transport.getPeer(), transport.getHost()
        self.host = str(getattr(self._peer, "host", ""))
        self.secure = bool(self.isSecure())  # type: ignore[no-untyped-call]
        self._turn(Phase.IDLE)
        if not self.factory.enter(self, self.host):
            self.refuse(503, "there are too many connections already; try again later")

    def getPeer(self) -> IAddress:
        """Twisted, for each request: the other end. The kernel was asked once."""
        return self._peer

    def getHost(self) -> IAddress:
        """Twisted, for each request: this end."""
        return self._host

    def write(self, data: bytes) -> None:
        """Twisted: bytes of an answer."""
        direct.write(self.transport, data)

    @property
    def plain_socket(self) -> socket.socket | None:
        """The connection's socket, where bytes can go past Twisted; None under TLS, and where that cannot be seen."""
        if self.secure or not hasattr(self.transport, "producerPaused"):
            return None
        handle = self.transport.getHandle()
        return handle if isinstance(handle, socket.socket) else None

    def tap_body(self) -> BodyTap | None:
        """The rest of the body that is coming, for another thread; None where it does not come over a plain socket with its
        length told, or where Twisted keeps count of it elsewhere."""
        decoder = getattr(self, "_transferDecoder", None)
        left = getattr(decoder, "contentLength", None)
        handle = self.plain_socket
        if not isinstance(left, int) or left <= 0 or handle is None:
            return None
        return BodyTap(decoder, handle)

    def is_over_its_turn(self) -> bool:
        """Whether other connections get their turn before the next request is answered: thousands of cheap ones fit into one
        packet, and nothing else would run until all of them were answered."""
        self._in_turn = (self._in_turn + 1) % TURN
        return not self._in_turn

    def await_room(self) -> None:
        """Pauses whoever produces the answer until the socket takes more, though Twisted has nothing for it."""
        self.pauseProducing()
        self.transport.producerPaused = True
        self.transport.startWriting()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Twisted: the same."""
        self.write(b"".join(iovec))

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes came."""
        phase = self.phase
        if phase is Phase.CLOSING:
            self._dropped += len(data)
            if self._dropped > self.factory.door.limits.linger:
                self.transport.abortConnection()
                return
        elif phase is Phase.IDLE:
            self._turn(Phase.HEAD)
        elif phase is Phase.BODY:
            self._moved += len(data)
            if self._moved >= self.factory.door.limits.stall_bytes:
                self.body_moves()
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        """Twisted: a line of a request's head. One that goes on with the header before it (RFC 9112 section 5.2) may be taken
        for a header of its own by whoever is between, and is refused."""
        if line[:1] in (b" ", b"\t") and getattr(self, "_path", None) is not None:
            self._respondToBadRequestAndDisconnect()
            return
        super().lineReceived(line)  # type: ignore[no-untyped-call]

    def allHeadersReceived(self) -> None:
        """Twisted: a request's headers are there."""
        self._turn(Phase.BODY)
        super().allHeadersReceived()  # type: ignore[no-untyped-call]

    def body_moves(self) -> None:
        """Enough of the body has come to wait for more; or it was this node that did not read on, and now does."""
        if self.phase is Phase.BODY:
            self._turn(Phase.BODY)

    def answering(self) -> None:
        """The request is whole."""
        if self.phase is not Phase.CLOSING:
            self._turn(Phase.ANSWER)

    def requestDone(self, request: http.Request) -> None:
        """Twisted: the answer is out."""
        if self.phase is not Phase.CLOSING:
            self._turn(Phase.IDLE)
        if self.factory.closing:
            self.persistent = 0
        # Twisted goes on from here to what was pipelined, and so comes back here before it returns.
        outermost, self._finishing = not self._finishing, True
        super().requestDone(request)  # type: ignore[no-untyped-call]
        if outermost:
            self._finishing = False
            if self._half_closed:
                self._end_if_answered()

    def pauseProducing(self) -> None:
        """Twisted: the client does not take what is written."""
        self._blocked = True
        if self.phase is Phase.ANSWER:
            self._turn(Phase.ANSWER)
        super().pauseProducing()  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:
        """Twisted: it has taken all."""
        self._blocked = False
        super().resumeProducing()  # type: ignore[no-untyped-call]

    def readConnectionLost(self) -> None:
        """Twisted: the client will send nothing more, but may still read (``nc -N``). It gets the answers to all that came whole."""
        self._half_closed = True
        self._end_if_answered()

    def writeConnectionLost(self) -> None:
        """Twisted: only where the writing side alone is closed, which happens nowhere here."""

    def _end_if_answered(self) -> None:
        # A browser leaves an endless answer just so; nothing else would tell that it has gone.
        if self.phase is Phase.ANSWER and not self.requests[0].endless:
            return
        if self.phase is Phase.BODY:
            self.requests[-1].cut()
        self.persistent = 0
        self.loseConnection()  # type: ignore[no-untyped-call]

    def lineLengthExceeded(self, line: bytes) -> None:
        """Twisted: a header or request line that is too long, or has no end."""
        self._refuse_size()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.factory.leave(self, self.host)

    def refuse(self, status: int, detail: str) -> None:
        """Answers what never became a request, and closes."""
        if self.phase is Phase.CLOSING:
            return
        reply = problem(status, detail)
        headers = [
            ("Content-Type", PROBLEM),
            ("Content-Length", str(len(reply.body))),
            ("Content-Security-Policy", INERT),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
            *STRICT,
        ]
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers)
        self.transport.write(head.encode() + b"\r\n" + reply.body)
        self.factory.door.tally.count(DOOR, "none", status, 0.0)
        self.close_soon(linger=False)

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted: this is no HTTP, or one of the bounds was broken."""
        limits = self.factory.door.limits
        size, count = getattr(self, "_receivedHeaderSize", 0), getattr(self, "_receivedHeaderCount", 0)
        if size > limits.headers or count > limits.header_count:
            self._refuse_size()
        else:
            self.refuse(400, "this is not HTTP as RFC 9112 has it")

    def _refuse_size(self) -> None:
        limits = self.factory.door.limits
        if getattr(self, "_path", None) is None:
            self.refuse(414, f"a request line has at most {limits.header_line} bytes")
        else:
            bounds = f"{limits.header_count} headers of {limits.header_line} bytes each and {limits.headers} in all"
            self.refuse(431, f"the headers are too many or too long: at most {bounds} are taken")

    def close_soon(self, linger: bool) -> None:
        """Closes after what is written has gone out. With ``linger``, what the client still sends is dropped meanwhile: to
        close with bytes unread would reset the connection, and the client might lose the answer."""
        if self.phase is not Phase.CLOSING:
            self._turn(Phase.CLOSING)
        self.persistent = 0
        if not linger:
            self.loseConnection()  # type: ignore[no-untyped-call]

    def shut_down(self) -> None:
        """The node stops: closes now, or after the answer that is under way."""
        if self.phase is Phase.IDLE or (self.phase is Phase.HEAD and not self.requests):
            self.close_soon(linger=False)

    def cut_off(self) -> None:
        """The node stops and waits no longer."""
        self.transport.abortConnection()

    def check_time(self, now_s: float) -> None:
        """Ends the connection where it has been too long in what it does."""
        limits = self.factory.door.limits
        spent_s = now_s - self._since_s
        if self.phase is Phase.IDLE and spent_s > limits.idle_s:
            self.close_soon(linger=False)
        elif self.phase is Phase.HEAD and spent_s > limits.head_s:
            self.refuse(408, f"the headers of a request must come within {limits.head_s:.0f} seconds")
        elif spent_s > self._patience_s():
            self.transport.abortConnection()

    def _patience_s(self) -> float:
        """How long the client may do nothing now. For ever, where it is not the client that is waited for."""
        limits = self.factory.door.limits
        if self.phase is Phase.CLOSING:
            return limits.linger_s
        if self.phase is Phase.BODY and not self.requests[-1].held_back:
            return limits.stall_s
        if self.phase is Phase.ANSWER and self._blocked:
            return limits.answer_stall_s
        return math.inf

    def _turn(self, phase: Phase) -> None:
        self.phase = phase
        self._moved = 0
        self._since_s = self.factory.door.clock.seconds()
