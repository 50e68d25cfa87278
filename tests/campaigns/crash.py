"""The crash campaign: a node under load is killed (SIGKILL) again and again; nothing acknowledged may be lost or torn.

``python -m tests.campaigns.crash --points 200 --seed 1`` kills 200 times. After each restart, what the node lists is
compared with what was acknowledged; of an operation that was under way when the node died, both outcomes are right.
``--bug NAME`` seeds a known bug, which the campaign must catch: it then succeeds by finding something.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.campaigns.node_process import NodeProcess
from tests.campaigns.sabotage import BUGS
from tests.campaigns.workload import Ledger, Violation, Worker

WORKERS = 4


def leftovers(data: Path) -> list[str]:
    """Temporary files that a fresh start should have removed."""
    return [
        str(path.relative_to(data))
        for path in data.rglob("*")
        if path.is_file() and (path.parent.name == "incoming" or path.suffix in (".new", ".tmp"))
    ]


def kill_once(node: NodeProcess, ledgers: Sequence[Ledger], chance: random.Random) -> int:
    """Loads the node, kills it at a random moment, starts it again and checks all; returns how many operations ran."""
    before = sum(ledger.acknowledged for ledger in ledgers)
    workers = [Worker(node.address, ledger, chance.getrandbits(32)) for ledger in ledgers]
    for worker in workers:
        worker.start()
    time.sleep(chance.uniform(0.02, 0.5))
    node.kill()
    for worker in workers:
        worker.join(30)
        if worker.is_alive():
            raise AssertionError("a worker did not notice that the node died")
        if worker.failure is not None:
            raise worker.failure
    node.start()
    left = leftovers(node.data)
    if left:
        raise Violation(f"temporary files left after the start: {left[:5]}")
    with node.connect() as connection:
        for ledger in ledgers:
            ledger.check(connection)
    return sum(ledger.acknowledged for ledger in ledgers) - before


def campaign(points: int, seed: int, directory: Path, bug: str | None) -> str:
    """Runs the campaign; returns its summary, or raises Violation."""
    chance = random.Random(seed)
    program = () if bug is None else (sys.executable, "-m", "tests.campaigns.sabotage", bug)
    node = NodeProcess(directory / "data", program=program)
    ledgers = [Ledger(f"w{number}", random.Random(f"{seed}.{number}")) for number in range(WORKERS)]
    node.start()
    acknowledged = 0
    point = 0
    try:
        for point in range(1, points + 1):
            acknowledged += kill_once(node, ledgers, chance)
            if point % 25 == 0:
                print(f"{point} kills, {acknowledged} operations acknowledged, nothing lost or torn", flush=True)
        with node.connect() as connection:
            contents = sum(ledger.check_contents(connection, whole=True) for ledger in ledgers)
    except Violation as violation:
        raise Violation(f"seed {seed}, kill {point}: {violation}") from violation
    finally:
        node.kill()
    assert acknowledged >= points, f"only {acknowledged} operations in {points} rounds: that proves nothing"
    return f"{points} kills, {acknowledged} operations acknowledged, {contents} contents read back: zero lost or torn"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit code 0 where the campaign ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=200, help="how many times to kill the node")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--bug", choices=sorted(BUGS), help="seed this bug; succeed by catching it")
    options = parser.parse_args(arguments)
    print(f"crash campaign: {options.points} kills, seed {options.seed}, bug {options.bug}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tagfs-crash-") as directory:
        try:
            summary = campaign(options.points, options.seed, Path(directory), options.bug)
        except Violation as violation:
            # A bug whose seeding does not fit the code any more fails, and shows nothing.
            caught = options.bug is not None and "internal error" not in str(violation)
            print(f"{'caught' if caught else 'VIOLATION'}: {violation}")
            return 0 if caught else 1
    print(summary)
    return 1 if options.bug else 0


if __name__ == "__main__":
    sys.exit(main())
