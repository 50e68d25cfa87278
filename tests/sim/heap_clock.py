"""Twisted's test clock with its calls in a heap: the original sorts them all whenever one is added, which is most of a simulation."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock


class HeapClock(Clock):
    """A :class:`~twisted.internet.task.Clock` for many calls; equal times run in the order in which they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._numbers = count()

    def callLater(self, when: float, what: Callable[..., Any], *a: Any, **kw: Any) -> IDelayedCall:
        call = DelayedCall(self.seconds() + when, what, a, kw, lambda _: None, self._push, self.seconds)
        self._push(call)
        return call

    def _push(self, call: DelayedCall) -> None:
        heapq.heappush(self._heap, (call.getTime(), next(self._numbers), call))

    def getDelayedCalls(self) -> list[DelayedCall]:
        return [call for _time, _number, call in self._heap if call.active()]

    def soonest(self) -> float | None:
        """When the next call is due; None where there is none."""
        while self._heap and not self._heap[0][2].active():
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def advance(self, amount: float) -> None:
        self.rightNow += amount
        while (soonest := self.soonest()) is not None and soonest <= self.rightNow:
            _time, _number, call = heapq.heappop(self._heap)
            if call.getTime() > self.rightNow:  # it was put off since
                call.activate_delay()
                self._push(call)
            else:
                call.called = 1
                call.func(*call.args, **call.kw)
