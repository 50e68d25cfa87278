"""How late the reactor is: the figure that tells that something keeps its thread. Layer: node."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from tagfs.node.interfaces import Figure

EVERY_S = 0.5
"""How often it is measured."""
WINDOW_S = 30.0
"""The worst of the present window and the one before it is told: nobody who looks twice a minute misses a stall."""


class Lag:
    """Asks to be called at a certain time, and sees how much later that happens."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._worst_s = 0.0
        self._before_s = 0.0
        self._began_s = self._due_s = clock.seconds()
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Measures from now on; :meth:`stop` ends it."""
        self._due_s = self._clock.seconds() + EVERY_S
        self._call = self._clock.callLater(EVERY_S, self._measure)

    def stop(self) -> None:
        """Harmless when repeated."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def figures(self) -> Iterable[Figure]:
        """For INode.figures."""
        worst_s = max(self._worst_s, self._before_s)
        yield Figure("reactor_lag_seconds", "How late the reactor was, at worst in the last 30 to 60 seconds.", worst_s)

    def _measure(self) -> None:
        now_s = self._clock.seconds()
        if now_s - self._began_s >= WINDOW_S:
            self._before_s, self._worst_s, self._began_s = self._worst_s, 0.0, now_s
        self._worst_s = max(self._worst_s, now_s - self._due_s)
        self.start()
