"""The images run what they promise: any service of a folder or the baked-in node, as nobody special, with data in a volume."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podman_utils.engine import Engine
from podman_utils.images import build
from podman_utils.values import Attachment, ContainerRequest
from tests.containers.private_podman import ROOT, PrivatePodman

pytestmark = [pytest.mark.limit(600), pytest.mark.tool("podman")]
NETWORK = "tagfs-test-images"
READY_S = 60


@pytest.fixture
def engine(podman: PrivatePodman, images: dict[str, str]) -> Iterator[Engine]:
    connected = Engine(podman.url)
    yield connected
    connected.close()


@pytest.fixture
def run(engine: Engine) -> Iterator[Callable[..., str]]:
    """Starts a container with a volume of its name, waits until it is well, gives its address; removes both at the end."""
    made: list[str] = []
    engine.create_network(NETWORK, None, {}, internal=True)

    def started(name: str, image: str, **wishes: object) -> str:
        made.append(name)
        engine.ensure_volume(name, {})
        request = ContainerRequest(name, image, (Attachment(NETWORK),), {}, volumes={name: "/data"}, **wishes)
        engine.create_container(request)
        engine.start(name)
        wait_well(engine, name)
        found = engine.container(name)
        assert found is not None
        return found.addresses[NETWORK]

    yield started
    for name in made:
        engine.remove_container(name)
        engine.remove_volume(name)
    engine.remove_network(NETWORK)


def wait_well(engine: Engine, name: str) -> str:
    """What the health check says once it passes."""
    deadline = time.monotonic() + READY_S
    while True:
        well, said = engine.check_health(name)
        if well:
            return said
        log = b"".join(engine.logs(name, follow=False, tail=20)).decode()
        assert time.monotonic() < deadline, f"{said}\n{log}"
        time.sleep(0.3)


def fetch(address: str, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://{address}:8080{path}", timeout=10) as answer:
        return str(answer.read().decode())


def test_any_service_in_a_folder(engine: Engine, run, service_folder, images) -> None:
    """The general image runs a tiny service that is bound to /app: health check, environment, data that outlives it."""
    folder = service_folder("tests/containers/hello/twistd.tac")
    wishes = {"folders": {str(folder): "/app"}, "environment": {"GREET": "sea"}}
    address = run("hello", "localhost/distributed_python", **wishes)
    assert fetch(address) == "hello sea, for the 1. time\n"
    engine.stop("hello", 10)
    assert engine.container("hello").state == "exited"
    engine.start("hello")
    wait_well(engine, "hello")
    address = engine.container("hello").addresses[NETWORK]
    assert fetch(address) == "hello sea, for the 2. time\n"


def test_tagfs_in_a_folder(run, service_folder, engine) -> None:
    """The same image runs a checkout of tagfs bound to /app."""
    folder = service_folder("twistd.tac", "tagfs")
    settings = {"TAGFS_DATA": "/data", "TAGFS_FTP": "tcp:2121", "TAGFS_WEB": "tcp:8080", "TAGFS_ANONYMOUS": "write"}
    address = run("bound", "localhost/distributed_python", folders={str(folder): "/app"}, environment=settings)
    assert json.loads(fetch(address, "/healthz"))["ready"] is True
    outcome = engine.execute(
        "bound",
        ["sh", "-c", "echo hi > /tmp/hi.txt && python -m tagfs.cli add /tmp/hi.txt -t sea && python -m tagfs.cli list"],
    )
    assert "hi.txt" in outcome.out, outcome.err


def test_the_image_of_a_node(engine: Engine, run, images) -> None:
    """Built FROM distributed_python: users only, an unprivileged process, data in the volume, a clean stop, the same node again."""
    engine.create_secret("tagfs-test-password", b"open sesame\n")
    try:
        run(
            "node",
            "localhost/tagfs",
            environment={"TAGFS_ADMIN_PASSWORD_FILE": "/run/secrets/password"},
            secrets={"tagfs-test-password": "password"},
        )
        status = engine.execute("node", ["cat", "/proc/1/status"]).out
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == ["1000"] * 4
        assert {fields[name] for name in ("CapPrm", "CapEff", "CapAmb", "CapBnd")} == {"0" * 16}
        assert engine.execute("node", ["sh", "-c", "touch /app/x || touch /opt/venv/x"]).code != 0
        shout = ["tagfs", "--user", "admin", "--password-file", "/run/secrets/password"]
        refused = engine.execute("node", ["tagfs", "list"])
        assert refused.code == 1 and "log" in refused.err.lower()
        stored = engine.execute("node", [*shout, "add", "/app/twistd.tac", "-t", "code", "-t", "year=2026"])
        assert stored.code == 0, stored.err
        before = json.loads(wait_well(engine, "node"))
        began = time.monotonic()
        engine.stop("node", 10)
        assert time.monotonic() - began < 6
        engine.start("node")
        assert json.loads(wait_well(engine, "node"))["id"] == before["id"]
        assert "twistd.tac" in engine.execute("node", [*shout, "list", "code and year > 2020"]).out
    finally:
        engine.remove_secret("tagfs-test-password")


def test_wrong_folder_is_told(engine: Engine, images, podman: PrivatePodman, service_folder) -> None:
    """A container without a service, or with one that it may not read, says what is wrong, and ends."""
    done = podman.call(
        "run", "--rm", "--network", "none", "localhost/distributed_python", "python", "-c", "print(1 + 1)"
    )
    assert done == "2\n"
    closed = service_folder("tests/containers/hello/twistd.tac")
    closed.chmod(0o700)
    for volumes, message in (
        ((), "there is no /app/twistd.tac"),
        (("--volume", f"{closed}:/app:ro"), "user 1000 may not read the folder that is bound to /app"),
    ):
        podman.call("create", "--name", "wrong", "--network", "none", *volumes, "localhost/distributed_python")
        try:
            engine.start("wrong")
            podman.call("wait", "wrong")
            assert message in b"".join(engine.logs("wrong", follow=False, tail=None)).decode()
        finally:
            engine.remove_container("wrong")


def test_layers_are_cached(engine: Engine, images: dict[str, str], tmp_path: Path) -> None:
    """Built again, nothing changes; with other code, the large layer of the requirements stays."""
    changed = tmp_path / "changed"
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, files):
        (changed / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, changed / name, follow_symlinks=False)
    with (changed / "tagfs/errors.py").open("a") as file:
        file.write("\n# another byte\n")
    try:
        ids = build(engine, changed, local=True, say=lambda text: None)
        assert ids["localhost/distributed_python"] == images["localhost/distributed_python"]
        assert ids["localhost/tagfs"] != images["localhost/tagfs"]
    finally:
        assert build(engine, ROOT, local=True, say=lambda text: None) == images


def commands_of(page: str) -> list[str]:
    """The ``tagfs-podman`` commands that a page shows in one block, from build to down."""
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "tagfs-podman up" in block]
    return [line[2:] for line in block.splitlines() if line.startswith("$ tagfs-podman")]


def test_the_commands_of_the_pages(podman: PrivatePodman, images: dict[str, str]) -> None:
    """What the guide shows works, one command after the other, only on local bases; README.md shows some of the same."""
    lines = commands_of("docs/guides/deploy.md")
    assert lines[0] == "tagfs-podman build" and lines[-1] == "tagfs-podman down --volumes"
    assert [line for line in lines if line in commands_of("README.md")] == commands_of("README.md")
    script = "\n".join(["set -eux", f'tagfs-podman() {{ "{sys.executable}" -m podman_utils "$@"; }}', *lines])
    done = subprocess.run(
        ["bash", "-c", script.replace("tagfs-podman build", "tagfs-podman build --local-bases")],
        cwd=ROOT,
        env={**os.environ, "CONTAINER_HOST": podman.url},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^n\d +[ab] .* running +well +\S+ +alive$", done.stdout, re.MULTILINE)) == 10
