"""Runs coroutines without the price of a Deferred where nothing is waited for. Layer: front."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

from twisted.internet.defer import Deferred


class Work:
    """A coroutine that waits for something, or did."""

    __slots__ = ("_end", "_waits")

    def __init__(self, coroutine: Coroutine[Deferred[Any], Any, None], waiting: Deferred[Any]) -> None:
        self._waits = False
        self._end = Deferred.fromCoroutine(self._go_on(coroutine, waiting))

    def cancel(self) -> None:
        """Raises CancelledError where it waits. Harmless at its end, and from inside of it, where it does not wait."""
        if self._waits:
            self._end.cancel()

    def _go_on(
        self, coroutine: Coroutine[Deferred[Any], Any, None], waiting: Deferred[Any]
    ) -> Generator[Deferred[Any], Any, None]:
        while True:
            error: BaseException | None = None
            value: Any = None
            self._waits = True
            try:
                value = yield waiting
            except GeneratorExit:
                raise  # collected, with what it waits for; the coroutine is collected by itself, perhaps before this
            except BaseException as raised:  # noqa: BLE001 - handed to the coroutine, which is who awaits it
                error = raised
            self._waits = False
            try:
                waiting = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration:
                return


def begin(coroutine: Coroutine[Deferred[Any], Any, None]) -> Work | None:
    """Runs a coroutine up to where it first waits; None where it has come to its end.

    ``Deferred.fromCoroutine`` alone costs several times what a cheap command costs in all, and most commands never wait.
    The coroutine handles its own errors: one that it raises before it first waits is raised here.
    """
    try:
        waiting = coroutine.send(None)
    except StopIteration:
        return None
    return Work(coroutine, waiting)
