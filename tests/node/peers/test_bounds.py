"""Slow, silent and greedy peers: memory stays bounded, others are served, and dead connections end."""

from __future__ import annotations

import re
import socket

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tagfs.errors import Unavailable
from tagfs.node.peers import limits
from tagfs.node.peers.interfaces import Caller
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call
from tests.node.peers.peer_world import World, by_hand, failure_of, identity
from tests.node.peers.relay import Relay

plain_only = pytest.mark.parametrize("tls", [False], ids=["plain"])
PIECE = bytes(BODY_LIMIT)


def gated(world: World, number: int) -> tuple[object, Deferred[None], list[str]]:
    """A node whose verbs SLOW and PING answer as told: the gate, and what was begun."""
    peers = world.peers(number)
    gate: Deferred[None] = Deferred()
    begun: list[str] = []

    async def slow(caller: Caller, call: Call) -> Answer:
        begun.append(call.verb)
        await gate
        return Answer()

    peers.serve("SLOW", slow)
    return peers, gate, begun


@plain_only
async def test_answers_that_nobody_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for much and reads nothing makes the node hold some MiB and no more, and is cut off."""
    monkeypatch.setattr(limits, "STALL_S", 0.4)
    a = world.peers(1)
    given: list[int] = []

    async def piece(caller: Caller, call: Call) -> Answer:
        given.append(len(PIECE))
        return Answer(body=PIECE)

    a.serve("GET", piece, by_hand=True)
    hand = await by_hand(world, world.addresses[a])
    hand.transport.pauseProducing()  # type: ignore[attr-defined]
    hand.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # type: ignore[attr-defined]
    hand.transport.write(b"".join(b"%d GET\n" % number for number in range(5000)))
    (inbound,) = a._door._members
    await world.until(lambda: inbound._full_since_s is not None)
    await deferLater(world.reactor, 0.1)
    assert inbound._out.bytes <= limits.START_BELOW + limits.RUNNING * BODY_LIMIT
    assert sum(given) <= limits.UNSENT_LIMIT
    assert (await other(world).meet(world.addresses[a])).node == a.id
    await world.until(lambda: inbound not in a._door._members)
    assert sum(given) <= limits.UNSENT_LIMIT
    hand.transport.abortConnection()  # type: ignore[attr-defined]


def other(world: World) -> object:
    """Some other node."""
    return world.peers(5)


@plain_only
async def test_small_answers_that_nobody_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do answers that cost no work pile up: over a bound, nothing is read."""
    monkeypatch.setattr(limits, "UNSENT_LIMIT", 1 << 16)
    a = world.peers(1)
    hand = await by_hand(world, world.addresses[a])
    hand.transport.pauseProducing()  # type: ignore[attr-defined]
    hand.transport.write(b"- HELP\n" * 20_000)
    (inbound,) = a._door._members
    await world.until(lambda: not inbound._reading)
    assert inbound._out.bytes < (1 << 16) + 10_000
    hand.transport.resumeProducing()  # type: ignore[attr-defined]
    await world.until(lambda: hand.heard.count(b"- OK\n") == 20_000)
    hand.transport.abortConnection()  # type: ignore[attr-defined]


async def test_too_much_work_is_busy(world: World) -> None:
    """Of one verb so many are worked on and so many wait; other verbs are served meanwhile."""
    a, gate, begun = gated(world, 1)
    b = world.peers(2)
    await b.meet(world.addresses[a])
    asked = [b.ask(a.id, Call("SLOW")) for _ in range(limits.ASKED)]
    assert (await b.ask(a.id, Call("ECHO", ("x",)))).rows == ("x",)
    await world.until(lambda: len(begun) == limits.RUNNING)
    more = [b.ask(a.id, Call("SLOW")) for _ in range(limits.ASKED_QUEUE)]
    error = await failure_of(b.ask(a.id, Call("SLOW")))
    assert isinstance(error, Unavailable) and "too much is asked" in str(error)
    assert len(begun) == limits.RUNNING
    gate.callback(None)
    await gatherResults([*asked, *more])


