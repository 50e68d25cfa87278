"""Writes in clusters of real node processes, with TLS on loopback: what copies cost, and how soon the other nodes show a change."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, evolve, field

from benchmarks.dataset import items
from benchmarks.ingest import one_by_one, pipelined, request
from benchmarks.measuring import Report, figure
from benchmarks.node import Line
from tests.campaigns.cluster.nodes import Cluster, Member, all_see, until
from tests.campaigns.node_process import NodeProcess

ROUNDS = 5
LOADS = {
    "pipelined": (1, pipelined, 6_000),
    "50 at once": (50, one_by_one, 6_000),
    "50 at once, over all": (50, one_by_one, 6_000),
}
"""How writes are sent: connections, what each does, writes of one round."""
SPREAD = "50 at once, over all"
"""This one's connections go to all nodes, the others' to one, as where there is one only. It has no goal: beside 50 writers of one
node, a third of them at each of three makes groups that are a third as large."""
GOAL_RATE, GOAL_PROCESSOR = 0.3, 3.5

RATE_PER_S = 200
SECONDS = 30
WRITERS_PER_NODE = 4
PROBES_PER_S = 10
ASK_AGAIN_S = 0.005
LOST_S = 10.0
GOAL_VISIBLE_MS = 250


def run(report: Report) -> None:
    """Three nodes beside one, then five nodes under a steady load."""
    _copies(report)
    _visible(report)


@contextmanager
def _cluster(path: Path, *names: str) -> Iterator[list[Member]]:
    """Nodes that keep each content on a majority before they acknowledge it, all seeing each other."""
    cluster = Cluster(path)
    try:
        first = cluster.node(names[0], discovery=False)
        first.start()
        members = [first, *(cluster.node(name, join=[first], discovery=False) for name in names[1:])]
        for member in members[1:]:
            member.start()
        until(lambda: all_see(members), "all nodes see each other", 30)
        until(lambda: all(member.may_write() for member in members), "all nodes take writes", 30)
        yield members
        for member in members:
            member.stop()
    finally:
        cluster.end()


def _copies(report: Report) -> None:
    report.head("1 KiB contents with six tags: W=2 of 3 nodes beside one node, in turns")
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    seeds = itertools.count(1)
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-replicas-") as temporary:
        alone = NodeProcess(Path(temporary, "alone"))
        alone.start()
        try:
            with _cluster(Path(temporary), "a", "b", "c") as members:
                settings: dict[str, tuple[Sequence[NodeProcess], int]] = {
                    "one node": ([alone], 1),
                    "W=2 of 3": (members, 2),
                }
                for how in LOADS:
                    for _, (on, (nodes, least)) in itertools.product(range(ROUNDS), settings.items()):
                        rate, cost_us = _written(how, nodes, least, next(seeds))
                        rates.setdefault((how, on), []).append(rate)
                        costs.setdefault((how, on), []).append(cost_us)
        finally:
            alone.stop()
    for (how, on), samples in rates.items():
        report.add(figure(f"ADD 1 KiB, acknowledged, {how}", on, "/s", samples))
        report.add(figure("  processor time of all nodes per ADD", on, "µs", costs[how, on]))
    for how in LOADS:
        ratios = [three / one for three, one in zip(rates[how, "W=2 of 3"], rates[how, "one node"], strict=True)]
        row = figure(f"rate, {how}", "3 to 1", "times", ratios)
        judged = how != SPREAD
        report.add(evolve(row, goal=f"at least {GOAL_RATE}", met=row.median >= GOAL_RATE) if judged else row)
        ratios = [three / one for three, one in zip(costs[how, "W=2 of 3"], costs[how, "one node"], strict=True)]
        row = figure(f"processor time per ADD, {how}", "3 to 1", "times", ratios)
        report.add(evolve(row, goal=f"at most {GOAL_PROCESSOR}", met=row.median <= GOAL_PROCESSOR) if judged else row)


def _written(how: str, nodes: Sequence[NodeProcess], least: int, seed: int) -> tuple[float, float]:
    """Writes per second, each acknowledged by ``least`` nodes or more, and the processor time that all nodes spend on each in
    microseconds, until every one of them has it."""
    connections, send, count = LOADS[how]
    doors = nodes if how == SPREAD else nodes[:1]
    work = [request(item) for item in items(count, seed)]
    lines = [_Counting(node.address) for node in itertools.islice(itertools.cycle(doors), connections)]
    threads = [threading.Thread(target=send, args=(line, work[at::connections])) for at, line in enumerate(lines)]
    used_s = sum(node.cpu_s() for node in nodes)
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - start
    for node in nodes:
        line = Line(node.address)
        line.ask("SYNC 30")
        line.close()
    used_s = sum(node.cpu_s() for node in nodes) - used_s
    for line in lines:
        line.close()
    found = [copies for line in lines for copies in line.copies]
    assert len(found) == count and min(found) >= least, (how, len(found), min(found, default=0))
    return count / took_s, used_s / count * 1e6


class _Counting(Line):
    """Notes on how many nodes each write was when it was acknowledged."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address)
        self.copies: list[int] = []

    def line(self) -> bytes:
        """The next line of the answer."""
        found = super().line()
        if found[:3] == b"250":
            assert b"degraded" not in found, found
            self.copies.append(int(found.partition(b"copies=")[2].partition(b"/")[0]))
        return found


