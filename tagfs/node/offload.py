"""Blocking work off the reactor thread: pools of threads. Layer: node."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")


class Offload(Protocol):
    """Runs blocking calls somewhere else and answers on the reactor thread."""

    pending: int
    """Calls that were not answered yet."""

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        """The result of ``call``, run as soon as a thread is free."""

    def stop(self) -> None:
        """Waits until all that was begun has ended, on the caller's thread."""


class Threads:
    """An :class:`Offload` of at most ``size`` threads, begun when they are needed. A full queue delays, it never grows
    callers: they wait for their answer.

    Twisted's own pool takes about twice as long to hand a call over and its answer back, which small files feel.
    """

    def __init__(self, reactor: IReactorFromThreads, size: int, name: str) -> None:
        self.pending = 0
        self._reactor = reactor
        self._size = size
        self._name = name
        self._threads: list[Thread] = []
        self._calls: SimpleQueue[tuple[Callable[[], Any], Deferred[Any]] | None] = SimpleQueue()

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        answer: Deferred[T] = Deferred()
        self.pending += 1
        if self.pending > len(self._threads) < self._size:
            thread = Thread(target=self._work, name=f"{self._name}-{len(self._threads)}")
            self._threads.append(thread)
            thread.start()
        self._calls.put((call, answer))
        return answer

    def _work(self) -> None:
        back = self._reactor.callFromThread
        while (task := self._calls.get()) is not None:
            call, answer = task
            try:
                result = call()
            except BaseException:  # noqa: BLE001 - all goes to whoever waits for the answer
                result = Failure()
            back(self._answered, answer, result)
            del task, call, answer, result  # nothing is held while the next call is waited for

    def _answered(self, answer: Deferred[Any], result: Any) -> None:
        self.pending -= 1
        answer.callback(result)  # a Failure is one for whoever waits, too

    def stop(self) -> None:
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()


class Inline:
    """An :class:`Offload` that runs everything at once: for tests and simulations, which have no threads."""

    pending = 0

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        answer: Deferred[T] = Deferred()
        try:
            result = call()
        except BaseException:  # noqa: BLE001 - all goes to whoever waits for the answer
            answer.errback(Failure())
        else:
            answer.callback(result)
        return answer

    def stop(self) -> None:
        """Nothing is ever left."""
