"""Server-sent events: what changed, to all who listen, with resume, in bounded memory."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from tagfs.errors import Corrupt, Unavailable
from tagfs.front.web import feed as feed_module
from tagfs.front.web import recent as recent_module
from tagfs.front.web.feed import Feed, Place
from tagfs.front.web.recent import Recent, State
from tagfs.model.principal import OWNER, Principal, Role
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
    place = feed.place(None)
    feed.since(place)
    news = feed.news()
    clock.advance(feed_module.EVERY_S)
    assert not news.called and feed.since(place) == b""
    await web.node.retag(OWNER, parse("t"), ["u"], ["t"])
    clock.advance(feed_module.EVERY_S)
    assert news.called and b"event: entries" in feed.since(place)
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
    text = feed.since(feed.place(None))
    assert text.count(b"event: entries") == 1 and b'"entries":20' in text
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
        began = listen(sock, "event: nodes", "\n\n")  # the end may have come with it, where this thread is late
        return began.encode() + b"".join(iter(lambda: sock.recv(1000), b""))

    staying = [web.wire(stay) for _ in range(3)]
    await until(lambda: feed._listeners == 3)
    await until(lambda: len(feed._waiting) == 3)
    await Deferred.fromCoroutine(web.factory.close())
    ends = await gatherResults(staying)
    assert all(end.endswith(b"0\r\n\r\n") for end in ends), ends
    assert not feed._listeners and not feed._waiting


def told(text: bytes | str) -> list[tuple[str, str, Any]]:
    """Kind, id and data of each event in a piece of a stream."""
    text = text if isinstance(text, str) else text.decode()
    return [
        (kind, number, json.loads(data))
        for kind, number, data in re.findall(r"event: (.*)\nid: (.*)\ndata: (.*)\n\n", text)
    ]


def states(text: bytes) -> list[tuple[str, str]]:
    """Name or id, and state, of the entries told."""
    return [
        (value["entry"]["name"] if value["entry"] else value["id"], value["state"])
        for kind, _, value in told(text)
        if kind == "entry"
    ]


@define
class Listening:
    """A feed on a clock of its own, with a listener."""

    web: WebWorld
    clock: Clock
    feed: Feed
    place: Place

    def hear(self) -> bytes:
        """What comes of what was just done."""
        self.clock.advance(feed_module.SOON_S)
        return b"".join(iter(lambda: self.feed.since(self.place), b""))


@pytest.fixture
def listening(web: WebWorld) -> Iterator[Listening]:
    clock = Clock()
    feed = Feed(web.node, clock)
    feed.enter()
    made = Listening(web, clock, feed, feed.place(None))
    made.hear()
    yield made
    feed.leave()
    feed.close()
    assert not clock.getDelayedCalls() and not web.core.listeners


async def test_each_changed_entry_is_told_with_its_present_state(web: WebWorld, listening: Listening) -> None:
    """Stored, renamed, moved to the trash, gone for ever: soon after it happened, whoever did it, each in the newest state only."""
    identifier = await web.add("a", "t")
    await web.add("b")
    first = listening.hear()
    assert states(first) == [("a", "live"), ("b", "live")]
    ((_, _, value), *_) = [each for each in told(first) if each[0] == "entry"]
    assert value["id"] == identifier and value["entry"]["tags"] == ["t"] and value["entry"]["digest"]
    await web.node.rename(OWNER, identifier, "c")
    await web.node.delete(OWNER, parse("name:c"))
    assert states(listening.hear()) == [("c", "trash")]
    await web.node.purge(OWNER, parse("name:c"))
    assert states(listening.hear()) == [(identifier, "gone")]
    assert listening.hear() == b""


async def test_who_comes_back_is_told_what_it_missed(web: WebWorld, listening: Listening) -> None:
    """By its last id: each entry that changed since, once; who comes for the first time hears of no entry before it changes."""
    await web.add("a")
    last = told(listening.hear())[-1][1]
    await web.add("b")
    await web.node.retag(OWNER, parse("name:a"), ["t"], [])
    listening.feed.leave()  # nobody listens for a while
    await web.add("c")
    listening.feed.enter()
    listening.clock.advance(0)
    assert sorted(states(listening.feed.since(listening.feed.place(last)))) == [
        ("a", "live"),
        ("b", "live"),
        ("c", "live"),
    ]
    fresh = listening.feed.since(listening.feed.place(None))
    assert [kind for kind, _, _ in told(fresh)] == ["entries", "nodes"] or states(fresh) == []
    assert states(listening.feed.since(listening.feed.place(told(fresh)[-1][1]))) == []


@pytest.mark.parametrize("last", ["", "x", "0-7", "deadbeef-3", "deadbeef-", "deadbeef-" + "9" * 30])
async def test_an_id_of_another_run_is_told_that_something_is_missing(listening: Listening, last: str) -> None:
    """A node that was started again remembers nothing: the listener is told once, and gets the present states."""
    place = listening.feed.place(last)
    kinds = [kind for kind, _, _ in told(listening.feed.since(place))]
    assert sorted(kinds) == ["entries", "nodes", "reset"]
    assert listening.feed.since(place) == b""


async def test_too_many_changes_are_told_as_that(
    web: WebWorld, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than is remembered, at once or while a listener was away: ``reset``, never a gap that nobody sees; memory is bounded."""
    monkeypatch.setattr(feed_module, "MOST_PENDING", 5)
    monkeypatch.setattr(recent_module, "MOST", 5)
    for number in range(6):
        await web.add(f"f{number}")
    heard = told(listening.hear())
    assert "reset" in [kind for kind, _, _ in heard] and "entry" not in [kind for kind, _, _ in heard]
    away = Place(listening.place.states, listening.place.entries)
    for number in range(6):
        await web.add(f"g{number}")
        assert states(listening.hear()) == [(f"g{number}", "live")]
    assert len(listening.feed._recent) == 5
    kinds = [kind for kind, _, _ in told(listening.feed.since(away))]
    assert kinds.count("reset") == 1 and kinds.count("entry") == 5


