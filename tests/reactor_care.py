"""What pytest-twisted leaves out: a time limit for every async test, and no leftovers after any test.

Async tests are plain ``async def`` functions (no decorator needed); async fixtures are declared with
``@pytest_twisted.async_fixture`` or ``@pytest_twisted.async_yield_fixture``. A test has 20 seconds, or what
``@pytest.mark.limit(seconds)`` says; any test, async or not, is ended after two minutes. A delayed call, open socket or
thread that outlives its test fails it, and so does a logged failure or a Deferred error nobody looked at, unless the
test takes it with the fixture ``flush_logged_errors``.
"""

from __future__ import annotations

import functools
import gc
import inspect
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer, task
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

LIMIT_S = 20.0
# For each phase of a test that blocks, where the limit above cannot end it. The run then goes on.
BLOCKED_LIMIT_S = 120.0
# Closing a socket or joining a thread takes a few turns of the reactor; more than this is a leak.
GRACE_S = 2.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"limit(seconds): this async test may take longer than {LIMIT_S:.0f} s")


def pytest_collection_finish(session: pytest.Session) -> None:
    _spare_what_is_there()


@pytest.fixture(scope="module", autouse=True)
def _spared() -> Iterator[None]:
    """Each module of tests leaves something that stays (caches, modules imported late)."""
    yield
    _spare_what_is_there()


def _spare_what_is_there() -> None:
    # It never becomes garbage, most of it: sparing it makes the collection after each async test cheap.
    gc.collect()
    gc.freeze()


def _limited(function: Callable[..., Any], seconds: float) -> Callable[..., defer.Deferred[Any]]:
    @functools.wraps(function)
    def run(**arguments: Any) -> defer.Deferred[Any]:
        from twisted.internet import reactor

        return defer.Deferred.fromCoroutine(function(**arguments)).addTimeout(seconds, reactor)

    return run


def _is_async(item: pytest.Function) -> bool:
    hypothesis = getattr(item.obj, "hypothesis", None)
    return inspect.iscoroutinefunction(hypothesis.inner_test if hypothesis else item.obj)


def _limit_of(item: pytest.Item, default: float) -> float:
    mark = item.get_closest_marker("limit")
    return float(mark.args[0]) if mark else default


@contextmanager
def _ended_when_blocked(item: pytest.Item) -> Iterator[None]:
    """Raises in the main thread when the phase takes too long, even out of a lock that nobody lets go of."""
    seconds = max(BLOCKED_LIMIT_S, _limit_of(item, 0) * 1.5)

    def end(number: int, frame: object) -> None:
        pytest.fail(f"still not through after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _ended_when_blocked(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _ended_when_blocked(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with _ended_when_blocked(item):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Puts the limit round an async test; pytest-twisted then runs it."""
    if not _is_async(pyfuncitem):
        return
    seconds = _limit_of(pyfuncitem, LIMIT_S)
    hypothesis = getattr(pyfuncitem.obj, "hypothesis", None)
    if hypothesis:
        hypothesis.inner_test = _limited(hypothesis.inner_test, seconds)
    else:
        pyfuncitem.obj = _limited(pyfuncitem.obj, seconds)


def _open_things() -> dict[int, object]:
    """What is alive in the reactor and outside it, by identity."""
    from twisted.internet import reactor

    things: list[object] = [*reactor.getReaders(), *reactor.getWriters()]
    # A loop inside a fixture of the whole module makes a new delayed call each round: its function tells it apart.
    things += [getattr(call.func, "__self__", call.func) for call in reactor.getDelayedCalls()]
    things += [thread for thread in threading.enumerate() if not thread.name.startswith("PoolThread-twisted")]
    return {id(thing): thing for thing in things}


def _leftovers(before: dict[int, object]) -> list[str]:
    return sorted({repr(thing) for key, thing in _open_things().items() if key not in before})


async def _wait_until_clean(before: dict[int, object]) -> list[str]:
    from twisted.internet import reactor

    deadline = time.monotonic() + GRACE_S
    while (left := _leftovers(before)) and time.monotonic() < deadline:
        await task.deferLater(reactor, 0.005)
    return left


class LoggedErrors:
    """The failures logged during one test. Calling it takes those of the given types out (all, without a type)."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    def observe(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self.failures.append(failure)

    def __call__(self, *types: type[BaseException]) -> list[Failure]:
        gc.collect()
        taken = [failure for failure in self.failures if not types or failure.check(*types)]
        self.failures = [failure for failure in self.failures if failure not in taken]
        return taken


@pytest.fixture(scope="session", autouse=True)
def _started_reactor(twisted_greenlet: object) -> None:
    """The reactor runs before the first test looks at what is in it."""
    from twisted.internet import reactor

    pytest_twisted.blockon(task.deferLater(reactor, 0))


@pytest.fixture(autouse=True)
def flush_logged_errors(request: pytest.FixtureRequest, _started_reactor: None) -> Iterator[LoggedErrors]:
    """Fails the test for what it leaves behind. As a value: ``flush_logged_errors(ValueError)`` takes expected ones."""
    before = _open_things()
    errors = LoggedErrors()
    globalLogPublisher.addObserver(errors.observe)
    yield errors
    left: list[str] = []
    if _leftovers(before):
        left = pytest_twisted.blockon(defer.Deferred.fromCoroutine(_wait_until_clean(before)))
    if isinstance(request.node, pytest.Function) and inspect.iscoroutinefunction(inspect.unwrap(request.node.obj)):
        gc.collect()  # a Deferred reports its unhandled error when it is collected
    globalLogPublisher.removeObserver(errors.observe)
    if left:
        pytest.fail("left behind by the test:\n  " + "\n  ".join(left), pytrace=False)
    if errors.failures:
        pytest.fail("logged failures:\n" + "\n".join(f.getTraceback() for f in errors.failures), pytrace=False)
