"""Bugs of the membership seeded on purpose: the simulation must catch each, or it proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tagfs.cluster.detection import Detector
from tagfs.cluster.outs import Outs


def _no_doubt(self: Detector, now: float) -> float:
    return 0.0


def _all_agree(self: Outs, node: str, voters: Any, out_after: float, now: float) -> int:
    return 1_000


def _no_probes(self: Detector, now: float) -> list[tuple[str, str]]:
    return []


BUGS: dict[str, tuple[object, str, object]] = {
    "no-self-doubt": (Detector, "doubt", _no_doubt),
    "minority-writes-out": (Outs, "_agree", _all_agree),
    "no-indirect-probes": (Detector, "to_probe", _no_probes),
}


@contextmanager
def seeded(bug: str | None) -> Iterator[None]:
    """With that bug in place (None: with none)."""
    if bug is None:
        yield
        return
    owner, name, wrong = BUGS[bug]
    right = getattr(owner, name)
    setattr(owner, name, wrong)
    try:
        yield
    finally:
        setattr(owner, name, right)
