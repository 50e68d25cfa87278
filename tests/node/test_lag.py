"""The lag of the reactor is measured, told for a while, and then forgotten."""

from __future__ import annotations

from twisted.internet.task import Clock

from tagfs.node.lag import EVERY_S, WINDOW_S, Lag


def value(lag: Lag) -> float:
    (figure,) = lag.figures()
    return round(figure.value, 6)


def test_a_stall_is_seen_and_forgotten() -> None:
    """A call that comes two seconds late is told as two seconds, for one to two windows."""
    clock = Clock()
    lag = Lag(clock)
    lag.start()
    clock.pump([EVERY_S] * 4)
    assert value(lag) == 0
    clock.advance(EVERY_S + 2)
    assert value(lag) == 2
    clock.pump([EVERY_S] * int(WINDOW_S / EVERY_S))
    assert value(lag) == 2
    clock.pump([EVERY_S] * 2 * int(WINDOW_S / EVERY_S))
    assert value(lag) == 0
    lag.stop()
    lag.stop()
    assert not clock.getDelayedCalls()
