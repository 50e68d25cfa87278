"""The cluster campaign: five nodes under writers and readers, faults, and a check of everything that was acknowledged.

``python -m tests.campaigns.cluster --seconds 60`` runs every scenario for a minute each; ``--scenarios kill,split`` only those. Needs root:
each node has a network namespace of its own. The exit code is 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.campaigns.cluster.clients import Reader, Writer
from tests.campaigns.cluster.history import History
from tests.campaigns.cluster.network import Switch, inside
from tests.campaigns.cluster.nodes import Cluster, Member, all_see, until
from tests.campaigns.cluster.scenarios import FULL_DISK, SCENARIOS, Stage
from tests.campaigns.workload import Asking, Violation

NODES = 5
HEALED_S = 90.0
"""Seconds that a cluster may take after the last fault until all is where it belongs."""
SMALL_DISK = "400m"


def _start(cluster: Cluster, switch: Switch) -> list[Member]:
    members: list[Member] = []
    for number, namespace in enumerate(switch.namespaces):
        member = cluster.node(
            f"n{number}",
            *("--node", f"tcp:4747:interface={switch.address(number)}", "--web", "off"),
            join=members[:1],
            namespace=namespace,
            within="disk" if number == FULL_DISK else "",
        )
        member.start()
        members.append(member)
    until(lambda: all_see(members), "all nodes see each other", 30)
    return members


def _asking(member: Member) -> Asking:
    with inside(member.namespace):
        connection = member.connect(30)
    asking = Asking(connection)
    asking.greet()
    return asking


def _lacks_copies(members: Sequence[Member]) -> str:
    """What is not whole yet, as far as the nodes know; empty where everything is."""
    for member in members:
        asking = _asking(member)
        with asking.connection:
            if not (line := asking.ask("SYNC 10")).startswith("250"):
                return f"{member.data.name}: {line}"
            if (line := asking.ask("COUNT copies:<3")) != "213 0":
                rows, _ = asking.listing("FIND copies:<3 | limit=1")
                return f"{member.data.name}: COUNT copies:<3 says {line}, such as {''.join(rows).split(chr(9))[0]}"
    return ""


def _holders(members: Sequence[Member], entry: str) -> str:
    """What each node says about the copies of an entry."""
    told = []
    for member in members:
        asking = _asking(member)
        with asking.connection:
            rows = dict(row.split("\t", 1) for row in asking.listing(f"INFO {entry}")[0])
            told.append(f"\n  {member.data.name} ({member.id}): copies {rows.get('copies')} at {rows.get('nodes')}")
    return "".join(told)


def _heal(members: Sequence[Member]) -> float:
    """Waits until every content has its copies; returns how long that took in seconds."""
    begin = time.monotonic()
    while lacking := _lacks_copies(members):
        if time.monotonic() - begin > HEALED_S:
            raise Violation(f"after {HEALED_S} s without faults, {lacking}{_holders(members, lacking.split()[-1])}")
        time.sleep(0.2)
    return time.monotonic() - begin


def _judge(members: Sequence[Member], history: History, chance: random.Random) -> int:
    """Compares what each node lists, and contents read at random nodes, with what was acknowledged."""
    pictures = {}
    for member in members:
        asking = _asking(member)
        with asking.connection:
            live = {}
            for row in asking.rows("FIND"):
                identifier, size, _modified, name, tags = row.split("\t")
                live[identifier] = (name, int(size), frozenset(tags.split()))
            trash = [row.split("\t")[0] for row in asking.rows("FIND in:trash")]
            history.judge(member.data.name, live, trash)
            pictures[member.data.name] = (live, sorted(trash))
    first, *others = pictures.items()
    for name, picture in others:
        if picture != first[1]:
            odd = [key for key in {**picture[0], **first[1][0]} if picture[0].get(key) != first[1][0].get(key)][:3]
            raise Violation(f"{first[0]} and {name} do not agree about {odd or 'the trash'}")
    kept = [fate for fate in history.fates.values() if fate.place in ("live", "trash")]
    asked = {member.data.name: _asking(member) for member in members}
    for fate in kept:
        where = chance.choice(list(asked))
        if asked[where].content(fate.id) != fate.content():
            raise Violation(f"{where}: the content of {fate.id} ({fate.size} bytes) is torn or another")
    for asking in asked.values():
        asking.connection.close()
    return len(kept)


def run(name: str, seconds: float, seed: int, directory: Path) -> str:
    """One scenario on a fresh cluster; returns its summary, or raises Violation."""
    chance = random.Random(f"{seed} {name}")
    switch = Switch(NODES)
    cluster = Cluster(directory)
    disk = directory / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(disk)], check=True)
    history = History(lossy=name == "lost-disk")
    try:
        members = _start(cluster, switch)
        clients = [Writer(member, history, chance.getrandbits(32), f"w{at}") for at, member in enumerate(members)]
        clients += [Reader(member, history, chance.getrandbits(32), f"r{at}") for at, member in enumerate(members)]  # type: ignore[misc]
        for client in clients:
            client.start()
        SCENARIOS[name](Stage(members, switch, chance, time.monotonic() + seconds))
        for client in clients:
            client.finish()
        until(lambda: all_see(members), "all nodes see each other again", 40)
        healed_s = _heal(members)
        contents = _judge(members, history, chance)
        return (
            f"{history.acknowledged} acknowledged, {history.refused} refused, {len(history.unsure)} without an answer, "
            f"{history.checked} answers checked, {contents} contents read back, whole again after {healed_s:.1f} s"
        )
    finally:
        cluster.end()
        switch.remove()
        subprocess.run(["umount", str(disk)], check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="names with commas between them")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the faults of each scenario go on")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(31))
    parser.add_argument("--keep", action="store_true", help="leave the nodes' data and logs where a promise was broken")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    broken = 0
    for name in options.scenarios.split(","):
        directory = Path(tempfile.mkdtemp(prefix=f"tagfs-{name}-"))
        try:
            print(f"passed {name}: {run(name, options.seconds, options.seed, directory)}", flush=True)
        except (Violation, AssertionError) as failure:
            broken += 1
            print(f"BROKEN {name}: {failure}" + (f" (see {directory})" if options.keep else ""), flush=True)
            if options.keep:
                continue
        subprocess.run(["rm", "-rf", str(directory)], check=False)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
