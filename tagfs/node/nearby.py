"""Short look-ups where they are asked for, as long as they are short. Layer: node."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from tagfs.node.offload import Offload

T = TypeVar("T")

SHORT_S = 0.005
"""A look-up that takes longer, in seconds, is followed by a rest."""
REST = 50
"""How many times as long as that look-up the rest is: so others wait for them for a fiftieth of the time at most."""


class Nearby:
    """Runs look-ups on the reactor's thread: those of a record or a small content, which the system has in memory nearly always.

    To hand such a call to a thread and its answer back takes several times as long as the call, and a small file needs two or
    three. Where the device has to be waited for they are not short, so the first one that is not sends those after it
    to a thread for a while.
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        """``now_s`` is a clock in seconds that never goes back."""
        self._now_s = now_s
        self._rests_until_s = now_s()

    async def run(self, offload: Offload, call: Callable[[], T]) -> T:
        """The result of ``call``, which reads a bounded number of records or one small content; by ``offload`` while
        look-ups take long."""
        begun_s = self._now_s()
        if begun_s < self._rests_until_s:
            return await offload.run(call)
        try:
            return call()
        finally:
            ended_s = self._now_s()
            if ended_s - begun_s > SHORT_S:
                self._rests_until_s = ended_s + REST * (ended_s - begun_s)
