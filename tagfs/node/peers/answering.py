"""One connection that somebody else dialled: a stranger until ``AUTH``, then a node, or a person by hand. Layer: node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import TagfsError
from tagfs.node.peers import limits
from tagfs.node.peers.interfaces import STREAM, Caller, Service
from tagfs.node.peers.lanes import Lanes
from tagfs.node.peers.sockets import prepare
from tagfs.node.peers.stream import Stream
from tagfs.node.peers.tls import DIFFERS, address_of, channel_of, tls_fault
from tagfs.node.peers.trust import Channel, Refusal, judge
from tagfs.wire.node_lines import BadLine, encode_line
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_proof import encode_greeting
from tagfs.wire.node_requests import Asked, RequestReader, encode_answer, encode_refusal

if TYPE_CHECKING:
    from tagfs.node.peers.door import Door

MEMBERS_ONLY = frozenset({"JOIN", "LEAVE", "MEMBERS"})
"""Verbs that a stranger is told about, though this node may not serve them."""
_OWN = "own"  # the lane of answers that take no work


@implementer(IPushProducer, IHandshakeListener, IHalfCloseableProtocol)
class Inbound(Protocol):
    """Answers one connection. ``caller`` is None as long as nothing is proved."""

    log = Logger()

    def __init__(self, door: Door) -> None:
        self.caller: Caller | None = None
        self.host = ""
        self.address = ""
        self.lost = False
        self._door = door
        self._reader = RequestReader()
        self._greeting = b""
        self._channel: Channel | None = None
        self._timer: IDelayedCall | None = None
        self._next_turn: IDelayedCall | None = None
        self._heard_s = 0.0
        self._full_since_s: float | None = None  # since when the transport takes no more
        self._reading = True
        self._unread = 0
        self._running: set[Deferred[Answer]] = set()
        self._work: Lanes[tuple[str, Call]] = Lanes(limits.RUNNING, limits.RUNNING_BYTES, limits.WAITING)
        self._out: Lanes[list[bytes]] = Lanes(1, 1 << 62, 1 << 62)
        self._starting = False
        self._ending: bytes | None = None  # the last words, once no more is taken
        self._lent = False  # nothing is read here any more: a thread has it, or will
        self._stream: Stream | None = None

    # What Twisted tells.

    def connectionMade(self) -> None:
        """Somebody is there. With TLS, the handshake comes first."""
        assert self.transport is not None
        self.address = address_of(self.transport)
        self.host = self.address.rpartition(":")[0]
        self._door.enter(self)
        if self.lost:
            return
        self._heard_s = self._door.clock.seconds()
        self._timer = self._door.clock.callLater(limits.STALL_S / 2, self._look)
        prepare(self.transport)
        if not self._door.own.tls:
            self._greet()

    def handshakeCompleted(self) -> None:
        """The connection is under TLS."""
        if not self.lost:
            self._greet()

    def dataReceived(self, data: bytes) -> None:
        """Requests come in. A stranger who asks on and on and does not take the answers is cut off."""
        if self._lent:
            self.cut_off()  # who asks for a stream has to wait for the answer
            return
        if self._full_since_s is not None and self.caller is None:
            self._unread += len(data)
            if self._unread > limits.STRANGER_UNREAD:
                self.cut_off()
                return
        if data[:2] == b"\x16\x03" and self.caller is None and not self._door.own.tls:
            self._door.tell(self, f"it speaks TLS, and this node does not; {DIFFERS}")
            self.cut_off()
            return
        self._heard_s = self._door.clock.seconds()
        self._reader.feed(data)
        self._read()

    def readConnectionLost(self) -> None:
        """There will be no more requests; what was asked is answered."""
        self._end(b"")

    def writeConnectionLost(self) -> None:
        """Not half-closed by this side."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """What is being worked on goes on to its end; nobody waits for it."""
        self.lost = True
        fault = tls_fault(reason)
        if fault is not None and not self._greeting:
            self._door.tell(self, fault)
        for call in (self._timer, self._next_turn):
            if call is not None and call.active():
                call.cancel()
        self._reader.end()
        self._work.clear()
        self._out.clear()
        self._door.leave(self)

    def pauseProducing(self) -> None:
        """The other end does not take its answers."""
        self._full_since_s = self._door.clock.seconds()

    def resumeProducing(self) -> None:
        """The other end took its answers."""
        self._full_since_s = None
        self._unread = 0
        while self._full_since_s is None and (item := self._out.take()) is not None:
            pieces, lane, size = item
            self._out.free(lane, size)
            self._write(pieces)
        self._go_on()

    def stopProducing(self) -> None:
        """connectionLost follows."""

    # What the door tells.

    def cut_off(self) -> None:
        """Ends the connection at once; one that a thread has, when the thread has noticed it."""
        if self._stream is not None:
            self._stream.cut()
        elif self.transport is not None and not self.lost:
            self.lost = True
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def cancel(self) -> None:
        """Ends what is being worked on: the node stops."""
        for running in list(self._running):
            running.cancel()

    # Requests.

    def _greet(self) -> None:
        assert self.transport is not None
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]
        self._channel = channel_of(self.transport)
        own = self._door.own
        self._greeting = encode_greeting(own.introduction(own.version))
        self._write([self._greeting + b"\n"])

    def _read(self) -> None:
        for _ in range(limits.TURN):
            event = self._reader.next() if self._ending is None and self._reading else None
            if event is None:
                return
            if isinstance(event, Asked):
                self._take(event)
            else:
                self._say(encode_refusal(event.tag, "BAD", event.text))
                if event.fatal:
                    self._end(b"")
            if self._out.bytes > limits.UNSENT_LIMIT:
                self._pause()
        if self._reading and not self.lost:
            self._pause()
            self._next_turn = self._door.clock.callLater(0, self._go_on)

    def _take(self, asked: Asked) -> None:
        tag, call, line = asked
        verb = call.verb
        service = self._door.services.get(verb)
        if verb == "QUIT":
            self._end(encode_line(tag, "OK"))
        elif verb in self._door.answers and (service is None or self.caller is None or not self.caller.node):
            self._say(self._door.answers[verb](tag, self.caller is not None))
        elif verb == "AUTH":
            self._authenticate(tag, line)
        elif self.caller is None and (service is not None or verb in MEMBERS_ONLY):
            self._say(self._door.unproved(tag))
        elif service is None:
            self._say(encode_refusal(tag, "BAD", f"unknown verb {verb[:40]}; HELP lists the verbs"))
        elif self.caller is not None and not self.caller.node and verb not in self._door.by_hand:
            self._say(encode_refusal(tag, "NO", f"{verb} is for nodes only", "forbidden"))
        elif verb == STREAM and (self._running or not self._work.idle or self._out.bytes):
            self._say(encode_refusal(tag, "BAD", "first wait for the answers to everything else"))
        elif self._out.bytes <= limits.START_BELOW and self._work.enter(verb, len(call.body)):
            self._run(service, tag, call)
        elif not self._work.put(verb, (tag, call), len(call.body)):
            self._say(encode_refusal(tag, "BUSY", "too much is under way on this connection"))

    def _authenticate(self, tag: str, line: bytes) -> None:
        door = self._door
        if self.caller is not None:
            self._say(encode_refusal(tag, "BAD", "it is proved already who you are"))
            return
        assert self._channel is not None
        try:
            welcome = judge(door.own, self._greeting, line, self._channel)
            door.admit(self, welcome.caller)
        except BadLine as bad:
            self._say(encode_refusal(tag, "BAD", str(bad)))
            return
        except Refusal as refusal:
            if refusal.code != "alone":
                door.tell(self, str(refusal))
                self._end(encode_refusal(tag, "NO", str(refusal), refusal.code))
            else:
                self._say(encode_refusal(tag, "NO", str(refusal), refusal.code))
            return
        self.caller = welcome.caller
        self._reader.trust()
        self._say(encode_line(tag, "OK", proof=welcome.proof))
        door.welcomed(self, welcome.caller)

    def _run(self, service: Service, tag: str, call: Call) -> None:
        assert self.caller is not None
        running = Deferred.fromCoroutine(service(self.caller, call))
        if not running.called:
            self._running.add(running)
        running.addBoth(self._answer, running, tag, call)

    def _answer(self, result: Answer | Failure, running: Deferred[Answer], tag: str, call: Call) -> None:
        self._running.discard(running)
        self._work.free(call.verb, len(call.body))
        if isinstance(result, Answer):
            try:
                pieces = encode_answer(tag, result)
            except TagfsError as error:
                self.log.error("the answer to {verb} cannot be sent: {error}", verb=call.verb, error=error)
                pieces = [encode_refusal(tag, "NO", str(error), error.wire)]
        else:
            pieces = [self._refusal(result, tag, call.verb)]
        if self.lost:
            return
        if call.verb == STREAM and isinstance(result, Answer) and self._door.taker is not None:
            self._lend(pieces)
            return
        self._send(call.verb, pieces)
        self._go_on()

    def _lend(self, pieces: list[bytes]) -> None:
        """Nothing more is read here, and once what goes on further out has returned, a thread has the connection."""
        self._pause()
        self._lent = True
        if self._timer is not None:
            self._timer.cancel()
        self._next_turn = self._door.clock.callLater(0, self._give, b"".join(pieces))

    def _give(self, said: bytes) -> None:
        if self.lost:
            return
        assert self.transport is not None and self.caller is not None and self._door.taker is not None
        self._stream = stream = Stream(self.transport, self._taken_back)
        self._door.taker(self.caller, stream, said).addBoth(lambda _: stream.close())

    def _taken_back(self) -> None:
        self._stream = None
        self.cut_off()

    def _refusal(self, failure: Failure, tag: str, verb: str) -> bytes:
        error = failure.value
        if isinstance(error, TagfsError):
            return encode_refusal(tag, "NO", str(error), error.wire)
        if not isinstance(error, CancelledError) or not self._door.closing:
            self.log.failure("{verb} failed", failure, verb=verb)
        return encode_refusal(tag, "NO", f"{verb} failed at {self._door.own.name}; its log says why", "internal")

    def _go_on(self) -> None:
        """Works on what waits, and reads on, as far as answers are taken."""
        if self._starting or self.lost or self._lent:
            return
        self._starting = True
        while self._out.bytes <= limits.START_BELOW and (item := self._work.take()) is not None:
            (tag, call), _, _ = item
            self._run(self._door.services[call.verb], tag, call)
        self._starting = False
        if not self._reading and self._out.bytes <= limits.START_BELOW and self.transport is not None:
            self._reading = True
            self.transport.resumeProducing()  # type: ignore[attr-defined]
            self._read()
        self._end_if_idle()

    # Answers.

    def _say(self, line: bytes) -> None:
        """Sends a line that took no work."""
        self._send(_OWN, [line])

    def _send(self, lane: str, pieces: list[bytes]) -> None:
        if self._full_since_s is None and not self._out.bytes:
            self._write(pieces)
        else:
            self._out.put(lane, pieces, sum(map(len, pieces)))

    def _write(self, pieces: list[bytes]) -> None:
        if self.transport is not None and not self.lost:
            if len(pieces) == 1:
                self.transport.write(pieces[0])
            else:
                self.transport.writeSequence(pieces)

    def _pause(self) -> None:
        if self.transport is not None and not self.lost:
            self._reading = False
            self.transport.pauseProducing()  # type: ignore[attr-defined]

    def _end(self, last_words: bytes) -> None:
        """Takes no more requests, and hangs up once all are answered."""
        if self._ending is None:
            self._ending = last_words
            self._reader.end()
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._ending is None or self._running or not self._work.idle or self._out.bytes or self.lost:
            return
        assert self.transport is not None
        self._write([self._ending])
        self.transport.unregisterProducer()  # type: ignore[attr-defined]
        self.transport.loseConnection()

    def _look(self) -> None:
        """Cuts off who is silent, or takes nothing, for too long."""
        now = self._door.clock.seconds()
        if self._timer is not None and now - self._timer.getTime() >= limits.STALLED_S:
            self._heard_s = now  # this node stood still itself; what came meanwhile is not read yet
        silence_s = limits.STRANGER_SILENCE_S
        if self.caller is not None:
            silence_s = limits.NODE_SILENCE_S if self.caller.node else limits.HAND_SILENCE_S
        stalled = self._full_since_s is not None and now - self._full_since_s >= limits.STALL_S
        left_s = self._heard_s + silence_s - now
        if stalled or (left_s <= 0 and self._reading):
            self.cut_off()
        else:
            self._timer = self._door.clock.callLater(min(max(left_s, 1.0), limits.STALL_S / 2), self._look)
