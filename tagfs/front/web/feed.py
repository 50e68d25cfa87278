"""Changes as server-sent events (WHATWG HTML, section 9.2), for as many listeners as come, in bounded memory. Layer: front.

An event is always the whole present state of its kind, never a difference. So nothing has to be kept for a listener: one that is
slow, or comes back with ``Last-Event-ID``, gets the newest state of what changed since, and has missed nothing that still holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from tagfs.errors import Unavailable
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.outflow import Outflow, fire
from tagfs.front.web.reply import Reply
from tagfs.front.web.routes import Route
from tagfs.front.web.shapes import node_value
from tagfs.model.principal import Principal, Role
from tagfs.node.interfaces import INode

EVERY_S = 1.0
"""How often the node is asked, while somebody listens."""
HEARTBEAT_S = 15.0
"""A listener that gets no event gets a comment so often: proxies and clients see that the stream lives."""
MOST = 256
"""Listeners at a time."""
_READER = Principal("events", Role.READ)
"""Who asks for all listeners; each of them was let in by its own rights."""
_FIGURES = ("entries", "trash", "tags", "bytes", "changes")


class State(NamedTuple):
    """The present state of a kind of event; ``number`` says in what order states came up."""

    number: int
    data: bytes


class Feed:
    """Asks the node while there are listeners, and wakes them when something is new."""

    log = Logger()

    def __init__(self, node: INode, clock: IReactorTime) -> None:
        self._node = node
        self._clock = clock
        self._epoch = os.urandom(4).hex()
        self._states: dict[str, State] = {}
        self._number = 0
        self._listeners = 0
        self._waiting: set[Deferred[None]] = set()
        self._asking: IDelayedCall | None = None
        self.closed = False

    def enter(self) -> None:
        """A listener comes; :meth:`leave` follows. Raises Unavailable for one too many."""
        if self._listeners >= MOST or self.closed:
            raise Unavailable(f"{MOST} clients listen to events already; ask again from time to time instead")
        self._listeners += 1
        if self._listeners == 1:
            self._ask()

    def leave(self) -> None:
        """A listener goes."""
        self._listeners -= 1
        assert self._listeners >= 0
        if not self._listeners and self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def read_id(self, text: str | None) -> int:
        """The number of the last state that a listener has, from its ``Last-Event-ID``; 0 where that is not of this run."""
        epoch, _, number = (text or "").partition("-")
        return int(number) if epoch == self._epoch and number.isdecimal() and len(number) < 19 else 0

    def since(self, number: int) -> tuple[bytes, int]:
        """The events that a listener lacks that has all states up to ``number``, and the number after them."""
        newer = sorted((state, kind) for kind, state in self._states.items() if state.number > number)
        texts = [
            b"event: %s\nid: %s-%d\ndata: %s\n\n" % (kind.encode(), self._epoch.encode(), state.number, state.data)
            for state, kind in newer
        ]
        return b"".join(texts), newer[-1][0].number if newer else number

    def news(self) -> Deferred[None]:
        """Fires when there may be something new, or when the feed is closed; :meth:`forget` it then."""
        deferred: Deferred[None] = Deferred()
        self._waiting.add(deferred)
        return deferred

    def forget(self, news: Deferred[None]) -> None:
        """Nobody waits for it any more."""
        self._waiting.discard(news)

    def close(self) -> None:
        """Ends all streams."""
        self.closed = True
        self._wake()

    def _ask(self) -> None:
        self._asking = None
        Deferred.fromCoroutine(self._look()).addErrback(
            lambda failure: self.log.failure("the node could not be asked for news", failure)
        ).addBoth(self._ask_again)

    def _ask_again(self, _: object) -> None:
        if self._listeners and not self.closed and self._asking is None:
            self._asking = self._clock.callLater(EVERY_S, self._ask)

    async def _look(self) -> None:
        figures = self._node.statistics()
        nodes = [node_value(status) for status in await self._node.nodes(_READER)]
        known = {name: figures[name] for name in _FIGURES if name in figures}
        fresh = [self._differs("entries", known), self._differs("nodes", {"nodes": nodes})]
        if any(fresh):
            self._wake()

    def _differs(self, kind: str, value: Mapping[str, object]) -> bool:
        data = orjson.dumps(value)
        known = self._states.get(kind)
        if known is not None and known.data == data:
            return False
        self._number += 1
        self._states[kind] = State(self._number, data)
        return True

    def _wake(self) -> None:
        for deferred in list(self._waiting):
            fire(deferred)


async def events(exchange: Exchange) -> Reply:
    """The stream of one listener."""
    exchange.principal.require(Role.READ, "listening to changes")
    feed = exchange.door.feed
    number = feed.read_id(exchange.header("last-event-id"))
    feed.enter()

    def may_listen() -> bool:
        return exchange.current().role >= Role.READ

    async def stream(outflow: Outflow) -> None:
        try:
            await outflow.send(b"retry: 2000\n\n")
            await _tell(feed, exchange.door.clock, outflow, number, may_listen)
        finally:
            feed.leave()

    return Reply(200, type="text/event-stream", stream=stream, endless=True, abandon=feed.leave)


async def _tell(feed: Feed, clock: IReactorTime, outflow: Outflow, number: int, may_listen: Callable[[], bool]) -> None:
    """Sends what is new until the listener leaves, loses the right to it, or the node stops."""
    while not feed.closed and not outflow.lost and may_listen():
        text, number = feed.since(number)
        if text:
            await outflow.send(text)
            continue
        news = feed.news()
        heartbeat = clock.callLater(HEARTBEAT_S, fire, news)
        outflow.when_cut = partial(fire, news)
        try:
            await news
        finally:
            feed.forget(news)
        if heartbeat.active():
            heartbeat.cancel()
        elif not feed.closed:
            await outflow.send(b": still here\n\n")


ROUTES = (Route("GET", "/api/v1/events", events),)
