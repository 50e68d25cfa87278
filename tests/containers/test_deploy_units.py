"""One node per machine in a container: what Quadlet makes of our files, and the plain unit that stands for it before Podman 4.4."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from podman_utils.engine import Engine
from tests.containers.newer_podman import quadlet
from tests.containers.private_podman import ROOT, PrivatePodman
from tests.containers.test_container_images import NETWORK, wait_well
from tests.unit_files import Unit, verify

pytestmark = [pytest.mark.limit(300), pytest.mark.tool("podman", "systemd-analyze")]
DEPLOY = ROOT / "deploy"
PLAIN = DEPLOY / "without-quadlet/tagfs.service"
SAME_WORD = {"-v": "--volume", "-d": "--detach"}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quadlet(tmp_path_factory.mktemp("podman"))


def generate(generator: Path, folder: Path, *options: str) -> Path:
    """The directory with the units that Quadlet makes of our files; it must have nothing to complain of."""
    sources, made = folder / "sources", folder / "made"
    for each in (sources, made):
        each.mkdir()
    for name in ("tagfs.container", "tagfs-data.volume"):
        shutil.copy(DEPLOY / name, sources)
    done = subprocess.run(
        [generator, *options, "-no-kmsg-log", made],
        env={"PATH": os.environ["PATH"], "QUADLET_UNIT_DIRS": str(sources)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    wrong = [line for line in done.stderr.splitlines() if re.search(r"error|unsupported|warning|invalid", line, re.I)]
    assert wrong == []
    return made


def options_of(command: list[str]) -> list[tuple[str, str]]:
    """The options of ``podman run`` with their values, in one way of writing, and the image; sorted."""
    words = iter(command[command.index("run") + 1 :])
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        name = SAME_WORD.get(name, name)
        if name.startswith("-") and not equals and name not in ("--rm", "--replace", "--detach"):
            value = next(words)
        found.append((name, value))
    return sorted(found)


@pytest.mark.parametrize("options", [(), ("-user",)])
def test_systemd_reads_what_quadlet_makes(
    generator: Path, tmp_path: Path, require_tool, options: tuple[str, ...]
) -> None:
    """Two services, one of which makes the volume before the other one starts; wanted at the start of the machine."""
    made = generate(generator, tmp_path, *options)
    units = sorted(made.glob("*.service"))
    assert [each.name for each in units] == ["tagfs-data-volume.service", "tagfs.service"]
    assert (made / "multi-user.target.wants/tagfs.service").resolve() == units[1].resolve()
    assert (made / "default.target.wants/tagfs.service").exists()
    service = Unit.parse(units[1].read_text())
    assert service.values("Requires", "Unit") == service.values("After", "Unit")[-1:] == ["tagfs-data-volume.service"]
    verify(require_tool("systemd-analyze"), *units)


def test_the_plain_unit_says_the_same(generator: Path, tmp_path: Path, require_tool) -> None:
    """What is run is run with the same options, but for how Podman 4.3 divides control groups; and is restarted as often."""
    made = Unit.parse((generate(generator, tmp_path) / "tagfs.service").read_text())
    plain = Unit.parse(PLAIN.read_text())
    specifiers = {"t": "/run", "N": "tagfs", "n": "tagfs.service"}
    theirs, ours = (options_of(each.command("ExecStart", specifiers)) for each in (made, plain))
    differ = {("--cgroups", "split"), ("--cgroups", "no-conmon")}
    assert set(theirs) ^ set(ours) == differ, set(theirs) ^ set(ours)
    for key in ("Type", "NotifyAccess", "Restart", "RestartSec", "TimeoutStopSec", "KillMode"):
        assert plain.values(key) == made.values(key) != [], key
    assert plain.environment(specifiers) == made.environment(specifiers)
    assert set(plain.values("After", "Unit")) <= set(made.values("After", "Unit"))
    copied = tmp_path / "tagfs.service"
    shutil.copy(PLAIN, copied)
    verify(require_tool("systemd-analyze"), copied)


@pytest.fixture
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    """Where a service of Type=notify tells that it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(tmp_path_factory.mktemp("notify") / "socket"))
        opened.settimeout(30)
        yield opened


def test_the_plain_unit_runs(podman: PrivatePodman, images: dict[str, str], listener: socket.socket) -> None:
    """Its commands, one after the other: the start tells systemd that it is ready, the node has its secrets and volume and no
    capability, the stop is clean and leaves nothing.

    The network is one of the tests', and no other node is there: it founds a cluster of its own.
    """
    unit = Unit.parse(PLAIN.read_text())
    specifiers = {"t": str(podman.folder), "N": "tagfs", "n": "tagfs.service"}
    engine = Engine(podman.url)
    engine.create_network(NETWORK, None, {}, internal=True)
    engine.create_secret("tagfs-admin-password", b"open sesame\n")
    shout = ["tagfs", "--user", "admin", "--password-file", "/run/secrets/admin-password"]
    try:
        make_key = "tagfs cluster-key /tmp/key && cat /tmp/key"
        key = podman.call("run", "--rm", "--network", "none", "localhost/tagfs", "sh", "-c", make_key)
        engine.create_secret("tagfs-cluster-key", key.encode())
        for _ in range(2):  # the second start takes what the first one left
            words = unit.command("ExecStart", specifiers)
            words[words.index("host")] = NETWORK
            words[words.index("/etc/tagfs.env")] = str(DEPLOY / "tagfs.env")
            assert words.pop(0) == "/usr/bin/podman"
            subprocess.run(unit.command("ExecStartPre", specifiers), check=True)
            podman.call(*words, NOTIFY_SOCKET=listener.getsockname())
            told = listener.recv(4096).decode()
            assert "READY=1" in told and "MAINPID=" in told
            wait_well(engine, "tagfs")
            assert "alive" in engine.execute("tagfs", [*shout, "nodes"]).out
            status = engine.execute("tagfs", ["cat", "/proc/1/status"]).out
            assert re.findall(r"^(?:NoNewPrivs|CapBnd|CapEff):\t(\w+)$", status, re.MULTILINE) == ["0" * 16] * 2 + ["1"]
            podman.call(*unit.command("ExecStop", specifiers)[1:])
            podman.call(*unit.command("ExecStopPost", specifiers)[1:])
            assert engine.container("tagfs") is None
    finally:
        if engine.container("tagfs") is not None:
            engine.remove_container("tagfs")
        for name in ("tagfs-cluster-key", "tagfs-admin-password"):
            if engine.has_secret(name):
                engine.remove_secret(name)
        podman.call("volume", "rm", "--force", "tagfs-data")
        engine.remove_network(NETWORK)
        engine.close()