async def test_a_slow_listener_is_sent_pieces(
    web: WebWorld, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is new, what is made for one listener at a time is bounded, and the next piece goes on where it ended."""
    monkeypatch.setattr(feed_module, "PIECE", 500)
    for number in range(10):
        await web.add(f"f{number}")
    listening.clock.advance(feed_module.SOON_S)
    pieces = [*iter(lambda: listening.feed.since(listening.place), b"")]
    assert len(pieces) > 3 and max(map(len, pieces)) < 1500
    assert states(b"".join(pieces)) == [(f"f{number}", "live") for number in range(10)]


async def test_what_could_not_be_asked_for_is_told_as_missing(
    web: WebWorld, listening: Listening, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Any
) -> None:
    """A store that fails while entries are looked up leaves no gap behind."""

    async def broken(*_: object, **__: object) -> None:
        raise Corrupt("the disk is broken")

    await web.add("a")
    with monkeypatch.context() as patch:
        patch.setattr(web.node, "find", broken)
        listening.clock.advance(feed_module.SOON_S)
    assert len(flush_logged_errors(Corrupt)) == 1
    listening.clock.advance(feed_module.EVERY_S)
    assert "reset" in [kind for kind, _, _ in told(listening.feed.since(listening.place))]


def test_recent_states_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large states push old ones out, and what is pushed out counts as lost."""
    monkeypatch.setattr(recent_module, "MOST_BYTES", 100)
    recent = Recent()
    for number in range(1, 6):
        recent.tell(str(number), State(number, b"x" * 40))
    assert [state.number for state in recent.since(0)] == [4, 5] and recent.lost == 3
    recent.tell("4", State(6, b"y"))
    assert [state.number for state in recent.since(4)] == [5, 6]


async def test_who_may_see_some_files_only_gets_no_events(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events tell of all entries: a confined principal is refused rather than told too much."""
    confined = Principal("ann", Role.READ, confine="t")
    monkeypatch.setattr(web.node, "anonymous", lambda: confined)
    answer = await web.session(lambda client: client.get(f"{API}/events"))
    assert answer.status == 403
