"""Durable ingest over the tag protocol: 1 KiB contents with six tags, each acknowledged after its fsync."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from benchmarks.dataset import Item, items
from benchmarks.measuring import Report, figure
from benchmarks.node import Line, running

SIZE = 1024
COUNT = 30_000
RUNS = 3
GOAL_PER_S = 5_000


def run(report: Report, data: Path, count: int) -> None:
    """Measures one pipelined connection, one that waits for each answer, and fifty side by side, on a copy of the data set.

    The same on an empty node would flatter: there, all of the database's indexes fit in memory.
    """
    report.head(f"Durable ingest of 1 KiB contents with six tags at {count:,} entries, entries per second")
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-") as directory:
        copy = Path(directory, "data")
        shutil.copytree(data, copy)
        seed = 0
        for on, connections, waiting, number in (
            ("pipelined", 1, False, COUNT),
            ("one by one", 1, True, COUNT // 15),
            ("50 at once", 50, True, COUNT // 3),
        ):
            rates, costs = [], []
            for _ in range(RUNS):
                seed += 1
                rate, cost_us = _measured(copy, connections, waiting, list(items(number, seed)))
                rates.append(rate)
                costs.append(cost_us)
            row = figure("ADD 1 KiB, 6 tags, acknowledged after fsync", on, "/s", rates)
            if on == "pipelined":
                row = evolve(row, goal=f"at least {GOAL_PER_S:,}/s", met=row.median >= GOAL_PER_S)
            report.add(row)
            report.add(figure("  processor time of the node per ADD", on, "µs", costs))


def _measured(data: Path, connections: int, waiting: bool, entries: Sequence[Item]) -> tuple[float, float]:
    """Entries per second, and the node's processor time for each in microseconds."""
    work = [request(item) for item in entries]
    shares = [work[start::connections] for start in range(connections)]
    os.sync()
    with running(data) as node:
        lines = [Line(node.address) for _ in shares]
        lines[0].ask("NOOP")
        send = one_by_one if waiting else pipelined
        threads = [threading.Thread(target=send, args=pair) for pair in zip(lines, shares, strict=True)]
        used_s = node.cpu_s()
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - start
        used_s = node.cpu_s() - used_s
        assert lines[0].ask("FIND | limit=1") == 2
        for line in lines:
            line.close()
    return len(work) / took, used_s / len(work) * 1e6


def request(item: Item) -> bytes:
    """An ADD of a new 1 KiB content with six tags, as it is sent."""
    tags = " ".join((item.tags * 6)[:6])
    return f"ADD {SIZE} {item.name} {tags}\r\n".encode() + os.urandom(SIZE)


def one_by_one(line: Line, requests: Sequence[bytes]) -> None:
    """Sends each request when the one before it is acknowledged."""
    for request in requests:
        line.send(request)
        _acknowledged(line)


def pipelined(line: Line, requests: Sequence[bytes]) -> None:
    """Sends all, and reads the answers meanwhile."""

    def send() -> None:
        for start in range(0, len(requests), 100):
            line.send(b"".join(requests[start : start + 100]))

    sender = threading.Thread(target=send)
    sender.start()
    for _ in requests:
        _acknowledged(line)
    sender.join()


def _acknowledged(line: Line) -> None:
    first, last = line.line(), line.line()
    assert first[:3] == b"150", first
    assert last[:3] == b"250", last
