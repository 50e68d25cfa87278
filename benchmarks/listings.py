"""FTP listings of a directory that holds everything: how fast, in how much memory, and how long others wait meanwhile."""

from __future__ import annotations

import multiprocessing
import time
from functools import partial
from pathlib import Path

from attrs import evolve

from benchmarks.ftp_client import FtpClient
from benchmarks.measuring import Report, figure, timed_us
from benchmarks.node import Line, growth, running

DIRECTORY = "/@query/not nosuchtag"
GROWTH_MIB, NOOP_MS = 48, 20.0
_FORK = multiprocessing.get_context("fork")


def run(report: Report, data: Path, count: int) -> None:
    """Measures on the data set of ``count`` entries in ``data``."""
    report.head(f"FTP listings of {count:,} entries in one directory")
    with running(data) as node:
        for command in ("MLSD", "LIST", "NLST"):
            client = FtpClient(node.address)
            over = _FORK.Event()
            times = _FORK.Queue()
            # In a process of its own: a thread would share this interpreter's lock with the client.
            watcher = _FORK.Process(target=_watch, args=(node.address, over, times))
            watcher.start()
            grown, took_us = growth(node, partial(_list, client, f"{command} {DIRECTORY}", count))
            over.set()
            waited = times.get()
            watcher.join()
            client.close()
            report.add(figure(command, "tagfs", "rows/s", [count / took_us * 1e6]))
            row = figure(f"growth during {command}", "tagfs", "MiB", [grown])
            report.add(evolve(row, goal=f"under {GROWTH_MIB} MiB", met=grown < GROWTH_MIB))
            row = figure(f"NOOP beside {command}", "tagfs", "ms", waited)
            report.add(evolve(row, goal=f"p99 under {NOOP_MS:g} ms", met=row.p99 < NOOP_MS))


def _list(client: FtpClient, command: str, count: int) -> None:
    lines = client.down(command)[1]
    assert lines == count, (command, lines)


def _watch(address: tuple[str, int], over: multiprocessing.synchronize.Event, times: object) -> None:
    line = Line(address)
    waited = []
    while not over.is_set():
        waited.append(timed_us(lambda: line.ask("NOOP")) / 1000)
        time.sleep(0.002)
    line.close()
    times.put(waited)  # type: ignore[attr-defined]
