"""Waiting until enough nodes have what was written here. Layer: node."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

_SWEEP_S = 0.1
"""How exactly the end of waiting is kept: one timer for all that wait."""


@define(eq=False)
class _Waiting:
    ready: Callable[[], bool]
    end: float
    fired: Deferred[None] = field(factory=Deferred)


class Patience:
    """Everybody who waits for something that others confirm: asked anew at each :meth:`settle`, and let go when time is over."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[_Waiting, None] = {}
        self._timer: IDelayedCall | None = None

    async def until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Waits until ``ready`` says so, at most about ``seconds``; whether it does."""
        if ready():
            return True
        if seconds <= 0:
            return False
        waiting = _Waiting(ready, self._clock.seconds() + seconds)
        self._waiting[waiting] = None
        if self._timer is None:
            self._timer = self._clock.callLater(_SWEEP_S, self._sweep)
        try:
            await waiting.fired
        finally:
            self._waiting.pop(waiting, None)
        return ready()

    def settle(self) -> None:
        """Something was confirmed, or the cluster changed."""
        for waiting in list(self._waiting):
            if waiting.ready():
                self._fire(waiting)

    def stop(self) -> None:
        """Nobody waits any longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in list(self._waiting):
            self._fire(waiting)

    def _fire(self, waiting: _Waiting) -> None:
        self._waiting.pop(waiting, None)
        if not waiting.fired.called:
            waiting.fired.callback(None)

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for waiting in list(self._waiting):
            if waiting.end <= now:
                self._fire(waiting)
        if self._waiting:
            self._timer = self._clock.callLater(_SWEEP_S, self._sweep)
