"""Threads for blocking calls: results and errors come back on the reactor's thread, in any number of calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from twisted.internet.defer import gatherResults

from tagfs.node.offload import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    from twisted.internet import reactor

    made = Threads(reactor, 3, "test")
    yield made
    made.stop()


async def test_results_and_errors_come_back(threads: Threads) -> None:
    """Whoever asked hears it, on the reactor's thread; an error takes no thread along."""
    here = threading.current_thread()
    assert await threads.run(threading.current_thread) is not here
    assert threading.current_thread() is here
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
    assert await gatherResults([threads.run(lambda number=number: number) for number in range(100)]) == [*range(100)]
    assert threads.pending == 0


async def test_there_are_no_more_threads_than_that(threads: Threads) -> None:
    """Calls that block together use all threads; more calls wait for a free one."""
    together = threading.Barrier(3)
    names = await gatherResults([threads.run(lambda: (together.wait(10), threading.get_ident())[1]) for _ in range(9)])
    assert len(set(names)) == 3
    assert sum(thread.name.startswith("test-") for thread in threading.enumerate()) == 3


async def test_stop_waits_for_what_was_begun() -> None:
    """On the caller's thread; afterwards no thread is left."""
    from twisted.internet import reactor

    threads = Threads(reactor, 2, "ending")
    done: list[int] = []
    answers = [threads.run(lambda number=number: done.append(number)) for number in range(10)]
    threads.stop()
    assert len(done) == 10
    assert not any(thread.name.startswith("ending-") for thread in threading.enumerate())
    await gatherResults(answers)
