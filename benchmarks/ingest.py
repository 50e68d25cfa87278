"""Durable ingest over the tag protocol: 1 KiB contents with six tags, each acknowledged after its fsync."""

from __future__ import annotations

import os
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


def run(report: Report) -> None:
    """Measures one pipelined connection, one that waits for each answer, and fifty side by side."""
    report.head("Durable ingest of 1 KiB contents with six tags, entries per second")
    for on, connections, waiting, count in (
        ("pipelined", 1, False, COUNT),
        ("one by one", 1, True, COUNT // 15),
        ("50 at once", 50, True, COUNT // 3),
    ):
        rates = [_rate(connections, waiting, count) for _ in range(RUNS)]
        row = figure("ADD 1 KiB, 6 tags, acknowledged after fsync", on, "/s", rates)
        if on == "pipelined":
            row = evolve(row, goal=f"at least {GOAL_PER_S:,}/s", met=row.median >= GOAL_PER_S)
        report.add(row)


def _rate(connections: int, waiting: bool, count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-") as directory, running(Path(directory, "data")) as node:
        work = [_request(item) for item in items(count)]
        shares = [work[start::connections] for start in range(connections)]
        lines = [Line(node.address) for _ in shares]
        send = _one_by_one if waiting else _pipelined
        threads = [threading.Thread(target=send, args=pair) for pair in zip(lines, shares, strict=True)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - start
        assert lines[0].ask("FIND | limit=1") == 2
        for line in lines:
            line.close()
        return count / took


def _request(item: Item) -> bytes:
    tags = " ".join((item.tags * 6)[:6])
    return f"ADD {SIZE} {item.name} {tags}\r\n".encode() + os.urandom(SIZE)


def _one_by_one(line: Line, requests: Sequence[bytes]) -> None:
    for request in requests:
        line.send(request)
        _acknowledged(line)


def _pipelined(line: Line, requests: Sequence[bytes]) -> None:
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
