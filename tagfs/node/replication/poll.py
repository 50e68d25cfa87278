"""What others have: asked for once a second, so that every answer can tell whether it is complete, and gaps are noticed. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from tagfs.errors import TagfsError
from tagfs.node.core import Core
from tagfs.node.peers.interfaces import Caller, IPeers
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_records import Vector, pack_vector, unpack_vector, vector_hash

POLL_S = 1.0
"""Seconds between two questions to one peer."""
POLL_TIMEOUT_S = 2.0
AGAIN_S = 0.2
"""Seconds after which who did not answer is asked again."""


class Poll:
    """Asks each live peer for its vector, at once and then every :data:`POLL_S`. A vector that is as it was is not sent again."""

    log = Logger()

    def __init__(self, peers: IPeers, clock: IReactorTime, heard: Callable[[str, float, Vector], None]) -> None:
        """``heard`` is told who had what at which time (seconds of the clock), or a little later."""
        self._peers = peers
        self._clock = clock
        self._heard = heard
        self._alive: set[str] = set()
        self._known: dict[str, tuple[str, Vector]] = {}
        self._next: dict[str, IDelayedCall] = {}
        self._asking: dict[str, Deferred[Any]] = {}

    def look(self, alive: Iterable[str]) -> None:
        """These can be asked from now on, and only these."""
        self._alive = set(alive)
        for node in set(self._next).difference(self._alive):
            self._next.pop(node).cancel()
        for node in set(self._known).difference(self._alive):
            del self._known[node]
        for node in self._alive.difference(self._next, self._asking):
            self._ask(node)

    def stop(self) -> None:
        """Asks nobody any more."""
        self.look(())
        for asking in list(self._asking.values()):
            asking.cancel()

    def _ask(self, node: str) -> None:
        self._next.pop(node, None)
        asked_at = self._clock.seconds()
        known, vector = self._known.get(node, ("", {}))
        asking = self._peers.ask(node, Call("VECTOR", facts={"known": known} if known else {}), POLL_TIMEOUT_S)
        done: Deferred[Any] = asking.addCallback(self._take, node, vector, asked_at)
        self._asking[node] = done
        done.addCallbacks(lambda _: asked_at + POLL_S, lambda failure: self._fail(failure, node))
        done.addCallback(self._plan, node)

    def _take(self, answer: Answer, node: str, vector: Vector, asked_at: float) -> None:
        if not answer.facts.get("same"):
            vector = unpack_vector(answer.body)
            self._known[node] = vector_hash(answer.body), vector
        self._heard(node, asked_at, vector)

    def _fail(self, failure: Failure, node: str) -> float:
        if not failure.check(TagfsError) and node in self._alive:
            self.log.failure("{node} could not be asked what it has", failure, node=node)
        return self._clock.seconds() + AGAIN_S

    def _plan(self, at: float, node: str) -> None:
        self._asking.pop(node, None)
        if node in self._alive:
            self._next[node] = self._clock.callLater(max(0, at - self._clock.seconds()), self._ask, node)


async def serve_vector(core: Core, caller: Caller, call: Call) -> Answer:
    """VECTOR: what is durable here; nothing but that it is the same, where its hash is what the caller knows."""
    body = pack_vector(core.catalog.vector())
    if call.facts.get("known") == vector_hash(body):
        return Answer({"same": "1"})
    return Answer(body=body)


def ask_vector(peers: IPeers, node: str, timeout_s: float) -> Deferred[Vector]:
    """What a node has now."""
    return peers.ask(node, Call("VECTOR"), timeout_s).addCallback(lambda answer: unpack_vector(answer.body))
