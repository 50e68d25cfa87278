"""The way to one node: dialled, kept, asked over. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import Logger

from tagfs.errors import TagfsError, Unavailable, Unwelcome
from tagfs.node.peers import limits
from tagfs.node.peers.asking import Outbound, Question
from tagfs.wire.node_messages import Answer, Call

Dial = Callable[[str, str], Coroutine[Any, Any, Outbound]]
"""Dials an address where that node should be; raises TagfsError."""


class Link:
    """Keeps a connection to ``node`` once :meth:`keep` was called. ``changed`` is told when it comes up and goes."""

    log = Logger()

    def __init__(self, node: str, dial: Dial, clock: Any, changed: Callable[[str, bool], None]) -> None:
        self.node = node
        self.line: Outbound | None = None
        self._dial = dial
        self._clock = clock
        self._changed = changed
        self._addresses: tuple[str, ...] = ()
        self._keeping: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None  # between rounds of dialling
        self._hurried = False
        self._random = Random()
        self._why = ""  # the last round of dialling failed for this reason
        self._kind: type[TagfsError] = Unavailable  # of that failure
        self._waiting: list[Question] = []  # for the connection that is being made
        self._stopped = False

    @property
    def kept(self) -> bool:
        """Whether it is dialled again when it is lost."""
        return self._keeping is not None

    def keep(self, addresses: Sequence[str]) -> None:
        """Dials these addresses in turn from now on, whenever there is no connection."""
        changed = tuple(addresses) != self._addresses
        self._addresses = tuple(addresses)
        if self._keeping is None:
            self._keeping = Deferred.fromCoroutine(self._keep())
            self._keeping.addErrback(lambda failure: failure.trap(CancelledError) and None)
        elif changed:
            self.hurry()

    def hurry(self) -> None:
        """Dials at once instead of after the pause: the node has been heard of."""
        self._hurried = self.line is None
        self._end_pause()

    def _end_pause(self) -> None:
        if self._pause is not None and not self._pause.called:
            self._pause.callback(None)

    def adopt(self, line: Outbound) -> None:
        """Takes a proved connection to the node; one too many is ended."""
        if self.line is not None or self._stopped or line.lost:
            line.give_up(Unavailable("there is a connection already"))
            return
        self.line = line
        self._why, self._kind = "", Unavailable
        line.ended.addCallback(lambda why: self._went(line, why))
        waiting, self._waiting = self._waiting, []
        for question in waiting:
            line.ask(question)
        self._hurried = False
        self._changed(self.node, True)
        self._end_pause()

    def ask(self, call: Call, timeout_s: float) -> Deferred[Answer]:
        """As in IPeers. Fails at once where the last round of dialling failed; with Unwelcome where the node refused this one."""
        question: Question
        if self.line is None and (self._why or self._keeping is None or len(self._waiting) >= limits.ASKED_QUEUE):
            return fail(self._kind(f"{self.node} cannot be reached: {self._why or 'there is no connection'}"))
        question = Question(call, Deferred(lambda _: self._given_up(question)))
        question.late = self._clock.callLater(timeout_s, self._late, question)
        if self.line is None:
            self._waiting.append(question)
        else:
            self.line.ask(question)
        return question.answer

    def stop(self) -> Deferred[str] | None:
        """Ends the connection and keeps none. Gives what fires once it is gone."""
        self._stopped = True
        self._settle_waiting(Unavailable(f"the connection to {self.node} is kept no longer"))
        if self._keeping is not None:
            self._keeping.cancel()
        line = self.line
        if line is None:
            return None
        gone: Deferred[str] = Deferred()
        self.line = None
        line.ended.addCallback(gone.callback)
        line.give_up(Unavailable("it is kept no longer"))
        self._changed(self.node, False)
        return gone

    async def _keep(self) -> None:
        pause_s = limits.PAUSE_S
        while not self._stopped:
            begun_s = self._clock.seconds()
            if self.line is None:
                await self._round()
            if self.line is not None:
                line_s = self._clock.seconds()
                await self._lost(self.line)
                begun_s = line_s
            settled = not self._why and self._clock.seconds() - begun_s >= limits.SETTLED_S
            pause_s = limits.PAUSE_S if settled else min(pause_s * 2, limits.LONGEST_PAUSE_S)
            await self._rest(pause_s * self._random.uniform(0.75, 1.25))

    async def _round(self) -> None:
        """Dials each address once, until one of them answers."""
        reasons = []
        kind: type[TagfsError] = Unavailable
        for address in self._addresses:
            try:
                line = await self._dial(address, self.node)
            except TagfsError as error:
                reasons.append(str(error))
                kind = type(error) if isinstance(error, Unwelcome) else kind
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001 - a bug at one address must not end the dialling
                self.log.failure("dialling {address} failed", address=address)
                reasons.append(f"{address}: dialling failed")
            else:
                self.adopt(line)
                return
            if self.line is not None:
                return
        why = "; ".join(reasons) or "it has no address"
        if why != self._why:
            self.log.info("cannot reach {node}: {why}", node=self.node, why=why)
        self._why, self._kind = why, kind
        self._settle_waiting(kind(f"{self.node} cannot be reached: {why}"))

    async def _lost(self, line: Outbound) -> None:
        """Waits until the connection is gone."""
        gone: Deferred[None] = Deferred()

        def tell(why: str) -> str:
            if not gone.called:
                gone.callback(None)
            return why

        line.ended.addCallback(tell)
        await gone

    async def _rest(self, pause_s: float) -> None:
        if self._hurried:
            self._hurried = False
            return
        self._pause = Deferred()
        timer = self._clock.callLater(pause_s, self._end_pause)
        try:
            await self._pause
        finally:
            self._hurried = False
            self._pause = None
            if timer.active():
                timer.cancel()

    def _went(self, line: Outbound, why: str) -> str:
        if line is self.line:
            self.line = None
            self.log.info("the connection to {node} ended: {why}", node=self.node, why=why)
            self._changed(self.node, False)
        return why

    def _late(self, question: Question) -> None:
        """Nobody answered in time. Where this node itself stood still, that says nothing of the other one."""
        line = question.line
        assert question.late is not None
        now = self._clock.seconds()
        if line is not None and now - question.late.getTime() >= limits.STALLED_S:
            line.heard_s = now
        self._given_up(question)
        if not question.answer.called:
            question.settle(Unavailable(f"{self.node} did not answer {question.call.verb} in time"))
        if line is not None and line is self.line and line.deaf:
            line.give_up(Unavailable(f"nothing came from it for {limits.DEAF_S:g} s"))

    def _given_up(self, question: Question) -> None:
        if question.late is not None and question.late.active():
            question.late.cancel()
        if question.line is not None:
            question.line.forget(question)
        elif question in self._waiting:
            self._waiting.remove(question)

    def _settle_waiting(self, error: TagfsError) -> None:
        waiting, self._waiting = self._waiting, []
        for question in waiting:
            question.settle(error)