@plain_only
async def test_busy(world: World) -> None:
    """Who does not keep to the bounds himself is told BUSY, and the connection stays."""
    a, gate, _ = gated(world, 1)
    hand = await by_hand(world, world.addresses[a], identity(2).id)
    total = limits.RUNNING + limits.WAITING + 10
    hand.transport.write(b"".join(b"%d SLOW\n" % number for number in range(total)))
    await world.until(lambda: hand.heard.count(b" BUSY ") == 10)
    gate.callback(None)
    await world.until(lambda: hand.heard.count(b"OK") == total - 10)
    hand.transport.abortConnection()  # type: ignore[attr-defined]


async def test_bodies_under_way_are_bounded(world: World) -> None:
    """So many bytes of bodies are on the way, so many wait, and more fail at once."""
    a, gate, _ = gated(world, 1)
    b = world.peers(2)
    await b.meet(world.addresses[a])
    asked = [b.ask(a.id, Call("SLOW", body=PIECE)) for _ in range(2 * limits.ASKED_BYTES // BODY_LIMIT)]
    assert isinstance(await failure_of(b.ask(a.id, Call("SLOW", body=PIECE))), Unavailable)
    gate.callback(None)
    await gatherResults(asked)


async def test_urgent_goes_first(world: World) -> None:
    """A PING overtakes what waits, both ways."""
    a, b = world.peers(1), world.peers(2)
    order: list[str] = []

    async def note(caller: Caller, call: Call) -> Answer:
        order.append(call.verb)
        return Answer(body=call.body)

    a.serve("PUT", note)
    a.serve("PING", note)
    await b.meet(world.addresses[a])
    puts = [b.ask(a.id, Call("PUT", body=PIECE)) for _ in range(30)]
    await b.ask(a.id, Call("PING"))
    done = sum(put.called for put in puts)
    assert done < 15, done
    await gatherResults(puts)
    assert order.index("PING") < 15


async def test_verbs_do_not_starve_each_other(world: World) -> None:
    """Requests that wait for requests of another verb, at both nodes at a time, get through."""
    a, b = world.peers(1), world.peers(2)
    await b.meet(world.addresses[a])
    await a.meet(world.addresses[b])
    for own, there in ((a, b), (b, a)):

        async def fetch(caller: Caller, call: Call, own: object = own, there: object = there) -> Answer:
            return await own.ask(there.id, Call("ECHO", body=call.body))  # type: ignore[attr-defined]

        own.serve("FETCH", fetch)
    asked = [one.ask(two.id, Call("FETCH", body=b"x")) for one, two in ((a, b), (b, a)) for _ in range(500)]
    assert all(answer.body == b"x" for answer in await gatherResults(asked))


async def test_a_deaf_node_is_dialled_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection over which nothing comes any more, though nobody closed it, is given up."""
    monkeypatch.setattr(limits, "DEAF_S", 0.3)
    monkeypatch.setattr(limits, "GREET_S", 1.0)
    a, b = world.peers(1), world.peers(2)
    hole = [False]
    between = Relay(world.reactor, world.addresses[a], None, lambda side, data: b"" if hole[0] else data)
    told: list[bool] = []
    b.watch(lambda node, up: told.append(up))
    b.keep(a.id, [between.address])
    assert await b.ask(a.id, Call("ECHO"))
    hole[0] = True
    while told == [True]:
        await failure_of(b.ask(a.id, Call("ECHO"), 0.2))
    assert told[:2] == [True, False]
    hole[0] = False
    await world.until(lambda: told[-1])
    assert await b.ask(a.id, Call("ECHO"))
    await between.close()


async def test_slow_answers_are_not_deafness(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as anything comes, the connection stays, whatever takes its time."""
    monkeypatch.setattr(limits, "DEAF_S", 0.8)
    monkeypatch.setattr(limits, "STALLED_S", 0.3)
    a, gate, _ = gated(world, 1)
    b = world.peers(2)
    await b.meet(world.addresses[a])
    for _ in range(10):
        slow = b.ask(a.id, Call("SLOW"), 0.1)
        await b.ask(a.id, Call("ECHO"))
        await failure_of(slow)
    assert a.id in b.connected()
    gate.callback(None)


async def test_who_dials_in_is_dialled_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that comes back is not waited for until the pause is over."""
    monkeypatch.setattr(limits, "PAUSE_S", 1000.0)
    monkeypatch.setattr(limits, "LONGEST_PAUSE_S", 1000.0)
    a, b = world.peers(1), world.peers(2)
    port = world.ports[-1]
    address = world.addresses[b]
    await port.stopListening()
    a.keep(b.id, [address])
    await world.until(lambda: a._links[b.id]._pause is not None)
    world.listen(b, int(address.rpartition(":")[2]))
    await b.meet(world.addresses[a])
    await world.until(lambda: b.id in a.connected())


async def test_a_node_gets_so_many_connections(world: World) -> None:
    """One process that connects again and again takes no more than its share."""
    a = world.peers(1)
    many = [world.peers(2) for _ in range(limits.CONNECTIONS_PER_NODE + 1)]
    for peers in many[:-1]:
        await peers.meet(world.addresses[a])
    assert "too many connections" in str(await failure_of(many[-1].meet(world.addresses[a])))


@plain_only
async def test_half_closed(world: World) -> None:
    """Who sends all and closes his side (nc -N) still gets all answers."""
    a = world.peers(1)

    async def later(caller: Caller, call: Call) -> Answer:
        await deferLater(world.reactor, 0.05)
        return Answer({"at": "last"}, ("a row",))

    a.serve("LATER", later, by_hand=True)
    hand = await by_hand(world, world.addresses[a])
    hand.transport.write(b"1 LATER\n2 PING\n3 LATER {3}\nabc")
    hand.transport.loseWriteConnection()  # type: ignore[attr-defined]
    await world.until(lambda: hand.gone)
    assert sorted(hand.heard.splitlines()) == [
        b"1 OK at=last",
        b"1 ROW a row",
        b"2 OK",
        b"3 OK at=last",
        b"3 ROW a row",
    ]


@plain_only
async def test_quit_comes_last(world: World) -> None:
    """What was asked before QUIT is answered before it."""
    a, gate, begun = gated(world, 1)
    hand = await by_hand(world, world.addresses[a], identity(2).id)
    hand.transport.write(b"1 SLOW\n2 QUIT\n3 PING\n")
    await world.until(lambda: begun)
    assert hand.heard == b""
    gate.callback(None)
    await world.until(lambda: hand.gone)
    assert hand.heard == b"1 OK\n2 OK\n"


@plain_only
async def test_by_hand(world: World) -> None:
    """People get what is for people, and HELP tells what there is."""
    a = world.peers(1)
    hand = await by_hand(world, world.addresses[a])
    hand.transport.write(b"1 WHO\n2 ECHO x\n3 AUTH node=- nonce=0 proof=0\n4 HELP\n5 QUIT\n")
    await world.until(lambda: hand.gone)
    lines = hand.heard.decode().splitlines()
    assert re.fullmatch(r"1 OK node= boot= address=127\.0\.0\.1:\d+", lines[0])
    assert lines[1].startswith("2 NO forbidden ") and lines[2].startswith("3 BAD ")
    assert {"4 ROW ECHO", "4 ROW WHO", "5 OK"} <= set(lines)


async def test_an_answer_over_a_bound(world: World, flush_logged_errors: object) -> None:
    """It is not sent; who asked is told."""
    a, b = world.peers(1), world.peers(2)

    async def much(caller: Caller, call: Call) -> Answer:
        return Answer({}, ("x" * 9000,))

    a.serve("MUCH", much)
    await b.meet(world.addresses[a])
    assert "at most 8192 bytes" in str(await failure_of(b.ask(a.id, Call("MUCH"))))
    assert "at most 8192 bytes" in str(await failure_of(b.ask(a.id, Call("ECHO", ("x" * 9000,)))))
    assert await b.ask(a.id, Call("ECHO"))
