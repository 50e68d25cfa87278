"""Server-sent events: what changed, to all who listen, with resume, in bounded memory."""

from __future__ import annotations

import json
import re
import socket

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from tagfs.errors import Unavailable
from tagfs.front.web import feed as feed_module
from tagfs.front.web.feed import Feed
from tagfs.model.principal import OWNER
from tagfs.model.query import parse
from tests.front.web_world import API, WebWorld, web

__all__ = ["web"]


def listen(sock: socket.socket, *until: str, last: str = "") -> str:
    """Reads events until the texts have come, in order; what came."""
    more = f"Last-Event-ID: {last}\r\n" if last else ""
    sock.sendall(f"GET {API}/events HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
    came = ""
    pattern = re.compile(".*".join(map(re.escape, until)), re.DOTALL)
    while not pattern.search(came):
        data = sock.recv(65536)
        assert data, came
        came += data.decode()
    return came


async def test_listener_hears_of_entries_and_nodes(web: WebWorld) -> None:
    """At once what is, then what changes, each with an id; a resumed listener hears only what is new."""
    await web.add("a")
    first = await web.wire(lambda sock: listen(sock, "event: entries", "event: nodes", "\n\n"))
    assert "Content-Type: text/event-stream" in first
    facts = [json.loads(text) for text in re.findall(r"^data: (.*)$", first, re.MULTILINE)]
    assert (facts[0]["entries"], facts[1]["nodes"][0]["state"]) == (1, "alive")
    last = re.findall(r"^id: (\S+)", first, re.MULTILINE)[-1]
    waiting = web.wire(lambda sock: listen(sock, "event: entries", "\n\n", last=last))
    await web.node.delete(OWNER, parse("name:a"))
    second = await waiting
    assert '"trash":1' in second and '"entries":1' not in second


async def test_a_listener_that_leaves_is_not_kept(web: WebWorld) -> None:
    """Its half of the connection is all that a listener can close: the stream ends then, rather than at a heartbeat."""

    def work(sock: socket.socket) -> bytes:
        listen(sock, "event: nodes", "\n\n")
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))

    await web.wire(work)
    assert web.factory.door.feed._listeners == 0


async def test_retagging_is_news(web: WebWorld) -> None:
    """A change that moves no figure but its own counter is heard of, too."""
    await web.add("a", "t")
    clock = Clock()
    feed = Feed(web.node, clock)
    feed.enter()
    _, number = feed.since(0)
    news = feed.news()
    clock.advance(feed_module.EVERY_S)
    assert not news.called and feed.since(number) == (b"", number)
    await web.node.retag(OWNER, parse("t"), ["u"], ["t"])
    clock.advance(feed_module.EVERY_S)
    assert news.called and b"event: entries" in feed.since(number)[0]
    feed.leave()
    assert not clock.getDelayedCalls()


async def test_state_is_kept_once_however_much_changes(web: WebWorld) -> None:
    """A listener that is slow gets the newest state, and nothing piles up for it."""
    clock = Clock()
    feed = Feed(web.node, clock)
    feed.enter()
    for number in range(20):
        await web.add(f"f{number}")
        clock.advance(feed_module.EVERY_S)
    text, _ = feed.since(0)
    assert text.count(b"event: entries") == 1 and b'"entries":20' in text
    assert feed.read_id("wrong-7") == feed.read_id("") == feed.read_id(None) == 0
    feed.leave()


async def test_too_many_listeners_are_refused(web: WebWorld) -> None:
    """One more than the bound is Unavailable; when one leaves, there is room."""
    feed = Feed(web.node, Clock())
    for _ in range(feed_module.MOST):
        feed.enter()
    try:
        feed.enter()
    except Unavailable:
        feed.leave()
        feed.enter()
    else:
        raise AssertionError("one too many was let in")


async def test_listeners_go_when_the_client_or_the_node_goes(web: WebWorld) -> None:
    """A client that closes is forgotten; close() ends the streams of the others in order; HEAD listens to nothing."""
    from tests.front.test_web_uploads import until

    feed = web.factory.door.feed
    await web.wire(lambda sock: listen(sock, "event: nodes"))
    await web.session(lambda client: client.ask("HEAD", f"{API}/events"))
    await until(lambda: not feed._listeners)

    def stay(sock: socket.socket) -> bytes:
        listen(sock, "event: nodes", "\n\n")
        return b"".join(iter(lambda: sock.recv(1000), b""))

    staying = [web.wire(stay) for _ in range(3)]
    await until(lambda: feed._listeners == 3)
    await until(lambda: len(feed._waiting) == 3)
    await Deferred.fromCoroutine(web.factory.close())
    assert all(end.endswith(b"0\r\n\r\n") for end in await gatherResults(staying))
    assert not feed._listeners and not feed._waiting
