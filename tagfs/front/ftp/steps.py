"""Runs coroutines without the price of a Deferred where nothing is waited for. Layer: front."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

from twisted.internet.defer import Deferred


def begin(work: Coroutine[Deferred[Any], Any, None]) -> Deferred[None] | None:
    """Runs a coroutine up to where it first waits, and returns the Deferred of its end; None where it has ended.

    ``Deferred.fromCoroutine`` does the same, and costs several times what a cheap command costs in all. Most
    commands never wait. ``work`` handles its own errors: one that it raises before it first waits is raised here.
    """
    try:
        waiting = work.send(None)
    except StopIteration:
        return None
    return Deferred.fromCoroutine(_go_on(work, waiting))


def _go_on(work: Coroutine[Deferred[Any], Any, None], waiting: Deferred[Any]) -> Generator[Deferred[Any], Any, None]:
    """The rest of a coroutine that waits already."""
    while True:
        error: BaseException | None = None
        value: Any = None
        try:
            value = yield waiting
        except BaseException as raised:  # noqa: BLE001 - handed to the coroutine, which is who awaits it
            error = raised
        try:
            waiting = work.send(value) if error is None else work.throw(error)
        except StopIteration:
            return
