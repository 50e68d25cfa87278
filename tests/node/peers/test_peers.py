"""Nodes over real sockets: met, asked, kept, dropped; with TLS and without."""

from __future__ import annotations

import time

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from zope.interface.verify import verifyObject

from tagfs.errors import (
    BadRequest,
    Conflict,
    Corrupt,
    Forbidden,
    NotFound,
    StorageFull,
    TagfsError,
    TooLarge,
    Unavailable,
)
from tagfs.node.peers import limits
from tagfs.node.peers.interfaces import Caller, Greeting, IPeers
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call
from tests.node.peers.peer_world import World, failure_of, identity


async def test_two_nodes_meet(world: World) -> None:
    """Who is met says who it is, can be asked, and knows who asks."""
    a, b = world.peers(1, cluster=lambda: "c1"), world.peers(2, address=lambda: "192.0.2.7:4747")
    verifyObject(IPeers, a)
    greeting = await b.meet(world.addresses[a])
    assert greeting == Greeting(identity(1).id, "name1", "c1", "boot1")
    assert list(b.connected()) == [a.id] and not a.connected()
    answer = await b.ask(a.id, Call("WHO"))
    assert answer.facts == {"node": b.id, "boot": "boot2", "address": "192.0.2.7:4747"}


async def test_everything_arrives_as_it_was(world: World) -> None:
    """Words, facts, rows and bodies of any bytes, up to the bounds."""
    a, b = world.peers(1), world.peers(2)
    await b.meet(world.addresses[a])
    strange = ("a b", "k=v", "{7}", "%41", "\t\n\r\0", "ä→\udcff", "-")
    for body in (b"", b"x", b"\n" * 1000, bytes(range(256)) * 4096):
        assert len(body) <= BODY_LIMIT
        answer = await b.ask(a.id, Call("ECHO", strange, {"key =": "value =%", "empty": ""}, body))
        assert answer == Answer({"key =": "value =%", "empty": ""}, strange, body)


async def test_answers_may_overtake_each_other(world: World) -> None:
    """A request that takes long holds up no other."""
    a, b = world.peers(1), world.peers(2)
    gate: Deferred[None] = Deferred()

    async def wait(caller: Caller, call: Call) -> Answer:
        await gate
        return Answer(partial=True)

    a.serve("WAIT", wait)
    await b.meet(world.addresses[a])
    slow = b.ask(a.id, Call("WAIT"))
    await gatherResults([b.ask(a.id, Call("ECHO", (str(number),))) for number in range(200)])
    assert not slow.called
    gate.callback(None)
    assert (await slow).partial


@pytest.mark.parametrize(
    "kind", [BadRequest, NotFound, Forbidden, Conflict, TooLarge, StorageFull, Unavailable, Corrupt]
)
async def test_errors_keep_type_and_text(world: World, kind: type[TagfsError]) -> None:
    """What a service raises is what the asking side gets."""
    a, b = world.peers(1), world.peers(2)

    async def refuse(caller: Caller, call: Call) -> Answer:
        raise kind("it is 100 %\nsad")

    a.serve("REFUSE", refuse)
    await b.meet(world.addresses[a])
    error = await failure_of(b.ask(a.id, Call("REFUSE")))
    assert (type(error), str(error)) == (kind, "it is 100 %\nsad")


async def test_unknown_verbs_and_bugs(world: World, flush_logged_errors: object) -> None:
    """Both are answered, and the connection stays."""
    a, b = world.peers(1), world.peers(2)

    async def break_down(caller: Caller, call: Call) -> Answer:
        raise ZeroDivisionError("secret")

    a.serve("BREAK", break_down)
    await b.meet(world.addresses[a])
    assert "unknown verb NONSENSE" in str(await failure_of(b.ask(a.id, Call("NONSENSE"))))
    error = await failure_of(b.ask(a.id, Call("BREAK")))
    assert isinstance(error, TagfsError) and "secret" not in str(error)
    assert await b.ask(a.id, Call("ECHO"))
    assert len(flush_logged_errors(ZeroDivisionError)) == 1  # type: ignore[operator]


async def test_time_is_over(world: World) -> None:
    """Who waits too long is told, and so is nobody who gave up; later answers are dropped."""
    a, b = world.peers(1), world.peers(2)
    gate: Deferred[None] = Deferred()

    async def wait(caller: Caller, call: Call) -> Answer:
        await gate
        return Answer()

    a.serve("WAIT", wait)
    await b.meet(world.addresses[a])
    error = await failure_of(b.ask(a.id, Call("WAIT"), 0.05))
    assert isinstance(error, Unavailable) and "in time" in str(error)
    given_up = b.ask(a.id, Call("WAIT"))
    given_up.cancel()
    assert isinstance(await failure_of(given_up), CancelledError)
    gate.callback(None)
    assert await b.ask(a.id, Call("ECHO"))


