"""One connection that this node dialled: greeted, proved, then asked over. Layer: node."""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import BadRequest, Forbidden, TagfsError, TooLarge, Unavailable, Unwelcome
from tagfs.node.peers import limits
from tagfs.node.peers.interfaces import STREAM, Greeting
from tagfs.node.peers.lanes import Lanes
from tagfs.node.peers.sockets import prepare
from tagfs.node.peers.stream import Stream
from tagfs.node.peers.tls import DIFFERS, channel_of, tls_fault
from tagfs.node.peers.trust import AUTH_TAG, Opening, Own, error_from, open_with
from tagfs.wire.node_answers import Answered, AnswerReader, BrokenStream, Event, Greeted, Refused, encode_call
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_proof import same, with_proof
from tagfs.wire.tag_rows import plain


@define(eq=False)
class Question:
    """A request on its way: what is asked, who waits for the answer, and when that ends."""

    call: Call
    answer: Deferred[Answer]
    late: IDelayedCall | None = None
    line: Outbound | None = None
    tag: str = ""

    def settle(self, outcome: Answer | Failure | TagfsError) -> None:
        """Tells who waits, if anybody still does."""
        if self.late is not None and self.late.active():
            self.late.cancel()
        if not self.answer.called:
            if isinstance(outcome, Answer):
                self.answer.callback(outcome)
            else:
                self.answer.errback(outcome if isinstance(outcome, Failure) else Failure(outcome))


