"""Does what the membership decided: asks, answers, writes, remembers, and tells what came of it. Layer: node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from tagfs import errors
from tagfs.cluster import effects as do
from tagfs.cluster.effects import Answered, Effect, Event, Failed, Met, Missed
from tagfs.cluster.members import pack, unpack
from tagfs.errors import TagfsError, Unavailable
from tagfs.node.cluster.records import Records
from tagfs.node.cluster.state import State, Stored
from tagfs.node.peers.interfaces import Greeting, IPeers
from tagfs.wire.node_messages import Answer, Call

MEET_TIMEOUT_S = 5.0
MOST_WAITING = 1024
"""Requests of others that may wait for an answer at a time."""

Listener = Callable[[str, Mapping[str, str], float], None]


class Interpreter:
    """Runs effects one after the other, in order. ``happen`` is told the events that come of them; ``seconds`` and ``now_ms`` are
    :class:`~tagfs.node.cluster.cluster.Cluster`'s."""

    log = Logger()

    def __init__(
        self,
        peers: IPeers,
        clock: IReactorTime,
        records: Records,
        state: State,
        happen: Callable[[Event], None],
        seconds: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self.listeners: list[Listener] = []
        self.dismissed: Callable[[], None] = lambda: None
        """Called once the cluster was found to have forgotten this node."""
        self._peers = peers
        self._clock = clock
        self._records = records
        self._state = state
        self._happen = happen
        self._seconds = seconds
        self._now_ms = now_ms
        self._queue: deque[Effect] = deque()
        self._busy = False
        self._asking: set[Deferred[Any]] = set()
        self._waiting: dict[int, Deferred[Answer]] = {}
        self._tokens = 0

    def expect(self) -> tuple[int, Deferred[Answer]]:
        """A token for a request of somebody else, and what fires once it is answered. Raises Unavailable where too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("too many requests wait for an answer")
        self._tokens += 1
        waiting: Deferred[Answer] = Deferred()
        self._waiting[self._tokens] = waiting
        return self._tokens, waiting

    def stop(self) -> None:
        """Does nothing more; whoever waits is told."""
        self._queue.clear()
        for asking in list(self._asking):
            asking.cancel()
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.errback(Failure(Unavailable("this node is stopping")))

    def run(self, *effects: Effect) -> None:
        """Does effects in order, one after the other also where one makes another event happen at once."""
        self._queue.extend(effects)
        if self._busy:
            return
        self._busy = True
        while self._queue:
            held = None
            try:
                held = self._run_one(self._queue.popleft())
            except Exception:  # noqa: BLE001 - one effect that fails must not end all that come after it
                self._bug(Failure())
            if held is not None and not held.called:
                held.addCallback(self._go_on)
                return
        self._busy = False

    def _go_on(self, _: object) -> None:
        self._busy = False
        self.run()

    def _run_one(self, effect: Effect) -> Deferred[None] | None:
        """Does one effect. A Deferred where nothing may be done before it fired."""
        match effect:
            case do.Ask():
                self._ask(effect)
            case do.Reply(token, facts, records):
                self._end(token, Answer(facts, body=pack(records)))
            case do.Decline(token, code, text):
                self._end(token, Failure(_ERRORS.get(code, TagfsError)(text)))
            case do.Meet(address):
                self._meet(address)
            case do.Keep(node, addresses):
                self._peers.keep(node, addresses)
            case do.Drop(node):
                self._peers.drop(node)
            case do.Change(ref, fields):
                self._note_failure(self._records.change(ref, fields))
            case do.Merge(records):
                self._note_failure(self._records.merge(records))
            case do.Persist(cluster, incarnations, addresses):
                return self._persist(Stored(cluster, incarnations, addresses))
            case do.Dismissed():
                self.dismissed()
            case do.Say(level, text):
                self.log.emit(LogLevel.lookupByName(level), "{text}", text=text)
            case do.Hear(node, facts, asked_at):
                for listener in self.listeners:
                    listener(node, facts, asked_at)
        return None

    def _persist(self, stored: Stored) -> Deferred[None]:
        return self._state.save(stored).addErrback(
            lambda failure: self.log.failure("what this node remembers of its cluster was not written", failure)
        )

    def _note_failure(self, durable: Deferred[Any]) -> None:
        def failed(failure: Failure) -> None:
            failure.trap(TagfsError)
            self.log.warn("a member record was not written: {error}", error=failure.value)

        durable.addErrback(failed).addErrback(self._bug)

    def _bug(self, failure: Failure) -> None:
        self.log.failure("the cluster's driver failed", failure)

    def _ask(self, ask: do.Ask) -> None:
        begun, asked_at = self._seconds(), self._clock.seconds()

        def answered(answer: Answer) -> None:
            took = self._seconds() - begun
            self._happen(
                Answered(
                    ask.node, ask.verb, ask.words, answer.facts, unpack(answer.body), took, self._now_ms(), asked_at
                )
            )

        def failed(failure: Failure) -> None:
            failure.trap(TagfsError)
            error = failure.value
            assert isinstance(error, TagfsError)
            self._happen(Failed(ask.node, ask.verb, ask.words, error.wire, str(error), self._seconds() - begun))

        self._await(self._peers.ask(ask.node, call_of(ask), ask.timeout_s), answered, failed)

    def _meet(self, address: str) -> None:
        def met(greeting: Greeting) -> None:
            self._happen(Met(address, greeting.node, greeting.cluster))

        def missed(failure: Failure) -> None:
            failure.trap(TagfsError)
            self._happen(Missed(address, str(failure.value)))

        self._await(self._peers.meet(address, MEET_TIMEOUT_S), met, missed)

    def _await(self, answer: Deferred[Any], came: Callable[[Any], None], failed: Callable[[Failure], None]) -> None:
        self._asking.add(answer)

        def over(result: Any) -> Any:
            self._asking.discard(answer)
            return result

        def given_up(failure: Failure) -> None:
            failure.trap(CancelledError)

        # What an answer says wrongly (records that cannot be read) counts as a failure to answer.
        answer.addBoth(over).addCallback(came).addErrback(failed).addErrback(given_up).addErrback(self._bug)

    def _end(self, token: int, outcome: Answer | Failure) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None and not waiting.called:
            waiting.callback(outcome)  # a Failure goes to the errbacks


def call_of(ask: do.Ask) -> Call:
    return Call(ask.verb, ask.words, ask.facts, pack(ask.records))


_ERRORS = {
    kind.wire: kind
    for kind in reversed(list(vars(errors).values()))
    if isinstance(kind, type) and issubclass(kind, TagfsError)
}
