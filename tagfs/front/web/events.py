"""/api/v1/events: server-sent events (WHATWG HTML, section 9.2), one stream per listener. Layer: front."""

from __future__ import annotations

from functools import partial

from tagfs.errors import Forbidden
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.feed import Feed, Place
from tagfs.front.web.outflow import Outflow, fire
from tagfs.front.web.reply import Reply
from tagfs.front.web.routes import Route
from tagfs.model.principal import Role

HEARTBEAT_S = 15.0
"""A listener that gets no event gets a comment so often: proxies and clients see that the stream lives."""


async def events(exchange: Exchange) -> Reply:
    """The stream of one listener."""
    exchange.principal.require(Role.READ, "listening to changes")
    if exchange.principal.confine:
        raise Forbidden("events tell of all files, and you may see some of them only")
    feed = exchange.door.feed
    place = feed.place(exchange.header("last-event-id"))
    feed.enter()

    async def stream(outflow: Outflow) -> None:
        try:
            await outflow.send(b"retry: 2000\n\n")
            await _tell(feed, exchange, outflow, place)
        finally:
            feed.leave()

    return Reply(200, type="text/event-stream", stream=stream, endless=True, abandon=feed.leave)


async def _tell(feed: Feed, exchange: Exchange, outflow: Outflow, place: Place) -> None:
    """Sends what is new until the listener leaves, loses the right to it, or the node stops."""
    while not feed.closed and not outflow.lost and exchange.current().role >= Role.READ:
        if text := feed.since(place):
            await outflow.send(text)
            continue
        news = feed.news()
        heartbeat = exchange.door.clock.callLater(HEARTBEAT_S, fire, news)
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
