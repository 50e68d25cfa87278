"""A private Podman with the images built on local bases; once for all tests here, and nothing of it is left afterwards.

A step of its own in .ci/run (python -m pytest tests/containers): it needs root and some minutes. There, what cannot run
fails. The end of a run shows the ids of images and containers, and ``podman ps -a`` before and after.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.private_podman import ROOT, PrivatePodman
from tests.system_tools import demand, is_required

TOOLS = ["podman", "runc", "netavark", "ip", "iptables", "mmdebstrap"]
BUILD_S = 400
_report: pytest.StashKey[list[str]] = pytest.StashKey()

TagfsPodman = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_report] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for text in config.stash[_report]:
        terminalreporter.write_line(text)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skip is a failure where everything is required: the step must not pass without its containers."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if is_required("podman") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def interfaces() -> set[str]:
    """The network interfaces of this machine."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a text for the end of the run."""
    return request.config.stash[_report].append


@pytest.fixture(scope="session")
def podman(request: pytest.FixtureRequest, report: Callable[[str], None]) -> Iterator[PrivatePodman]:
    """The engine. When all tests are over: no container, process, mount or interface of it may be left."""
    program, *_ = demand(request.config, request.node.nodeid, TOOLS)
    if os.geteuid():
        if is_required("podman"):
            pytest.fail("needs root; TAGFS_TEST_REQUIRE demands it", pytrace=False)
        pytest.skip("needs root")
    before = interfaces()
    running = PrivatePodman(program, Path(tempfile.mkdtemp(prefix="tagfs-podman-")))
    try:
        report(f"podman ps -a, before:\n{running.call('ps', '-a').strip()}")
        yield running
        left = running.call("ps", "-a", "--no-trunc").strip()
        report(f"podman ps -a, after:\n{left}")
    finally:
        running.close()
    assert len(left.splitlines()) == 1, left
    assert running.mounts() == []
    assert running.processes() == []
    assert interfaces() == before
    assert not running.folder.exists()


def tagfs_podman_at(podman: PrivatePodman) -> TagfsPodman:
    """``tagfs-podman`` as a user calls it, on that engine; fails with what it said where its exit code is another one."""

    def run(*words: object, code: int | None = 0, limit_s: float = 150) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "podman_utils", "--socket", podman.url, *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=podman.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
        )
        assert code in (None, done.returncode), f"tagfs-podman {words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def tagfs_podman(podman: PrivatePodman) -> TagfsPodman:
    return tagfs_podman_at(podman)


@pytest.fixture(scope="session")
def images(tagfs_podman: TagfsPodman, report: Callable[[str], None]) -> dict[str, str]:
    """The images of this checkout by name, built through the API on local bases."""
    said = tagfs_podman("build", "--source", ROOT, "--local-bases", limit_s=BUILD_S).stdout
    report(f"images:\n{said.strip()}")
    return dict(line.split("\t") for line in said.splitlines())


@pytest.fixture
def show_containers(
    podman: PrivatePodman, report: Callable[[str], None], request: pytest.FixtureRequest
) -> Callable[[], None]:
    """Puts the containers of this moment into the report."""
    return lambda: report(
        f"containers in {request.node.name}:\n{podman.call('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}} {{.Status}}').strip()}"
    )


@pytest.fixture
def service_folder(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a folder of this checkout that containers may read: pytest's own directories are closed to other users."""
    place = Path(tempfile.mkdtemp(prefix="tagfs-service-"))
    place.chmod(0o755)

    def copied(*parts: str) -> Path:
        for part in parts:
            source = ROOT / part
            target = place / Path(part).name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
            else:
                shutil.copy(source, target)
        return place

    yield copied
    shutil.rmtree(place)
