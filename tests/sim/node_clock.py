"""The clock of one simulated process: its own rate and offset; it can stand still, and it dies with its process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer


@define(eq=False)
class _Call:
    """A delayed call; stays cancellable while it waits for a process that stands still."""

    clock: NodeClock
    run: Callable[[], Any]
    waiting: IDelayedCall | None = None

    def fire(self) -> None:
        self.waiting = None
        clock = self.clock
        if clock.dead:
            return
        if clock.base.seconds() < clock.still_until:
            self.waiting = clock.base.callLater(clock.still_until - clock.base.seconds(), self.fire)
        else:
            self.run()

    def active(self) -> bool:
        return self.waiting is not None

    def cancel(self) -> None:
        assert self.waiting is not None, "cancelled though it is over"
        self.waiting.cancel()
        self.waiting = None


@implementer(IReactorTime)
@define(eq=False)
class NodeClock:
    """``rate`` seconds of this process pass in a second of the simulation."""

    base: Clock
    offset: float = 0.0
    rate: float = 1.0
    still_until: float = field(default=0.0, init=False)
    dead: bool = field(default=False, init=False)

    def seconds(self) -> float:
        return self.base.seconds() * self.rate + self.offset

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any, **more: Any) -> _Call:
        made = _Call(self, lambda: call(*args, **more))
        made.waiting = self.base.callLater(delay / self.rate, made.fire)
        return made

    def getDelayedCalls(self) -> list[IDelayedCall]:
        raise NotImplementedError

    def stand_still(self, seconds: float) -> None:
        """Nothing of this process runs for so long, as under SIGSTOP; what comes meanwhile waits."""
        self.still_until = self.base.seconds() + seconds

    def when_running(self, call: Callable[[], Any]) -> None:
        """Runs something that came from outside: now, after the standstill, or never."""
        _Call(self, call).fire()
