"""The checks that guard all other tests catch what they are there to catch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PLANTED = """
import threading

import pytest
import pytest_twisted
from twisted.internet import defer, protocol, reactor, task
from twisted.logger import Logger
from twisted.python.failure import Failure

async def test_good():
    await task.deferLater(reactor, 0)

async def test_good_closes_port():
    port = reactor.listenTCP(0, protocol.ServerFactory(), interface="127.0.0.1")
    await defer.maybeDeferred(port.stopListening)

async def test_good_expected_failure(flush_logged_errors):
    Logger().failure("expected", Failure(ValueError("x")))
    assert len(flush_logged_errors(ValueError)) == 1

@pytest_twisted.async_yield_fixture(scope="module")
async def ticking():
    loop = task.LoopingCall(lambda: None)
    loop.start(0.001)
    yield loop
    loop.stop()

async def test_good_loop_of_the_module(ticking):
    await task.deferLater(reactor, 0.01)

def test_bad_delayed_call():
    reactor.callLater(60, lambda: None)

async def test_bad_port():
    reactor.listenTCP(0, protocol.ServerFactory(), interface="127.0.0.1")

def test_bad_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

async def test_bad_logged_failure():
    Logger().failure("surprise", Failure(ValueError("x")))

async def test_bad_lost_error():
    defer.fail(ValueError("nobody looked"))

@pytest.mark.limit(0.05)
async def test_bad_never_ends():
    await defer.Deferred()

def test_bad_blocked():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

async def test_bad_assertion():
    assert False

async def test_bad_forgotten_coroutine():
    test_good()

def test_skip_missing(require_tool):
    require_tool("tmsu")

@pytest.mark.tool("tmsu")
def test_skip_marked():
    pass
"""


def run_planted(directory: Path, only: str = "test", **environ: str) -> subprocess.CompletedProcess[str]:
    (directory / "conftest.py").write_text(
        "import tests.reactor_care\n"
        "tests.reactor_care.GRACE_S = 0.2\n"
        "tests.reactor_care.BLOCKED_LIMIT_S = 1.0\n"
        'pytest_plugins = ["tests.system_tools", "tests.reactor_care"]\n'
    )
    (directory / "test_planted.py").write_text(PLANTED)
    root = Path(__file__).parent.parent
    (directory / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings =\n    error::pytest.PytestUnraisableExceptionWarning\n"
        "    error:coroutine .* was never awaited:RuntimeWarning\n"
    )
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-k",
            only,
            "-rA",
            "--tb=short",
            "--reactor=default",
            "-p",
            "no:cacheprovider",
            directory,
        ],
        env=os.environ | {"PYTHONPATH": str(root), "PATH": ""} | environ,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_planted(tmp_path_factory.mktemp("planted"), TAGFS_TEST_REQUIRE="").stdout


def test_sound_tests_pass(outcomes: str) -> None:
    """Nothing that cleans up after itself is accused."""
    assert len(re.findall(r"^PASSED \S+::test_good", outcomes, re.M)) == 4, outcomes
    assert not re.findall(r"^(FAILED|ERROR) \S+::test_good", outcomes, re.M), outcomes


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test_bad_delayed_call", "left behind"),
        ("test_bad_port", "left behind"),
        ("test_bad_thread", "left behind"),
        ("test_bad_logged_failure", "logged failures"),
        ("test_bad_lost_error", "nobody looked"),
        ("test_bad_never_ends", "TimeoutError"),
        ("test_bad_blocked", "still not through after 1 s"),
        ("test_bad_assertion", "assert False"),
        ("test_bad_forgotten_coroutine", "never awaited"),
    ],
)
def test_planted_fault_is_caught(outcomes: str, name: str, said: str) -> None:
    """Each planted fault fails (or errors) its test, and says what was wrong."""
    assert re.search(rf"^(FAILED|ERROR) \S+::{name}\b", outcomes, re.M), outcomes
    report = outcomes.split(f"{name} ____")[1]
    assert said in report.split("\n____")[0], report


def test_missing_tool_skips_with_its_package(outcomes: str) -> None:
    """A missing tool skips; the end of the run counts the skips and gives the line that installs it."""
    assert "SKIPPED" in outcomes
    assert "tmsu: 2 skipped" in outcomes
    assert "to run these too: apt-get install tmsu" in outcomes


@pytest.mark.parametrize("demanded", ["all", "curl, tmsu"])
def test_required_tool_fails(tmp_path: Path, demanded: str) -> None:
    """Where TAGFS_TEST_REQUIRE names the tool, its absence is a failure."""
    output = run_planted(tmp_path, "skip", TAGFS_TEST_REQUIRE=demanded).stdout
    assert re.search(r"^(FAILED|ERROR) \S+::test_skip_missing", output, re.M), output
    assert re.search(r"^(FAILED|ERROR) \S+::test_skip_marked", output, re.M), output
