"""Tag-queries over the tag protocol: counts, first pages, facets; beside PostgreSQL (GIN) and Redis on the same data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from attrs import evolve

from benchmarks import peers
from benchmarks.dataset import QUERIES
from benchmarks.measuring import Report, figure, interleaved_us
from benchmarks.node import Line, running

ROUNDS = 300
PEER_ROUNDS = 40
COUNT_MS, PAGE_MS, FACETS_MS = 1.0, 3.0, 15.0
TIMES_POSTGRESQL = 10


def run(report: Report, data: Path, count: int) -> None:
    """Measures the queries on the data set of ``count`` entries in ``data``.

    The times are what a client sees, its own work and the loopback included, so they are an upper bound of the node's.
    First our own, each beside a NOOP (the floor of a round trip at that moment); then in turns with the peers, for
    the ratios.
    """
    with running(data) as node:
        line = Line(node.address)
        report.head(f"Tag-queries at {count:,} entries, µs as the client sees them")
        for what, query in QUERIES.items():
            _own(report, line, f"count, {what}", f"COUNT {query}", COUNT_MS)
        for what, query in QUERIES.items():
            _own(report, line, f"first 100 rows, {what}", f"FIND {query} | limit=100", PAGE_MS)
        for what, query in {**QUERIES, "everything": ""}.items():
            _own(report, line, f"top 20 tags, {what}", f"TAGS {query} | limit=20", FACETS_MS)
        with peers.all_with(count) as others:
            _beside(report, line, others)
        line.close()


def _own(report: Report, line: Line, what: str, command: str, goal_ms: float) -> None:
    times = interleaved_us({"NOOP": partial(line.ask, "NOOP"), "tagfs": partial(line.ask, command)}, ROUNDS)
    report.add(figure(f"  (NOOP beside: {what})", "floor", "µs", times["NOOP"]))
    row = figure(what, "tagfs", "µs", times["tagfs"])
    report.add(evolve(row, goal=f"p95 under {goal_ms:g} ms", met=row.p95 < goal_ms * 1000))


def _beside(report: Report, line: Line, others: Sequence[peers.Peer]) -> None:
    report.head("In turns with the peers")
    ratios = []
    for what, query in QUERIES.items():
        calls: dict[str, Callable[[], object]] = {"tagfs": partial(line.ask, f"COUNT {query}")}
        medians = _in_turns(
            report, f"count, {what}", calls | {peer.name: partial(peer.count, query) for peer in others}
        )
        if "PostgreSQL" in medians:
            ratios.append(medians["PostgreSQL"] / medians["tagfs"])
    for what, query in QUERIES.items():
        calls = {"tagfs": partial(line.ask, f"FIND {query} | limit=100")}
        _in_turns(report, f"first 100 rows, {what}", calls | {peer.name: partial(peer.first, query) for peer in others})
    if ratios:
        row = figure("counts: PostgreSQL's median over ours, least", "ratio", "×", [min(ratios)])
        report.add(evolve(row, goal=f"at least {TIMES_POSTGRESQL}", met=min(ratios) >= TIMES_POSTGRESQL))


def _in_turns(report: Report, what: str, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Prints a figure per system, and returns the medians."""
    medians = {}
    for on, samples in interleaved_us(calls, PEER_ROUNDS).items():
        row = figure(what, on, "µs", samples)
        report.add(row)
        medians[on] = row.median
    return medians
