"""Answers that would be made again just as they were: the same question, by the same one, while nothing has changed. Layer: front.

The node says with :attr:`~tagfs.node.interfaces.INode.generation` whether anything has changed. What it does not count (who can be
reached, copies that are being made) is told at most :data:`FRESH_S` late.
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from tagfs.front.web.exchange import Exchange
from tagfs.front.web.parameters import Parameters
from tagfs.front.web.reply import Reply, pack, takes_gzip
from tagfs.front.web.routes import Route
from tagfs.model.principal import Principal
from tagfs.node.interfaces import INode

FRESH_S = 0.5
"""How long an answer is given again, in seconds."""
MOST_BYTES = 8 << 20
"""Bytes of all answers that are kept, and of the questions."""
LARGEST = 1 << 20
"""Bytes of one."""
_BESIDES = 512
"""Bytes that one takes besides, about."""

Key = tuple[Principal, str, bool]


@frozen
class _Kept:
    generation: int
    until_s: float
    body: bytes
    type: str
    headers: tuple[tuple[str, str], ...]
    size: int


class Answers:
    """The answers of one listener, the one kept last at the end."""

    def __init__(self, node: INode, clock: IReactorTime) -> None:
        self._node = node
        self._clock = clock
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._bytes = 0
        self._asked: dict[Key, list[Deferred[None]]] = {}  # who waits for an answer that is being made

    async def until_answered(self, key: Key) -> None:
        """Returns when nobody is making that answer (any more)."""
        waiting = self._asked.get(key)
        if waiting is not None:
            answered: Deferred[None] = Deferred()
            waiting.append(answered)
            await answered

    def begin(self, key: Key) -> None:
        """Somebody makes that answer; :meth:`end` follows."""
        self._asked.setdefault(key, [])

    def end(self, key: Key) -> None:
        """It was made, or not."""
        for answered in self._asked.pop(key, ()):
            answered.callback(None)

    def find(self, key: Key) -> Reply | None:
        """The answer, where it still holds."""
        kept = self._kept.get(key)
        if kept is None or kept.generation != self._node.generation or kept.until_s < self._clock.seconds():
            return None
        return Reply(200, kept.body, kept.type, list(kept.headers), packed=True)

    def keep(self, key: Key, generation: int, reply: Reply) -> None:
        """Keeps an answer that was asked for when the node had that generation; only where it still has."""
        size = len(reply.body) + len(key[1]) + _BESIDES
        if reply.status != 200 or size > LARGEST or generation != self._node.generation:
            return
        until_s = self._clock.seconds() + FRESH_S
        self._drop(self._kept.pop(key, None))
        self._kept[key] = _Kept(generation, until_s, reply.body, reply.type, tuple(reply.headers), size)
        self._bytes += size
        while self._bytes > MOST_BYTES:
            self._drop(self._kept.popitem(last=False)[1])

    def _drop(self, kept: _Kept | None) -> None:
        if kept is not None:
            self._bytes -= kept.size


async def answer(exchange: Exchange, route: Route) -> Reply:
    """What a route answers. Raises TagfsError or Refused."""
    query = exchange.target.partition("?")[2]
    if query and not route.for_people:
        exchange.query = Parameters(query, route.query, route.several)
    return await route.answer(exchange)


async def answer_kept(exchange: Exchange, route: Route) -> Reply:
    """What a route answers whose answers are ``lasting``, or answered a moment ago."""
    answers = exchange.door.answers
    accepts = exchange.header("accept-encoding")
    key = (exchange.principal, exchange.target, takes_gzip(accepts))
    reply = answers.find(key)
    for _ in range(
        2
    ):  # of many who ask the same at once, one costs the node something; twice, where a change came between
        if reply is None:
            await answers.until_answered(key)
            reply = answers.find(key)
    if reply is None:
        generation = exchange.node.generation
        answers.begin(key)
        try:
            reply = await answer(exchange, route)
            pack(reply, accepts)
            answers.keep(key, generation, reply)
        finally:
            answers.end(key)
    return reply
