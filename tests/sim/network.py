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
from tests.sim.node_clock import NodeClock


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
    processes: list[SimPeers] = field(factory=list)
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
        """The running process that listens at that address."""
        return next((peers for peers in self.processes if peers.address == address and peers.up), None)

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
    """IPeers of one simulated process. A restarted node is a new object under the same id."""

    def __init__(
        self,
        network: Network,
        id: str,
        address: str,
        boot: str,
        name: str = "",
        cluster: Callable[[], str] = str,
        clock: NodeClock | None = None,
    ) -> None:
        self.id = id
        self.address = address
        self.boot = boot
        self.name = name
        self.up = True
        self.silent = False
        self.sent = 0
        """Bytes that this process sent."""
        self._cluster = cluster
        self._clock = NodeClock(network.clock) if clock is None else clock
        self._network = network
        self._services: dict[str, Service] = {}
        self._kept: dict[str, tuple[str, ...]] = {}
        self._lines: dict[str, SimPeers] = {}
        self._watchers: list[Callable[[str, bool], None]] = []
        # A machine that is back refuses what belonged to the process that it ran before.
        network.processes = [each for each in network.processes if each.id != id or each.up] + [self]

    def serve(self, verb: str, service: Service, by_hand: bool = False) -> None:
        assert verb not in self._services
        self._services[verb] = service

    def crash(self, silent: bool = False) -> None:
        """The process is gone. ``silent``: so is its machine, and whoever asks it waits in vain; else they are refused."""
        self.up = False
        self.silent = silent
        if not silent:
            self._network.processes.remove(self)

    def ask(self, node: str, call: Call, timeout_s: float = ASK_S) -> Deferred[Answer]:
        assert len(call.body) <= BODY_LIMIT
        network = self._network
        if node not in self._kept:
            return fail(Unavailable(f"there is no connection to {node}"))
        answer: Deferred[Answer] = Deferred()
        late = self._clock.callLater(
            timeout_s,
            lambda: answer.called or answer.errback(Failure(Unavailable(f"{node} did not answer {call.verb}"))),
        )

        def settle(result: object) -> object:
            if late.active():
                late.cancel()
            return result

        answer.addBoth(settle)

        def arrive(outcome: Answer | Failure) -> None:
            if not answer.called:
                (answer.errback if isinstance(outcome, Failure) else answer.callback)(outcome)

        target = self._line(node)
        if target is None:
            if not self._is_cut_off(node):
                network.clock.callLater(network.delay_s[1], self._come, lambda: arrive(_refused(node)))
            return answer

        def deliver() -> None:
            running = target.answer(Caller(self.id, self.boot, self.address), call)
            running.addBoth(lambda outcome: target._return(self, outcome, arrive))

        self._send(target, _size(call), deliver)
        return answer

    def _line(self, node: str) -> SimPeers | None:
        """The process on the other end of the connection to a node; where that is lost, it is dialled again."""
        line = self._lines.get(node)
        if line is not None and line in self._network.processes:
            return line
        found = (self._network.at(address) for address in self._kept[node])
        line = next((each for each in found if each is not None and each.id == node), None)
        if line is None or (self.id, node) in self._network.cut or (node, self.id) in self._network.cut:
            return None
        self._lines[node] = line
        return line

    def _is_cut_off(self, node: str) -> bool:
        """Whether dialling a node ends in silence rather than in a refusal."""
        cut = self._network.cut
        machine_gone = any(each.id == node and each.silent for each in self._network.processes)
        return machine_gone or (self.id, node) in cut or (node, self.id) in cut

    def _send(self, target: SimPeers, size: int, deliver: Callable[[], None]) -> None:
        self.sent += size
        self._network.send(self.id, target.id, size, lambda: target._come(deliver))

    def _come(self, deliver: Callable[[], None]) -> None:
        """Something reaches this process."""
        self._clock.when_running(lambda: self.up and deliver())

    def _return(self, asker: SimPeers, outcome: Answer | Failure, arrive: Callable[[Answer | Failure], None]) -> None:
        if isinstance(outcome, Failure) and not outcome.check(TagfsError):
            outcome.raiseException()  # a bug: let the simulation fail
        self._send(asker, _size(outcome), lambda: arrive(outcome))

    def answer(self, caller: Caller, call: Call) -> Deferred[Answer]:
        """What this node says to a call."""
        return Deferred.fromCoroutine(self._services[call.verb](caller, call))

    def meet(self, address: str, timeout_s: float = ASK_S) -> Deferred[Greeting]:
        met: Deferred[Greeting] = Deferred()
        target = self._network.at(address)

        def greet(there: SimPeers, greeting: Greeting) -> None:
            if not met.called:
                self._kept.setdefault(there.id, (address,))
                if not (there.id in self._lines and self._lines[there.id].up):
                    self._lines[there.id] = there
                met.callback(greeting)

        def arrive(there: SimPeers) -> None:
            greeting = Greeting(there.id, there.name, there._cluster(), there.boot)
            there._send(self, 200, lambda: greet(there, greeting))

        if target is not None:
            self._send(target, 200, lambda: arrive(target))
        late = self._clock.callLater(
            timeout_s, lambda: met.called or met.errback(Failure(Unavailable(f"nobody answers at {address}")))
        )

        def settle(result: object) -> object:
            if late.active():
                late.cancel()
            return result

        met.addBoth(settle)
        return met

    def keep(self, node: str, addresses: Sequence[str]) -> None:
        known = node in self._kept
        self._kept[node] = tuple(addresses)
        if not known:
            for tell in self._watchers:
                tell(node, True)

    def drop(self, node: str) -> None:
        self._lines.pop(node, None)
        if self._kept.pop(node, None) is not None:
            for tell in self._watchers:
                tell(node, False)

    def connected(self) -> Collection[str]:
        return list(self._kept)

    def watch(self, changed: Callable[[str, bool], None]) -> None:
        self._watchers.append(changed)


def _refused(node: str) -> Failure:
    return Failure(Unavailable(f"{node} cannot be reached: connection refused"))


def _size(message: Call | Answer | Failure) -> int:
    """About the bytes of it on the wire."""
    if isinstance(message, Failure):
        return 60
    facts = sum(len(key) + len(value) + 2 for key, value in message.facts.items())
    rest = message.words if isinstance(message, Call) else message.rows
    return 24 + facts + sum(map(len, rest)) + len(message.body)
