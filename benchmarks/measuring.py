"""Samples, their statistics, and how results are shown and kept."""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from attrs import define, field, frozen

T = TypeVar("T")


@frozen
class Figure:
    """One row of a table: what was measured, on what, and the result in ``unit``.

    ``median``, ``p95`` and ``p99`` are of single samples; ``spread`` is (p75 - p25) / median. ``goal`` is the text of
    the bound that ``met`` judges; both None where there is none.
    """

    what: str
    on: str
    unit: str
    median: float
    p95: float
    p99: float
    spread: float
    samples: int
    goal: str | None = None
    met: bool | None = None


def figure(what: str, on: str, unit: str, samples: Sequence[float]) -> Figure:
    """The statistics of one or more samples."""
    ordered = sorted(samples)
    middle = statistics.median(ordered)
    spread = (quantile(ordered, 0.75) - quantile(ordered, 0.25)) / middle if middle else 0.0
    return Figure(what, on, unit, middle, quantile(ordered, 0.95), quantile(ordered, 0.99), spread, len(ordered))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the sorted samples lie, nearest rank."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed_us(call: Callable[[], object]) -> float:
    """How long a call takes, in microseconds."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1000


def interleaved_us(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Times of each call in each of ``rounds`` rounds; all are called once per round, so that noise hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(timed_us(call))
    return times


@define
class Report:
    """Figures of one run, printed as they come."""

    figures: list[Figure] = field(factory=list)

    def add(self, row: Figure) -> None:
        """Takes and prints one figure."""
        self.figures.append(row)
        verdict = "" if row.met is None else f"  {'ok  ' if row.met else 'MISS'} {row.goal}"
        print(
            f"{row.what:<44} {row.on:<12} {show(row.median):>9} {show(row.p95):>9} {show(row.p99):>9} {row.unit:<9}"
            f" ±{row.spread:4.0%} n={row.samples}{verdict}",
            flush=True,
        )

    def head(self, title: str) -> None:
        """Prints the head of a table."""
        print(f"\n{title}\n{'':<44} {'on':<12} {'median':>9} {'p95':>9} {'p99':>9} unit", flush=True)

    def save(self, path: Path) -> None:
        """Writes all figures as JSON, with what ran them."""
        machine = {"python": sys.version.split()[0], "machine": platform.machine(), "system": platform.platform()}
        rows = [{name: getattr(row, name) for name in Figure.__annotations__} for row in self.figures]
        path.write_text(json.dumps({"machine": machine, "figures": rows}, indent=1) + "\n")

    @property
    def missed(self) -> list[Figure]:
        """The figures that miss their goal."""
        return [row for row in self.figures if row.met is False]


def show(value: float) -> str:
    """Three significant digits, without exponents."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most ``size``."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