@define
class _Load:
    """Writes at a fixed rate, at all nodes: contents of 1 KiB, and tags for those, in turns."""

    nodes: Sequence[NodeProcess]
    ending: threading.Event = field(factory=threading.Event)
    done: Iterator[int] = field(factory=lambda: itertools.count())
    failures: list[Exception] = field(factory=list)

    def threads(self) -> list[threading.Thread]:
        """One for each connection."""
        connections = list(itertools.product(range(WRITERS_PER_NODE), self.nodes))
        pause_s = len(connections) / RATE_PER_S
        return [
            threading.Thread(target=self._run, args=(node, f"w{at}", pause_s, pause_s * at / len(connections)))
            for at, (_, node) in enumerate(connections)
        ]

    def _run(self, node: NodeProcess, name: str, pause_s: float, offset_s: float) -> None:
        try:
            self._write(Line(node.address), name, pause_s, time.perf_counter() + offset_s)
        except Exception as failure:  # noqa: BLE001 - whatever it is, whoever measures must hear of it
            self.failures.append(failure)

    def _write(self, line: Line, name: str, pause_s: float, due_s: float) -> None:
        id = ""
        for number in itertools.count():
            if self.ending.wait(max(0.0, due_s - time.perf_counter())):
                break
            due_s += pause_s
            if id:
                line.send(f"ADD-TAGS id:{id} | t{number % 500}\r\n".encode())
                answer, id = line.line(), ""
            else:
                line.send(f"ADD 1024 {name}-{number} load {name}\r\n".encode() + os.urandom(1024))
                assert line.line()[:3] == b"150"
                answer = line.line()
                id = answer.split()[1].decode()
            assert answer[:3] == b"250", answer
            next(self.done)
        line.close()


def _visible(report: Report) -> None:
    names = ("a", "b", "c", "d", "e")
    report.head(f"A new tag on the other four of five nodes, at {RATE_PER_S} writes per second; from when it is sent")
    with (
        tempfile.TemporaryDirectory(prefix="tagfs-bench-replicas-") as temporary,
        _cluster(Path(temporary), *names) as members,
    ):
        load = _Load(members)
        threads = load.threads()
        begin_s = time.perf_counter()
        for thread in threads:
            thread.start()
        try:
            first, last = _probe(members, begin_s + SECONDS)
        finally:
            took_s = time.perf_counter() - begin_s
            load.ending.set()
            for thread in threads:
                thread.join()
    assert not load.failures, load.failures
    rate = next(load.done) / took_s
    row = figure("writes", "five nodes", "/s", [rate])
    report.add(evolve(row, goal=f"at least {RATE_PER_S * 0.95:g}", met=row.median >= RATE_PER_S * 0.95))
    report.add(figure("a new tag on a node after", "each of four", "ms", first))
    row = figure("a new tag on all of them after", "the last", "ms", last)
    report.add(evolve(row, goal=f"p99 at most {GOAL_VISIBLE_MS}", met=row.p99 <= GOAL_VISIBLE_MS))


def _probe(members: Sequence[Member], until_s: float) -> tuple[list[float], list[float]]:
    """Milliseconds until a new tag is found: on each of the other nodes, and on the last of them."""
    lines = [Line(member.address) for member in members]
    writing = [Line(member.address) for member in members]
    single, last = [], []
    writing[0].send(b"ADD 0 probe\r\n")
    assert writing[0].line()[:3] == b"150"
    id = writing[0].line().split()[1].decode()
    for line in lines:
        _wait(lambda line=line: _count(line, f"id:{id}"), time.perf_counter())  # type: ignore[misc]
    for number in itertools.count():
        begin_s = time.perf_counter()
        if begin_s > until_s:
            break
        at = number % len(members)
        writing[at].send(f"ADD-TAGS id:{id} | probe{number}\r\n".encode())
        lacking = [line for place, line in enumerate(lines) if place != at]
        while lacking:
            for line in list(lacking):
                if _count(line, f"probe{number}"):
                    lacking.remove(line)
                    single.append((time.perf_counter() - begin_s) * 1000)
            assert time.perf_counter() - begin_s < LOST_S, "a tag does not come"
            if lacking:
                time.sleep(ASK_AGAIN_S)
        last.append((time.perf_counter() - begin_s) * 1000)
        assert writing[at].line()[:5] == b"250 1"
        time.sleep(max(0.0, begin_s + 1 / PROBES_PER_S - time.perf_counter()))
    for line in (*lines, *writing):
        line.close()
    return single, last


def _count(line: Line, query: str) -> int:
    line.send(f"COUNT {query}\r\n".encode())
    answer = line.line()
    assert answer[:3] == b"213", answer
    return int(answer.split()[1])


def _wait(condition: Callable[[], object], begin_s: float) -> None:
    while not condition():
        assert time.perf_counter() - begin_s < LOST_S
        time.sleep(ASK_AGAIN_S)
