"""Coroutines that are run without a Deferred of their own."""

from __future__ import annotations

import gc
import sys

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tagfs.front.steps import begin


def test_runs_to_the_end_and_hands_on_what_is_waited_for() -> None:
    """Values and errors reach the coroutine; one that waits for nothing leaves no work."""
    first: Deferred[int] = Deferred()
    second: Deferred[int] = Deferred()
    seen: list[object] = []

    async def work() -> None:
        seen.append(await first)
        try:
            await second
        except ValueError as error:
            seen.append(str(error))

    async def idle() -> None:
        seen.append("idle")

    assert begin(work()) is not None
    first.callback(1)
    second.errback(ValueError("no"))
    assert begin(idle()) is None
    assert seen == [1, "no", "idle"]


def test_cancel_reaches_the_coroutine() -> None:
    """It gets a CancelledError where it waits."""
    seen = []

    async def work() -> None:
        try:
            await Deferred()
        except CancelledError:
            seen.append("cancelled")

    begun = begin(work())
    assert begun is not None
    begun.cancel()
    begun.cancel()
    assert seen == ["cancelled"]


@pytest.mark.parametrize("inner", [False, True])
def test_work_that_nobody_holds_goes_quietly(monkeypatch: pytest.MonkeyPatch, inner: bool) -> None:
    """What waits for something that can never come is collected in any order, without a complaint."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    ended = []

    async def waits(holding: list[object]) -> None:
        never: Deferred[None] = Deferred()
        holding.append(never)
        try:
            await never
        finally:
            ended.append(True)

    for _ in range(5):
        holding: list[object] = []
        coroutine = waits(holding)
        holding.append(begin(coroutine))
        if inner:
            coroutine.close()
        del holding, coroutine
    gc.collect()
    assert not complaints
    assert len(ended) == 5
