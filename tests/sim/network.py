"""A network of simulated nodes: IPeers without sockets, with loss, delay, duplication, reordering, cuts, under one seed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import TagfsError, Unavailable
from tagfs.node.peers.interfaces import ASK_S, Caller, Greeting, IPeers, Service
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call


@define(eq=False)
class Network:
    """Everything between the nodes. ``loss`` and ``doubling`` are probabilities per message, ``delay_s`` the bounds of its
    way; ``cut`` holds pairs (from, to) between which nothing passes."""

    clock: Clock
    random: Random
    delay_s: tuple[float, float] = (0.0005, 0.003)
    loss: float = 0.0
    doubling: float = 0.0
    cut: set[tuple[str, str]] = field(factory=set)
    nodes: dict[str, SimPeers] = field(factory=dict)
    messages: int = 0
    bytes: int = 0

    def sever(self, left: Collection[str], right: Collection[str], both: bool = True) -> None:
        """Nothing passes from ``left`` to ``right`` any more, nor back where ``both``."""
        for a in left:
            for b in right:
                self.cut.add((a, b))
                if both:
                    self.cut.add((b, a))

    def heal(self) -> None:
        """Everything passes again."""
        self.cut.clear()

    def at(self, address: str) -> SimPeers | None:
        """The running node that listens at that address."""
        return next((peers for peers in self.nodes.values() if peers.address == address and peers.up), None)

    def send(self, source: str, target: str, size: int, deliver: Callable[[], None]) -> None:
        """Carries one message: it arrives late, not at all, or twice."""
        self.messages += 1
        self.bytes += size
        if (source, target) in self.cut or self.random.random() < self.loss:
            return
        for _ in range(2 if self.random.random() < self.doubling else 1):
            self.clock.callLater(self.random.uniform(*self.delay_s), deliver)


@implementer(IPeers)
class SimPeers:
    """IPeers of one simulated node. A restarted node is a new object under the same id."""

    def __init__(self, network: Network, id: str, address: str, boot: str, name: str = "", cluster: str = "") -> None:
        self.id = id
        self.address = address
        self.boot = boot
        self.name = name
        self.cluster = cluster
        self.up = True
        self._network = network
        self._services: dict[str, Service] = {}
        self._kept: dict[str, tuple[str, ...]] = {}
        self._watchers: list[Callable[[str, bool], None]] = []
        self._asked: set[Deferred[Answer]] = set()
        network.nodes[id] = self

    def serve(self, verb: str, service: Service, by_hand: bool = False) -> None:
        assert verb not in self._services
        self._services[verb] = service

    def crash(self) -> None:
        """The process is gone; whoever waits for its answers waits in vain."""
        self.up = False

    def ask(self, node: str, call: Call, timeout_s: float = ASK_S) -> Deferred[Answer]:
        assert len(call.body) <= BODY_LIMIT
        network = self._network
        if node not in self._kept:
            return fail(Unavailable(f"there is no connection to {node}"))
        answer: Deferred[Answer] = Deferred()
        late = network.clock.callLater(
            timeout_s,
            lambda: answer.called or answer.errback(Failure(Unavailable(f"{node} did not answer {call.verb}"))),
        )

        def settle(result: object) -> object:
            if late.active():
                late.cancel()
            return result

        answer.addBoth(settle)

        def arrive(outcome: Answer | Failure) -> None:
            if self.up and not answer.called:
                (answer.errback if isinstance(outcome, Failure) else answer.callback)(outcome)

        def deliver() -> None:
            target = network.nodes.get(node)
            if target is not None and target.up:
                running = target.answer(Caller(self.id, self.boot, self.address), call)
                running.addBoth(lambda outcome: self._return(node, outcome, arrive))

        network.send(self.id, node, _size(call), deliver)
        return answer

    def _return(self, node: str, outcome: Answer | Failure, arrive: Callable[[Answer | Failure], None]) -> None:
        if isinstance(outcome, Failure) and not outcome.check(TagfsError):
            outcome.raiseException()  # a bug: let the simulation fail
        self._network.send(node, self.id, _size(outcome), lambda: arrive(outcome))

    def answer(self, caller: Caller, call: Call) -> Deferred[Answer]:
        """What this node says to a call."""
        return Deferred.fromCoroutine(self._services[call.verb](caller, call))

    def meet(self, address: str, timeout_s: float = ASK_S) -> Deferred[Greeting]:
        met: Deferred[Greeting] = Deferred()
        target = self._network.at(address)

        def greet() -> None:
            if target is not None and target.up and not met.called:
                self._kept.setdefault(target.id, (address,))
                met.callback(Greeting(target.id, target.name, target.cluster, target.boot))

        if target is not None:
            there = target.id
            self._network.send(self.id, there, 200, lambda: self._network.send(there, self.id, 200, greet))
        late = self._network.clock.callLater(
            timeout_s, lambda: met.called or met.errback(Failure(Unavailable(f"nobody answers at {address}")))
        )

        def settle(result: object) -> object:
            if late.active():
                late.cancel()
            return result

        met.addBoth(settle)
        return met

    def keep(self, node: str, addresses: Sequence[str]) -> None:
        if node not in self._kept:
            self._kept[node] = tuple(addresses)
            for tell in self._watchers:
                tell(node, True)

    def drop(self, node: str) -> None:
        if self._kept.pop(node, None) is not None:
            for tell in self._watchers:
                tell(node, False)

    def connected(self) -> Collection[str]:
        return list(self._kept)

    def watch(self, changed: Callable[[str, bool], None]) -> None:
        self._watchers.append(changed)


def _size(message: Call | Answer | Failure) -> int:
    """About the bytes of it on the wire."""
    if isinstance(message, Failure):
        return 60
    facts = sum(len(key) + len(value) + 2 for key, value in message.facts.items())
    rest = message.words if isinstance(message, Call) else message.rows
    return 24 + facts + sum(map(len, rest)) + len(message.body)
