"""The same without root's rights: a user's own Podman builds the images, and runs a cluster on two networks with a router."""

from __future__ import annotations

import contextlib
import ftplib
import io
import json
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podman_utils.bases import ROUTER_BASE
from podman_utils.description import GENERAL_IMAGE, NODE_IMAGE
from podman_utils.engine import Engine
from podman_utils.images import IMAGES, LABELS, make_context
from tests.containers.conftest import TagfsPodman, interfaces, tagfs_podman_at
from tests.containers.private_podman import ROOT, PrivatePodman
from tests.containers.users_podman import User
from tests.containers.world import wait_until

pytestmark = [pytest.mark.limit(200), pytest.mark.tool("podman", "newuidmap", "slirp4netns")]
NAME = "tagfs-user"
DEAD_S = 15.0
"""Ten seconds, and what it takes to ask by commands."""
MEET_S = 30.0


def free_ports(count: int) -> range:
    """Neighbouring ports that are free, below those that the kernel gives to connections."""
    for first in range(21000, 32000, count):
        ports = range(first, first + count)
        with contextlib.ExitStack() as trials:
            try:
                for port in ports:
                    trials.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return ports
    raise AssertionError("no free ports")


def description(passive: str) -> str:
    return f"""
name = "{NAME}"
memory = "512m"
[networks.a]
[networks.b]
[nodes.n1]
network = "a"
ports = ["2121", "{passive}"]
environment = {{ TAGFS_PASSIVE_PORTS = "{passive}", TAGFS_MASQUERADE = "127.0.0.1" }}
[nodes.n2]
network = "b"
"""


@pytest.fixture(scope="module")
def users_podman(podman: PrivatePodman, images: dict[str, str], report) -> Iterator[PrivatePodman]:
    """The engine of a user of its own, with the general image and the router's base. Nothing of it is left afterwards."""
    before = interfaces()
    folder = Path(tempfile.mkdtemp(prefix="tagfs-user-"))
    user = User.make(folder)
    try:
        running = PrivatePodman(shutil.which("podman") or "podman", folder, user)
    except BaseException:
        user.remove()
        shutil.rmtree(folder)
        raise
    try:
        for name in (GENERAL_IMAGE, ROUTER_BASE):
            archive = folder / "image.tar"
            podman.call("save", "--output", str(archive), name)
            archive.chmod(0o644)
            running.call("load", "--input", str(archive))
            archive.unlink()
        yield running
    except BaseException:
        report(running.log)
        raise
    finally:
        running.close()
    assert user.processes() == []
    assert running.mounts() == []
    assert interfaces() == before
    assert not folder.exists()


@pytest.fixture(scope="module")
def users_tagfs_podman(users_podman: PrivatePodman) -> TagfsPodman:
    return tagfs_podman_at(users_podman)


@pytest.fixture(scope="module")
def passive() -> str:
    """The range of ports for the data connections of FTP."""
    ports = free_ports(4)
    return f"{ports[0]}-{ports[-1]}"


@pytest.fixture(scope="module")
def users_cluster(
    users_podman: PrivatePodman, users_tagfs_podman, passive: str, report
) -> Iterator[Callable[..., str]]:
    """``tagfs-podman`` for one cluster, which is up, on images that the user built."""
    engine = Engine(users_podman.url)
    assert engine.version.startswith(("4.", "5.", "6."))
    began = time.monotonic()
    context = make_context(ROOT)
    for image in IMAGES[1:]:
        base = image.on or ROUTER_BASE
        list(engine.build(image.dockerfile, io.BytesIO(context), image.name, {"BASE": base}, LABELS))
    report(f"as a user: {NODE_IMAGE} {engine.image_id(NODE_IMAGE)}, built in {time.monotonic() - began:.0f} s")
    limits_hold = not engine.ignores_limits()
    engine.close()
    (users_podman.folder / "cluster.toml").write_text(description(passive))
    try:
        done = users_tagfs_podman("--file", "cluster.toml", "up")
        report(done.stdout)
        assert ("memory and cpus are not limited here" in done.stderr) != limits_hold, done.stderr
        yield lambda *words, **limits: users_tagfs_podman("--name", NAME, *words, **limits).stdout
    except BaseException:
        for each in users_podman.call("ps", "-a", "--format", "{{.Names}}").split():
            report(f"last lines of {each}:\n{users_podman.call('logs', '--tail', '15', each)}")
        raise
    finally:
        users_tagfs_podman("--name", NAME, "down", "--volumes")


def seen(users_cluster: Callable[..., str]) -> dict[str, str]:
    """Each node as the other one sees it."""
    return {each["name"]: each["seen_as"] for each in json.loads(users_cluster("status", "--json")) if each["node_id"]}


def wait_seen(users_cluster: Callable[..., str], state: str, limit_s: float) -> None:
    wanted = {"n1": state, "n2": state}
    wait_until(lambda: (now := seen(users_cluster)) == wanted or now, limit_s, f"both see each other {state}")


def asked(users_cluster: Callable[..., str], node: str, *words: str) -> str:
    login = ("--user", "admin", "--password-file", "/run/secrets/admin-password")
    return users_cluster("exec", node, "tagfs", *login, *words)


def test_stored_through_a_published_port(users_cluster, passive: str) -> None:
    """A user reaches a node at the ports that status shows, its data connections too; the node beyond the router has it."""
    wait_seen(users_cluster, "alive", MEET_S)
    status = users_cluster("status")
    (port,) = re.findall(r" 127\.0\.0\.1:(\d+)->2121\b", status)
    assert f"127.0.0.1:{passive}->{passive}" in status
    with ftplib.FTP() as session:
        session.connect("127.0.0.1", int(port), timeout=20)
        session.login("admin", users_cluster("password").strip())
        session.storbinary("STOR /sea/wave.txt", io.BytesIO(b"splash"))
        assert session.nlst("/sea") == ["wave.txt"]
    wait_until(lambda: "wave.txt" in asked(users_cluster, "n2", "list", "sea"), MEET_S, "n2 lists it")
    status = users_cluster("exec", "n1", "cat", "/proc/1/status")
    assert re.findall(r"^(?:Uid|NoNewPrivs|CapEff|CapPrm):\t(\w+)", status, re.MULTILINE) == [
        "1000",
        "0" * 16,
        "0" * 16,
        "1",
    ]


def test_cut_and_healed(users_cluster) -> None:
    """The router in the user's networks forwards, and cuts."""
    users_cluster("cut", "a", "b")
    wait_seen(users_cluster, "dead", DEAD_S)
    asked(users_cluster, "n2", "add-tags", "sea", "blue")
    users_cluster("heal")
    wait_seen(users_cluster, "alive", MEET_S)
    wait_until(lambda: "wave.txt" in asked(users_cluster, "n1", "list", "blue"), MEET_S, "n1 has what n2 changed")


def test_nodes_come_and_go(users_cluster, users_tagfs_podman) -> None:
    """Killed and started, stopped with the router, paused where control groups allow it; down and up again with the data."""
    users_cluster("kill", "n2")
    users_cluster("stop", "router")
    users_cluster("start", "router")
    users_cluster("start", "n2")
    paused = users_tagfs_podman("--name", NAME, "pause", "n2", code=None)
    if paused.returncode:
        assert paused.stderr == (
            "tagfs-podman: nothing can be paused here: a user's Podman can only with control groups of version 2\n"
        )
    else:
        users_cluster("start", "n2")
    users_cluster("down")
    users_tagfs_podman("--file", "cluster.toml", "up")
    assert "wave.txt" in asked(users_cluster, "n2", "list", "sea")
