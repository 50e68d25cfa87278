"""A bound on bytes per second. Layer: node."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


class Pace:
    """Lets ``per_s`` bytes pass in a second, a second's worth at once after a rest. Who asks waits in order."""

    def __init__(self, clock: IReactorTime, per_s: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._free_at_s = clock.seconds()

    async def __call__(self, size: int) -> None:
        """Returns when so many more bytes may be asked for."""
        now_s = self._clock.seconds()
        begin_s = max(self._free_at_s, now_s - 1)
        self._free_at_s = begin_s + size / self._per_s
        if begin_s > now_s:
            waiting: Deferred[None] = Deferred()
            self._clock.callLater(begin_s - now_s, waiting.callback, None)
            await waiting
