"""The membership under one seed: nodes that crash, stand still, move, are cut off and return, over a network that loses and delays.

``python -m tests.sim.membership --seeds 300`` runs 300 clusters of 3 to 7 nodes (``--nodes K``: of K). After each, all that may
must agree again; meanwhile nobody may be condemned who could be reached, no minority may change the layout, nobody who was
forgotten may return (``member_checks.py``). ``--bug NAME`` seeds a known bug, which must be caught: it then succeeds by finding
something.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from random import Random
from typing import Any, NamedTuple

from twisted.logger import LogEvent, globalLogPublisher

from tagfs.cluster.view import ClusterSettings
from tagfs.errors import TagfsError
from tests.sim.member_bugs import BUGS, seeded
from tests.sim.member_checks import Truth, Violation
from tests.sim.member_world import MemberNode, MemberWorld

CHAOS_S = 60.0
CONVERGE_S = 45.0
"""Seconds within which all must agree once everything works: dead for 7 s, exchanged, back in the layout after 5 s, with losses."""
OUT_AFTER_S = 12
STEP_S = 0.5


class Result(NamedTuple):
    """How one seed went: what was wrong (empty: nothing), and how much happened."""

    seed: int
    wrong: str = ""
    actions: int = 0
    verdicts: int = 0
    outs: int = 0
    undone: int = 0
    converged_s: float = 0.0


class Chaos:
    """Things that go wrong, one after the other."""

    def __init__(self, world: MemberWorld, truth: Truth, random: Random) -> None:
        self.world = world
        self.truth = truth
        self.random = random
        self.actions = 0
        self._choices: list[tuple[int, Callable[[], None]]] = [
            (5, self._crash),
            (6, self._restart),
            (3, self._stand_still),
            (3, self._cut),
            (2, self._cut_one_way),
            (4, self._heal),
            (1, self._stop),
            (1, self._join),
            (1, self._order),
        ]

    def act(self) -> None:
        """One thing goes wrong, or gets better."""
        weights, choices = zip(*self._choices, strict=True)
        self.random.choices(choices, weights)[0]()
        self.actions += 1
        self.truth.look()

    def _members(self) -> list[MemberNode]:
        return [node for node in self.world.up() if node.id not in self.truth.ending]

    def _awake(self) -> list[MemberNode]:
        now = self.world.clock.seconds()
        return [node for node in self._members() if now >= node.clock.still_until and node.id not in self.truth.gone]

    def _some(self) -> MemberNode | None:
        running = self._members()
        return self.random.choice(running) if running else None

    def _crash(self) -> None:
        node = self._some()
        if node is not None and len(self._members()) > 1:
            node.crash(silent=self.random.random() < 0.5)

    def _restart(self) -> None:
        down = [node for node in self.world.nodes if not node.up]
        if down:
            node = self.random.choice(down)
            if self.random.random() < 0.3:
                node.address = f"{node.name}:{self.random.randrange(5000, 60000)}"
            self.truth.ending.discard(node.id)
            node.start()

    def _stand_still(self) -> None:
        node = self._some()
        if node is not None:
            node.clock.stand_still(self.random.choice([0.7, 2.0, 6.0, 15.0]))

    def _cut(self) -> None:
        ids = [node.id for node in self.world.nodes]
        self.random.shuffle(ids)
        at = self.random.randint(1, len(ids) - 1)
        self.world.network.sever(ids[:at], ids[at:])

    def _cut_one_way(self) -> None:
        one, other = self.random.sample([node.id for node in self.world.nodes], 2)
        self.world.network.sever([one], [other], both=False)

    def _heal(self) -> None:
        self.world.network.heal()

    def _stop(self) -> None:
        node = self._some()
        if node is not None and len(self._members()) > 1 and self.world.clock.seconds() >= node.clock.still_until:
            self.truth.ending.add(node.id)
            node.stop()

    def _join(self) -> None:
        member = self._some()
        if (
            member is not None
            and member.view.cluster
            and len(self.world.nodes) < 9
            and member.id not in self.truth.gone
        ):
            self.world.add(seeds=(member.address,), skew_ms=self.random.randrange(-2000, 2000)).start()

    def _order(self) -> None:
        """An operator forgets a node that is down, or lets one leave, as long as enough are left."""
        awake = self._awake()
        member = self.random.choice(awake) if awake else None
        if member is None or len([node for node in self.world.nodes if node.id not in self.truth.gone]) <= 3:
            return
        others = [node for node in self.world.nodes if node is not member and node.id not in self.truth.gone]
        node = self.random.choice(others)
        what = "forget" if not node.up else "leave"
        try:
            _take(getattr(member.cluster, what)(node.id))
        except TagfsError:
            return  # a node that is not dead for this one cannot be forgotten, …
        if not member.view.members[node.id].present:
            self.truth.gone[node.id] = what


def _take(coroutine: Any) -> None:
    """Runs a coroutine that needs not wait, with memory for a disk; raises what it raises."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def run_seed(seed: int, size: int | None = None, bug: str | None = None) -> Result:
    """One cluster and its fate."""
    faults: list[LogEvent] = []

    def notice(event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            faults.append(event)

    globalLogPublisher.addObserver(notice)
    try:
        with seeded(bug):
            return _run(seed, size, faults)
    finally:
        globalLogPublisher.removeObserver(notice)


def _run(seed: int, size: int | None, faults: list[LogEvent]) -> Result:
    random = Random(seed)
    world = MemberWorld(random.getrandbits(32), ClusterSettings(out_after=OUT_AFTER_S), beacons=random.random() < 0.5)
    truth = Truth(world)
    chaos = Chaos(world, truth, random)
    converged = 0.0
    wrong = ""
    try:
        _form(world, size or random.randint(3, 7), random)
        _roughen(world, random)
        end = world.clock.seconds() + CHAOS_S
        while world.clock.seconds() < end:
            _pass(world, truth, random.uniform(0.5, 6.0))
            chaos.act()
        converged = _converge(world, truth)
    except Violation as violation:
        wrong = f"at {world.clock.seconds():.2f} s: {violation}"
    finally:
        world.stop()
    if faults and not wrong:
        failure = faults[0]["log_failure"]
        wrong = str(failure.value) if failure.check(Violation) else failure.getTraceback()
    return Result(seed, wrong, chaos.actions, truth.verdicts, truth.outs, truth.undone, converged)


def _form(world: MemberWorld, size: int, random: Random) -> None:
    """The cluster comes to be: by beacons, all at once; or by seeds, one after the other."""
    nodes = [world.add(skew_ms=random.randrange(-2000, 2000), rate=random.uniform(0.99, 1.01)) for _ in range(size)]
    for node in nodes:
        if not world.beacons and node is not nodes[0]:
            node.seeds = (random.choice(nodes[: nodes.index(node)]).address,)
        node.start()
        world.run(random.uniform(0, 2))
    _expect(world, world.agree, 30, "the cluster does not form")


def _roughen(world: MemberWorld, random: Random) -> None:
    """The network gets worse than networks are."""
    world.network.loss = random.choice([0.0, 0.0, 0.02, 0.1])
    world.network.doubling = random.choice([0.0, 0.1])
    world.network.delay_s = random.choice([(0.0005, 0.003), (0.001, 0.2)])


def _pass(world: MemberWorld, truth: Truth, seconds: float) -> None:
    end = world.clock.seconds() + seconds
    while world.clock.seconds() < end:
        truth.look()
        world.run(min(STEP_S, end - world.clock.seconds()))
    truth.look()


def _converge(world: MemberWorld, truth: Truth) -> float:
    """Everything works again: all that belong to the cluster must agree, and all that do not must know it."""
    world.network.heal()
    world.network.loss = 0.0
    _expect(
        world, lambda: not any(node.up and node.id in truth.ending for node in world.nodes), 20, "a node does not stop"
    )
    for node in world.nodes:
        if not node.up:
            truth.ending.discard(node.id)
            node.start()
    truth.look()

    def settled() -> bool:
        truth.look()
        members = [node for node in world.nodes if node.id not in truth.gone]
        inside = (
            all(node.view.members[each.id].in_layout for node in members for each in members)
            if world.agree(members)
            else False
        )
        return inside and all(node.cluster.refusal for node in world.nodes if node.id in truth.gone)

    return _expect(world, settled, CONVERGE_S, "the nodes do not agree")


def _expect(world: MemberWorld, holds: Callable[[], bool], seconds: float, otherwise: str) -> float:
    begin = world.clock.seconds()
    while not holds():
        if world.clock.seconds() > begin + seconds:
            views = {node.name: (node.up, node.cluster.refusal, dict(node.view.states)) for node in world.nodes}
            raise Violation(f"{otherwise} within {seconds:.0f} s: {views}")
        world.run(STEP_S)
    return world.clock.seconds() - begin


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit code 0 where it ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--nodes", type=int, help="nodes per cluster; else 3 to 7")
    parser.add_argument("--bug", choices=sorted(BUGS), help="seed this bug; succeed by catching it")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(partial(run_seed, size=options.nodes, bug=options.bug), seeds, chunksize=4))
    wrong = [result for result in results if result.wrong]
    for result in wrong[:5]:
        print(f"{'caught' if options.bug else 'VIOLATION'}: seed {result.seed}: {result.wrong}")
    print(
        f"{len(results)} seeds from {options.first}, {sum(result.actions for result in results)} faults and repairs, "
        f"{sum(result.verdicts for result in results)} verdicts of death, {sum(result.outs for result in results)} nodes taken "
        f"out, {sum(result.undone for result in results)} back; agreed again within "
        f"{max(result.converged_s for result in results):.1f} s; {len(wrong)} seeds with violations; "
        f"{time.monotonic() - begin:.0f} s"
    )
    return 0 if bool(wrong) == bool(options.bug) else 1


if __name__ == "__main__":
    sys.exit(main())