async def test_nobody_there(world: World) -> None:
    """Asking whom one has no connection to, or dialling where nobody listens, fails and says so."""
    a = world.peers(1)
    assert "no connection" in str(await failure_of(a.ask("nobody", Call("ECHO"))))
    error = await failure_of(a.meet("127.0.0.1:1"))
    assert (type(error), str(error)) == (Unavailable, "127.0.0.1:1: Connection refused")
    assert isinstance(await failure_of(a.meet("nonsense")), Unavailable)
    assert isinstance(await failure_of(a.meet("x..invalid:1", 2)), Unavailable)


async def test_a_kept_connection_comes_again(world: World) -> None:
    """Kept before the node is there, it comes up with it; when it is lost, it is dialled again; dropped, it is gone."""
    a = world.peers(1)
    told: list[tuple[str, bool]] = []
    b = world.peers(2)
    b.watch(lambda node, up: told.append((node, up)))
    b.keep(a.id, ["127.0.0.1:1", world.addresses[a]])
    assert (await b.ask(a.id, Call("WHO"))).facts["node"] == b.id
    a.drop(b.id)
    await world.until(lambda: len(told) >= 3)
    assert told == [(a.id, True), (a.id, False), (a.id, True)]
    b.drop(a.id)
    b.drop(a.id)
    assert told[3:] == [(a.id, False)] and not b.connected()
    assert isinstance(await failure_of(b.ask(a.id, Call("WHO"))), Unavailable)


async def test_who_is_known_to_be_away_is_not_waited_for(world: World) -> None:
    """After a round of dialling failed, questions fail at once, with its reason."""
    b = world.peers(2)
    b.keep("away", ["127.0.0.1:1"])
    await failure_of(b.ask("away", Call("WHO")))
    error = b.ask("away", Call("WHO"))
    assert error.called
    assert "cannot be reached: 127.0.0.1:1" in str(await failure_of(error))


@pytest.mark.parametrize("host", ["localhost", "::1"])
async def test_names_and_ipv6(world: World, host: str) -> None:
    """A node is reached by a name, and by an IPv6 address."""
    a, b = world.peers(1), world.peers(2)
    port = int(world.addresses[a].rpartition(":")[2])
    if host == "::1":
        listening = world.reactor.listenTCP(0, a.door, interface="::1")
        world.ports.append(listening)
        port = listening.getHost().port
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    assert (await b.meet(address)).node == a.id
    b.keep(a.id, [address])
    caller = (await b.ask(a.id, Call("WHO"))).facts["address"]
    assert caller.startswith("[::1]:" if host == "::1" else "127.0.0.1:")


async def test_a_node_that_stood_still_blames_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stall of its own, what came meanwhile is read before a connection is given up."""
    monkeypatch.setattr(limits, "DEAF_S", 0.2)
    monkeypatch.setattr(limits, "STALLED_S", 0.1)
    a, b = world.peers(1), world.peers(2)

    async def never(caller: Caller, call: Call) -> Answer:
        await Deferred()
        return Answer()

    a.serve("NEVER", never)
    await b.meet(world.addresses[a])
    told: list[bool] = []
    b.watch(lambda node, up: told.append(up))
    asked = b.ask(a.id, Call("NEVER"), 0.05)
    time.sleep(0.5)  # noqa: ASYNC251 - the whole node stands still
    assert isinstance(await failure_of(asked), Unavailable)
    assert await b.ask(a.id, Call("ECHO"))
    assert told == []


async def test_who_says_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody takes the connection and never greets: it is given up, or given up on."""
    monkeypatch.setattr(limits, "GREET_S", 0.2)
    mute = Factory.forProtocol(Protocol)
    mute.noisy = False
    listening = world.reactor.listenTCP(0, mute, interface="127.0.0.1")
    world.ports.append(listening)
    address = f"127.0.0.1:{listening.getHost().port}"
    b = world.peers(2)
    assert "does not prove itself in time" in str(await failure_of(b.meet(address)))
    meeting = b.meet(address)
    meeting.cancel()
    assert isinstance(await failure_of(meeting), CancelledError)
    b.keep("somebody", [address])
    waiting = b.ask("somebody", Call("WHO"))
    await world.until(lambda: waiting.called)
    assert isinstance(await failure_of(waiting), Unavailable)
    going = b.meet(address)
    await b.close()
    assert isinstance(await failure_of(going), CancelledError)
    assert "stopping" in str(await failure_of(b.meet(address)))


async def test_busy_is_unavailable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the other end takes less than this one asks."""
    monkeypatch.setattr(limits, "RUNNING", 1)
    monkeypatch.setattr(limits, "WAITING", 1)
    a, b = world.peers(1), world.peers(2)
    gate: Deferred[None] = Deferred()

    async def wait(caller: Caller, call: Call) -> Answer:
        await gate
        return Answer()

    a.serve("WAIT", wait)
    await b.meet(world.addresses[a])
    asked = [b.ask(a.id, Call("WAIT")) for _ in range(2)]
    error = await failure_of(b.ask(a.id, Call("WAIT")))
    assert isinstance(error, Unavailable) and "is busy" in str(error)
    gate.callback(None)
    await gatherResults(asked)
