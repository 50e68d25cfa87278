"""Whole clusters under faults, by seed: ``python -m tests.sim.replication --seeds 300 --ops 300 [--bug NAME]``.

Users work at random nodes while nodes crash and come back, machines are lost for good, the network loses, repeats and cuts, and clocks
differ. In the end everything is healed, and what must be true is looked at (tests/sim/oracle.py). A seeded bug must be caught.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from tagfs.cluster.view import ClusterSettings
from tagfs.model.principal import OWNER
from tagfs.node.interfaces import Retirement
from tests.sim.oracle import Oracle, Violation
from tests.sim.replication_bugs import BUGS, seeded
from tests.sim.whole_node import WholeNode, WholeWorld
from tests.sim.workload import Workload

HEAL_S = 240.0
"""Seconds that a healed cluster may take until all is everywhere."""

TOLD = 1000
"""A line of progress after as many seeds."""


class Result(NamedTuple):
    """What one seed came to; ``wrong`` is empty where all was well."""

    seed: int
    wrong: str
    done: Counter[str]
    checked: int
    messages: int


class Faults:
    """Breaks things now and then, and mends them all in the end."""

    def __init__(self, world: WholeWorld) -> None:
        self.world = world
        self.destroyed = False
        self.backup: tuple[WholeNode, float, Mapping[str, Any]] | None = None

    def one(self) -> None:
        """Breaks or mends something."""
        random, world = self.world.random, self.world
        fault = random.choice(
            ["crash", "crash", "start", "start", "start", "cut", "cut", "heal", "heal", "loss", "lost"]
        )
        running, down = world.up(), [node for node in world.nodes if not node.up and not node.destroyed]
        if fault == "crash" and running:
            random.choice(running).crash()
        elif fault == "start" and down:
            self._start(random.choice(down))
        elif fault == "cut":
            ids = [node.id for node in world.nodes]
            some = random.sample(ids, random.randrange(1, len(ids)))
            world.network.sever(some, [id for id in ids if id not in some], both=random.random() < 0.7)
        elif fault == "heal":
            world.network.heal()
        elif fault == "loss":
            world.network.loss = random.choice([0, 0, 0.02, 0.1])
            world.network.doubling = random.choice([0, 0, 0.1])
        elif fault == "lost" and not self.destroyed and world.size > 3 and running and random.random() < 0.3:
            self._destroy(random.choice(running))
        elif fault == "backup" and running:
            self._back_up(running)

    def _back_up(self, running: Sequence[WholeNode]) -> None:
        """A back-up is made; the next time it is put back, and its node begins from there."""
        if self.backup is None:
            node = self.world.random.choice(running)
            self.backup = (node, self.world.clock.seconds(), node.catalog.snapshot())
            return
        node, since, snapshot = self.backup
        self.backup = None
        if node.up:
            node.crash()
            node.catalog.put_back(snapshot)
            node.restored.append((since, self.world.clock.seconds()))
            node.catalog.epoch = renewed(node)
            self._start(node)

    def _start(self, node: WholeNode) -> None:
        """A machine is back, with a clock that was set meanwhile."""
        node.skew_ms = self.world.random.randrange(-20_000, 20_000)
        node.start()

    def _destroy(self, node: WholeNode) -> None:
        """A machine is gone, with its disk."""
        self.destroyed = True
        node.crash()
        node.destroyed = True

    def mend(self) -> None:
        """Everything works again, but for machines that are lost."""
        network = self.world.network
        network.heal()
        network.loss = network.doubling = 0
        for node in self.world.nodes:
            if not node.up and not node.destroyed:
                self._start(node)


def renewed(node: WholeNode) -> str:
    """The epoch of a restored back-up is a new one, as a catalog that was copied takes one when it is opened."""
    return f"{node.world.random.getrandbits(48):012x}"


def run_seed(seed: int, operations: int = 300, bug: str | None = None) -> Result:
    """One cluster from its founding to the end."""
    with seeded(bug):
        return _run_seed(seed, operations)


def _run_seed(seed: int, operations: int) -> Result:
    world = WholeWorld(seed, 3 + seed % 3)
    random = world.random
    world.settings = ClusterSettings(copies=random.choice([2, 3]), write_copies=random.choice([0, 0, 0, 2]))
    for node in world.nodes:
        node.skew_ms = random.randrange(-400, 400)
    oracle = Oracle(world)
    work, faults = Workload(world, oracle), Faults(world)
    try:
        world.form()
        oracle.watch()
        quiet, trouble = random.uniform(0.05, 0.3), random.choice([0.02, 0.05, 0.1])
        for _ in range(operations):
            world.run(random.expovariate(1 / quiet))
            work.one()
            if random.random() < trouble:
                faults.one()
            if work.wrong:
                raise work.wrong[0]
        _end(world, oracle, faults, work)
    except Violation as error:
        return Result(seed, str(error), work.done, oracle.checked, world.network.messages)
    except Exception:  # noqa: BLE001 - whatever else comes out of a node is a finding, too
        return Result(seed, Failure().getBriefTraceback().strip(), work.done, oracle.checked, world.network.messages)
    return Result(seed, "", work.done, oracle.checked, world.network.messages)


def _end(world: WholeWorld, oracle: Oracle, faults: Faults, work: Workload) -> None:
    faults.mend()
    for lost in [node for node in world.nodes if node.destroyed]:
        _forget(world, lost)
    world.until(oracle.in_step, HEAL_S, 0.5)
    if work.wrong:
        raise work.wrong[0]
    oracle.final()
    left = [node for node in world.nodes if not node.destroyed]
    if not world.until(lambda: all(node.replication.complete for node in left), HEAL_S, 0.5):
        raise Violation("answers are not complete though all is here")


def _forget(world: WholeWorld, lost: WholeNode) -> None:
    """An operator says that a machine is gone for good, once the others see that it is dead."""

    def gone() -> bool:
        running = world.up()
        if all(node.cluster.view.states.get(lost.id) == "forgotten" or not _belongs(node, lost) for node in running):
            return True
        node = world.random.choice(running)
        Deferred.fromCoroutine(node.node.retire(OWNER, lost.id, Retirement.FORGET)).addErrback(lambda _: None)
        return False

    if not world.until(gone, HEAL_S, 5):
        raise Violation(f"{lost.name} could not be forgotten")


def _belongs(node: WholeNode, lost: WholeNode) -> bool:
    member = node.cluster.view.members.get(lost.id)
    return member is not None and member.present


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit code 0 where it ended as it should."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"  # sets are walked in the same order in every run
        os.execv(sys.executable, [sys.executable, "-m", "tests.sim.replication", *sys.argv[1:]])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--ops", type=int, default=300, help="operations per seed")
    parser.add_argument("--bug", choices=sorted(BUGS), help="seed this bug; succeed by catching it")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    seeds = range(options.first, options.first + options.seeds)
    wrong: list[Result] = []
    done: Counter[str] = Counter()
    checked = messages = ran = 0
    with ProcessPoolExecutor(os.cpu_count(), initializer=_quiet) as pool:
        run = partial(run_seed, operations=options.ops, bug=options.bug)
        for result in pool.map(run, seeds, chunksize=2):
            ran += 1
            done += result.done
            checked += result.checked
            messages += result.messages
            if ran % TOLD == 0:
                print(f"{ran} seeds in {time.monotonic() - begin:.0f} s, {len(wrong)} went wrong", flush=True)
            if result.wrong:
                wrong.append(result)
                print(f"seed {result.seed}: {result.wrong}", flush=True)
                if options.bug:
                    pool.shutdown(cancel_futures=True)
                    break
    took = time.monotonic() - begin
    print(
        f"{ran} seeds of {options.ops} operations in {took:.0f} s, {messages} messages, {checked} complete answers checked"
    )
    print(", ".join(f"{what} {number}" for what, number in sorted(done.items())))
    if options.bug:
        print(f"{options.bug} was {'caught' if wrong else 'NOT caught'}")
        return 0 if wrong else 1
    return 1 if wrong else 0


def _quiet() -> None:
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)


if __name__ == "__main__":
    sys.exit(main())
