"""Short look-ups run where they are asked for; a long one sends those after it to a thread for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from tagfs.errors import NotFound
from tagfs.node.nearby import REST, SHORT_S, Nearby


class Counted:
    """An Offload that counts, and runs at once."""

    def __init__(self) -> None:
        self.pending = 0
        self.calls = 0

    def run(self, call: Callable[[], Any]) -> Deferred[Any]:
        self.calls += 1
        return succeed(call())

    def stop(self) -> None:
        """Nothing is left."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nearby(clock: Clock) -> Nearby:
    return Nearby(clock.seconds)


def ask(nearby: Nearby, threads: Counted, call: Callable[[], Any]) -> Any:
    answers: list[Any] = []
    Deferred.fromCoroutine(nearby.run(threads, call)).addBoth(answers.append)
    (answer,) = answers
    return answer


def test_a_short_look_up_needs_no_thread(nearby):
    threads = Counted()
    assert [ask(nearby, threads, lambda: "found") for _ in range(3)] == ["found"] * 3
    assert threads.calls == 0


def test_after_a_long_one_threads_do_it_until_the_rest_is_over(nearby, clock):
    threads = Counted()
    took_s = 10 * SHORT_S
    ask(nearby, threads, lambda: clock.advance(took_s))
    assert ask(nearby, threads, lambda: "by a thread") == "by a thread"
    assert threads.calls == 1
    clock.advance(REST * took_s - 0.001)
    ask(nearby, threads, lambda: None)
    assert threads.calls == 2
    clock.advance(0.002)
    ask(nearby, threads, lambda: None)
    assert threads.calls == 2


def test_one_that_fails_late_counts_as_well(nearby, clock):
    def fail() -> None:
        clock.advance(1)
        raise NotFound("nothing")

    threads = Counted()
    assert ask(nearby, threads, fail).check(NotFound)
    ask(nearby, threads, lambda: None)
    assert threads.calls == 1