@implementer(IPushProducer, IHandshakeListener)
class Outbound(Protocol):
    """Asks over one connection. ``ready`` fires once both are proved, or fails with why they are not; ``ended`` once it is gone,
    with the reason in words."""

    def __init__(self, own: Own, address: str, wanted: str, clock: Any) -> None:
        self.ready: Deferred[Greeting] = Deferred()
        self.ended: Deferred[str] = Deferred()
        self.address = address
        self.node = wanted
        self.heard_s = 0.0
        self.lost = False
        self._own = own
        self._clock = clock
        self._reader = AnswerReader()
        self._opening: Opening | None = None
        self._proved = False
        self._full = False
        self._number = 0
        self._asked: dict[str, Question] = {}
        self._lanes: Lanes[Question] = Lanes(limits.ASKED, limits.ASKED_BYTES, limits.ASKED_QUEUE)
        self._why = ""

    # What Twisted tells.

    def connectionMade(self) -> None:
        """The other end is there. Without TLS a line is sent at once, which an end that expects TLS refuses at once."""
        assert self.transport is not None
        self.heard_s = self._clock.seconds()
        prepare(self.transport)
        if not self._own.tls:
            self.transport.registerProducer(self, True)  # type: ignore[attr-defined]
            self.transport.write(b"- PING\n")

    def handshakeCompleted(self) -> None:
        """The connection is under TLS; the server greets next."""
        assert self.transport is not None
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        """Answers come in."""
        self.heard_s = self._clock.seconds()
        if self._opening is None and not self._own.tls and data[:2] == b"\x15\x03":
            self.give_up(Unavailable(f"it speaks TLS, and this node does not; {DIFFERS}"))
            return
        self._reader.feed(data)
        try:
            while not self.lost and (event := self._reader.next()) is not None:
                self._take(event)
        except BrokenStream as error:
            self.give_up(Unavailable(str(error)))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever waits for an answer waits in vain."""
        self.lost = True
        if not self._why:
            self._why = tls_fault(reason) or self._hung_up(reason)
        self._fail_ready(Unavailable(self._why))
        gone = Unavailable(f"the connection to {self.node} was lost: {self._why}")
        questions = [*self._asked.values(), *self._lanes.clear()]
        self._asked.clear()
        for question in questions:
            question.settle(gone)
        self.ended.callback(self._why)

    def pauseProducing(self) -> None:
        """The other end does not read: requests wait."""
        self._full = True

    def resumeProducing(self) -> None:
        """The other end reads again, which is a sign of life as well: much may be on its way to it over a slow line."""
        self.heard_s = self._clock.seconds()
        self._full = False
        self._send_waiting()

    def stopProducing(self) -> None:
        """connectionLost follows."""

    # What the link tells.

    def ask(self, question: Question) -> None:
        """Asks, or lets the question wait for its turn."""
        call = question.call
        question.line = self
        if not self._full and self._lanes.enter(call.verb, len(call.body)):
            self._send(question)
        elif not self._lanes.put(call.verb, question, len(call.body)):
            question.settle(Unavailable(f"too much is asked of {self.node} at a time"))

    def forget(self, question: Question) -> None:
        """Nobody waits for that answer any more."""
        if self._asked.pop(question.tag, None) is not None:
            self._lanes.free(question.call.verb, len(question.call.body))
            self._send_waiting()

    def give_up(self, error: TagfsError) -> None:
        """Ends the connection at once."""
        if not self._why:
            self._why = str(error)
        self._fail_ready(error)
        if not self.lost and self.transport is not None:
            self.lost = True
            self.transport.abortConnection()  # type: ignore[attr-defined]

    async def become_stream(self, timeout_s: float) -> Stream:
        """From now on the connection is for a thread. Raises what the other end says to that."""
        question = Question(Call(STREAM), Deferred())
        try:
            self.ask(question)
            await question.answer.addTimeout(timeout_s, self._clock)
            assert self.transport is not None
            self.transport.pauseProducing()  # type: ignore[attr-defined]
            turn: Deferred[None] = Deferred()
            self._clock.callLater(0, turn.callback, None)  # what goes on further out has to return first
            await turn
            if self.lost:
                raise Unavailable(f"the connection to {self.node} was lost: {self._why}")
        except TimeoutError:
            self.give_up(Unavailable("given up"))
            raise Unavailable(f"{self.node} did not answer {STREAM} in time") from None
        except BaseException:
            self.give_up(Unavailable("given up"))
            raise
        return Stream(self.transport, lambda: self.give_up(Unavailable("it is needed no longer")))

    @property
    def greeting(self) -> Greeting:
        """What the other end said of itself."""
        assert self._opening is not None
        there = self._opening.greeting
        return Greeting(there.node, there.name, there.cluster, there.boot)

    @property
    def deaf(self) -> bool:
        """Whether nothing came for so long that, where answers are owed, the other end is taken for gone."""
        return bool(self._clock.seconds() - self.heard_s >= limits.DEAF_S)

    # Greeting and proof.

    def _take(self, event: Event) -> None:
        if self._proved:
            self._answered(event)
        elif isinstance(event, Greeted):
            self._introduce(event.line)
        elif event.tag == AUTH_TAG:
            self._conclude(event)

    def _introduce(self, greeting: bytes) -> None:
        assert self.transport is not None
        try:
            self._opening = open_with(self._own, greeting, channel_of(self.transport), self.node)
        except Forbidden as error:
            self.give_up(error)
            return
        self.transport.write(with_proof(self._opening.line, self._opening.proof))

    def _conclude(self, event: Event) -> None:
        assert self._opening is not None
        if isinstance(event, Refused):
            said = error_from(event.code, "")
            kind = type(said) if isinstance(said, Unwelcome) else Forbidden
            self.give_up(kind(f"it refuses this node: {plain(event.text) or event.kind}"))
        elif isinstance(event, Answered) and same(event.answer.facts.get("proof", ""), self._opening.expected):
            self._proved = True
            self._reader.trust()
            self.node = self._opening.greeting.node
            if not self.ready.called:
                self.ready.callback(self.greeting)
        else:
            self.give_up(Forbidden("it did not prove the cluster's key; is somebody between the two nodes?"))

    def _fail_ready(self, error: TagfsError) -> None:
        if not self.ready.called:
            self.ready.errback(Failure(error))

    def _hung_up(self, reason: Failure) -> str:
        if self._proved:
            return "the other end closed it" if reason.check(ConnectionDone) else "it broke off"
        if self._opening is None:
            return f"it hung up without a greeting; {'does it speak TLS? ' + DIFFERS if not self._own.tls else 'too busy?'}"
        return "it hung up instead of proving the cluster's key"

    # Questions and answers.

    def _send(self, question: Question) -> None:
        assert self.transport is not None
        self._number += 1
        question.tag = str(self._number)
        try:
            pieces = encode_call(question.tag, question.call)
        except TooLarge as error:
            self._lanes.free(question.call.verb, len(question.call.body))
            question.settle(error)
            return
        self._asked[question.tag] = question
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        else:
            self.transport.writeSequence(pieces)

    def _send_waiting(self) -> None:
        while not self._full and not self.lost and (item := self._lanes.take()) is not None:
            question, lane, size = item
            if question.answer.called:
                self._lanes.free(lane, size)
            else:
                self._send(question)

    def _answered(self, event: Event) -> None:
        assert not isinstance(event, Greeted)
        question = self._asked.pop(event.tag, None)
        if question is None:
            return
        self._lanes.free(question.call.verb, len(question.call.body))
        if not self._lanes.idle:
            self._send_waiting()
        question.settle(event.answer if isinstance(event, Answered) else self._error(event))

    def _error(self, refused: Refused) -> TagfsError:
        if refused.kind == "NO":
            return error_from(refused.code, refused.text)
        if refused.kind == "BUSY":
            return Unavailable(f"{self.node} is busy: {refused.text}")
        return BadRequest(refused.text)
