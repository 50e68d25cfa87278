"""Start-up, memory, streams and responsiveness of a node with the data set in it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

from attrs import evolve

from benchmarks.dataset import tag
from benchmarks.measuring import Report, figure, timed_us
from benchmarks.node import Line, growth, running
from tests.campaigns.node_process import NodeProcess

MIB = 1 << 20
START_S, RESIDENT_MIB, GROWTH_MIB, BLOCKED_MS = 2.0, 350, 48, 20.0
BODY = 3 << 30


def run(report: Report, data: Path, count: int) -> None:
    """Measures on the data set of ``count`` entries in ``data``."""
    report.head(f"Start, memory and streams at {count:,} entries")
    starts = []
    for _ in range(5):
        node = NodeProcess(data)
        starts.append(timed_us(node.start) / 1e6)
        resident = node.resident_bytes() / MIB
        node.stop()
    row = figure("start to run.json", "tagfs", "s", starts)
    report.add(evolve(row, goal=f"within {START_S:g} s", met=row.median <= START_S))
    row = figure("resident memory after the start", "tagfs", "MiB", [resident])
    report.add(evolve(row, goal=f"under {RESIDENT_MIB} MiB", met=resident < RESIDENT_MIB))
    with running(data) as node:
        _streams(report, node, count)
        _responsiveness(report, node)
        resident = node.resident_bytes() / MIB
        row = figure("resident memory after all of this", "tagfs", "MiB", [resident])
        report.add(evolve(row, goal=f"under {RESIDENT_MIB} MiB", met=resident < RESIDENT_MIB))
    _large_body(report)


def _streams(report: Report, node: NodeProcess, count: int) -> None:
    line = Line(node.address)
    line.ask("COUNT")
    for query, what in (("FIND", "newest first"), ("FIND | sort=name", "by name"), ("FIND | sort=-size", "by size")):
        rows = 0

        def ask(query: str = query) -> None:
            nonlocal rows
            rows = line.ask(query) - 1

        grown, took_us = growth(node, ask)
        assert rows == count, (rows, count)
        report.add(figure(f"FIND of everything, {what}", "tagfs", "rows/s", [count / took_us * 1e6]))
        row = figure(f"growth during FIND of everything, {what}", "tagfs", "MiB", [grown])
        report.add(evolve(row, goal=f"under {GROWTH_MIB} MiB", met=grown < GROWTH_MIB))
    line.close()


def _responsiveness(report: Report, node: NodeProcess) -> None:
    """How long a NOOP takes while another session asks the heaviest things: the reactor is never held for long."""
    context = multiprocessing.get_context("fork")
    heavy = {
        "nothing": "NOOP",
        "FIND of everything": "FIND",
        "FIND by name": "FIND | sort=name",
        "names by pattern": "COUNT name:*77.jpg",
        "size and time ranges": "COUNT size:>10K and modified:>2020",
        "all tags of all": "TAGS | limit=10000 sort=name",
        "facets of a broad tag": f"TAGS {tag(0)} | limit=20",
        "tags by pattern": "COUNT tag0* or tag1*",
        "not": f"FIND not {tag(0)} | limit=1000 sort=-size",
    }
    for what, command in heavy.items():
        over = context.Event()
        # A process of its own: a thread here would share this interpreter's lock, and we would measure that.
        loader = context.Process(target=_load, args=(node.address, command, over))
        loader.start()
        line = Line(node.address)
        times = []
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            times.append(timed_us(partial(line.ask, "NOOP")) / 1000)
            time.sleep(0.002)
        over.set()
        loader.join()
        line.close()
        row = figure(f"NOOP beside: {what}", "tagfs", "ms", times)
        report.add(evolve(row, goal=f"p99 under {BLOCKED_MS:g} ms", met=row.p99 < BLOCKED_MS))


def _load(address: tuple[str, int], command: str, over: Event) -> None:
    line = Line(address)
    while not over.is_set():
        line.ask(command)
    line.close()


def _large_body(report: Report) -> None:
    """One ADD of 3 GiB: the rate, and the memory it takes."""
    piece = os.urandom(MIB)
    directory = tempfile.mkdtemp(prefix="tagfs-bench-")
    try:
        with running(Path(directory, "data")) as node:
            line = Line(node.address)
            line.ask("NOOP")

            def add() -> None:
                line.send(f"ADD {BODY} large.bin big\r\n".encode())
                for _ in range(BODY // MIB):
                    line.send(piece)
                assert line.line()[:3] == b"150"
                assert line.line()[:3] == b"250"

            grown, took_us = growth(node, add)
            line.close()
    finally:
        shutil.rmtree(directory)
    report.add(figure("ADD of 3 GiB, durable", "tagfs", "MiB/s", [BODY / MIB / took_us * 1e6]))
    row = figure("growth during ADD of 3 GiB", "tagfs", "MiB", [grown])
    report.add(evolve(row, goal=f"under {GROWTH_MIB} MiB", met=grown < GROWTH_MIB))
