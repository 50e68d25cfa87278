"""Runs coroutines without the price of a Deferred of their own. Layer: front."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class Work:
    """A coroutine that waits for something, or did."""

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Deferred[Any], Any, None], waiting: Deferred[Any]) -> None:
        self._coroutine = coroutine
        self._waiting: Deferred[Any] | None = None
        self._wait(waiting)

    def cancel(self) -> None:
        """Raises CancelledError where it waits. Harmless at its end, and from inside of it, where it does not wait."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _wait(self, waiting: Deferred[Any]) -> None:
        self._waiting = waiting
        waiting.addBoth(self._go_on)

    def _go_on(self, result: object) -> None:
        self._waiting = None
        error = result.value if isinstance(result, Failure) else None
        try:
            # A result need not be sent: the Deferred that it awaits still has it, and gives it.
            waiting = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            return
        self._wait(waiting)


def begin(coroutine: Coroutine[Deferred[Any], Any, None]) -> Work | None:
    """Runs a coroutine up to where it first waits; None where it has come to its end.

    ``Deferred.fromCoroutine`` costs several times what a cheap command costs in all; nobody waits for the end of this.
    So the coroutine handles its own errors: one that it raises before it first waits is raised here, a later one is logged
    as that of an unhandled Deferred.
    """
    try:
        waiting = coroutine.send(None)
    except StopIteration:
        return None
    return Work(coroutine, waiting)
