"""Tag-queries over the tag protocol: counts, first pages, facets; beside PostgreSQL (GIN) and Redis on the same data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from attrs import evolve

from benchmarks import peers
from benchmarks.dataset import QUERIES
from benchmarks.measuring import Figure, Report, figure, interleaved_us
from benchmarks.node import Line, running

ROUNDS = 300
COUNT_MS, PAGE_MS, FACETS_MS = 1.0, 3.0, 15.0


def run(report: Report, data: Path, count: int) -> None:
    """Measures the queries on the data set of ``count`` entries in ``data``.

    The times are what a client sees, its own work and the loopback included, so they are an upper bound of the node's.
    """
    with running(data) as node, peers.all_with(count) as others:
        line = Line(node.address)
        report.head(f"Tag-queries at {count:,} entries, µs as the client sees them")
        report.add(figure("NOOP (the floor of a round trip)", "tagfs", "µs", _times(partial(line.ask, "NOOP"))))
        slower = []
        for what, query in QUERIES.items():
            calls: dict[str, Callable[[], object]] = {"tagfs": partial(line.ask, f"COUNT {query}")}
            calls |= {peer.name: partial(peer.count, query) for peer in others}
            times = interleaved_us(calls, ROUNDS)
            for on, samples in times.items():
                row = figure(f"count, {what}", on, "µs", samples)
                report.add(_judged(row, COUNT_MS) if on == "tagfs" else row)
            if "PostgreSQL" in times:
                slower.append(
                    figure(f"count, {what}", "", "µs", times["PostgreSQL"]).median
                    / figure(f"count, {what}", "", "µs", times["tagfs"]).median
                )
        if slower:
            least = min(slower)
            row = figure("counts: PostgreSQL's time over ours, least", "ratio", "×", [least])
            report.add(evolve(row, goal="at least 10", met=least >= 10))
        for what, query in QUERIES.items():
            calls = {"tagfs": partial(line.ask, f"FIND {query} | limit=100")}
            calls |= {peer.name: partial(peer.first, query) for peer in others}
            for on, samples in interleaved_us(calls, ROUNDS // 3).items():
                row = figure(f"first 100 rows, {what}", on, "µs", samples)
                report.add(_judged(row, PAGE_MS) if on == "tagfs" else row)
        for what, query in {**QUERIES, "everything": ""}.items():
            row = figure(f"top 20 tags, {what}", "tagfs", "µs", _times(partial(line.ask, f"TAGS {query} | limit=20")))
            report.add(_judged(row, FACETS_MS))
        line.close()


def _times(call: Callable[[], object]) -> list[float]:
    return interleaved_us({"": call}, ROUNDS)[""]


def _judged(row: Figure, goal_ms: float) -> Figure:
    return evolve(row, goal=f"p95 under {goal_ms:g} ms", met=row.p95 < goal_ms * 1000)
