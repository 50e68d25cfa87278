"""What every way between nodes promises (:mod:`tagfs.node.peers.interfaces`): one suite, run on sockets and on the simulator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from tagfs.errors import Conflict, NotFound, TagfsError, Unavailable
from tagfs.node.peers.interfaces import Caller, Greeting, IPeers
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call


class Nodes(ABC):
    """Nodes of one network."""

    @abstractmethod
    def make(self, number: int) -> tuple[Any, str]:
        """Node ``number``, in cluster ``c``, named ``name<number>``, in its run ``boot<number>``; and its address."""

    @abstractmethod
    async def until(self, condition: Callable[[], object]) -> None:
        """Lets time pass until something holds."""

    async def outcome(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred comes to: its result, or its error as a value."""
        found: list[Any] = []
        deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
        await self.until(lambda: found)
        return found[0]


class PeersContract:
    """The suite; the fixture ``nodes`` gives :class:`Nodes`."""

    async def test_meeting(self, nodes: Nodes) -> None:
        """Who is met says who it is, and can be asked from then on; it knows who asks. The way back is another one."""
        (a, at_a), (b, _) = nodes.make(1), nodes.make(2)
        verifyObject(IPeers, a)

        async def who(caller: Caller, call: Call) -> Answer:
            return Answer({"node": caller.node, "boot": caller.boot})

        a.serve("WHO", who)
        assert await nodes.outcome(b.meet(at_a)) == Greeting(a.id, "name1", "c", "boot1")
        assert list(b.connected()) == [a.id] and list(a.connected()) == []
        assert (await nodes.outcome(b.ask(a.id, Call("WHO")))).facts == {"node": b.id, "boot": "boot2"}

    async def test_asking(self, nodes: Nodes) -> None:
        """Everything arrives as it was, both ways."""
        (a, at_a), (b, _) = nodes.make(1), nodes.make(2)

        async def echo(caller: Caller, call: Call) -> Answer:
            return Answer(call.facts, call.words, call.body, partial=True)

        a.serve("ECHO", echo)
        await nodes.outcome(b.meet(at_a))
        call = Call("ECHO", ("a b", "k=v", "ä\n"), {"key": "v=%"}, bytes(range(256)) * (BODY_LIMIT // 256))
        assert await nodes.outcome(b.ask(a.id, call)) == Answer(call.facts, call.words, call.body, True)

    @pytest.mark.parametrize("kind", [NotFound, Conflict, Unavailable])
    async def test_errors(self, nodes: Nodes, kind: type[TagfsError]) -> None:
        """What a service raises is what the asking side gets, type and text."""
        (a, at_a), (b, _) = nodes.make(1), nodes.make(2)

        async def refuse(caller: Caller, call: Call) -> Answer:
            raise kind("because 100 %")

        a.serve("REFUSE", refuse)
        await nodes.outcome(b.meet(at_a))
        error = await nodes.outcome(b.ask(a.id, Call("REFUSE")))
        assert (type(error), str(error)) == (kind, "because 100 %")

    async def test_strangers_to_each_other(self, nodes: Nodes) -> None:
        """There is nobody to ask without a connection, and nobody to meet where nobody listens."""
        a, _ = nodes.make(1)
        assert isinstance(await nodes.outcome(a.ask("somebody", Call("WHO"))), Unavailable)
        assert isinstance(await nodes.outcome(a.meet("127.0.0.1:1", 0.5)), Unavailable)

    async def test_giving_up(self, nodes: Nodes) -> None:
        """Time ends the waiting, and so does whoever waits; what is answered later is dropped."""
        (a, at_a), (b, _) = nodes.make(1), nodes.make(2)
        gates: list[Deferred[None]] = []

        async def wait(caller: Caller, call: Call) -> Answer:
            gates.append(Deferred())
            await gates[-1]
            return Answer()

        a.serve("WAIT", wait)
        await nodes.outcome(b.meet(at_a))
        assert isinstance(await nodes.outcome(b.ask(a.id, Call("WAIT"), 0.05)), Unavailable)
        cancelled = b.ask(a.id, Call("WAIT"))
        await nodes.until(lambda: len(gates) == 2)
        cancelled.cancel()
        assert isinstance(await nodes.outcome(cancelled), CancelledError)
        last = b.ask(a.id, Call("WAIT"))
        await nodes.until(lambda: len(gates) == 3)
        for gate in gates:
            gate.callback(None)
        assert await nodes.outcome(last) == Answer()

    async def test_keeping_and_dropping(self, nodes: Nodes) -> None:
        """What comes up and goes is told; dropping again does no harm; what is dropped can be kept again."""
        (a, at_a), (b, _) = nodes.make(1), nodes.make(2)
        told: list[tuple[str, bool]] = []
        b.watch(lambda node, up: told.append((node, up)))
        for round_ in (1, 2):
            b.keep(a.id, [at_a])
            b.keep(a.id, [at_a])
            await nodes.until(lambda expected=2 * round_ - 1: len(told) == expected)
            assert list(b.connected()) == [a.id]
            b.drop(a.id)
            b.drop(a.id)
            assert told == [(a.id, True), (a.id, False)] * round_
            assert list(b.connected()) == []
            assert isinstance(await nodes.outcome(b.ask(a.id, Call("WHO"))), Unavailable)

    async def test_one_service_per_verb(self, nodes: Nodes) -> None:
        """A second one is a mistake of ours."""
        a, _ = nodes.make(1)

        async def nothing(caller: Caller, call: Call) -> Answer:
            return Answer()

        a.serve("NOTHING", nothing)
        with pytest.raises(AssertionError):
            a.serve("NOTHING", nothing)
