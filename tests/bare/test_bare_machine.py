"""./run and ./test on a fresh minimal Debian: as root, as a user, twice, and after an interrupted first run.

A step of its own in .ci/run (python -m pytest tests/bare): it needs root, the network, and some minutes.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bare import machine
from tests.bare.machine import Machine, Running

HOME = "/home/sam/tagfs"
UP = "Stop with Ctrl-C"


def image_of(factory: pytest.TempPathFactory, name: str, *packages: str) -> Path:
    return machine.make_image("mmdebstrap", factory.mktemp("image") / f"{name}.tar", *packages)


@pytest.fixture(scope="module")
def bare_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_of(tmp_path_factory, "bare")


@pytest.fixture(scope="module")
def python_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_of(tmp_path_factory, "python", "python3", "python3-venv")


@pytest.fixture
def unpack(tmp_path: Path, require_tool: Callable[[str], str]) -> Iterator[Callable[[Path], Machine]]:
    """Makes a machine of an image, with a user sam."""
    for tool in ("mmdebstrap", "unshare", "chroot"):
        require_tool(tool)
    if os.geteuid():
        pytest.skip("needs root")
    made: list[Machine] = []

    def make(image: Path) -> Machine:
        made.append(Machine(image, tmp_path / f"machine{len(made)}"))
        made[-1].call("/", "useradd", "--create-home", "sam")
        return made[-1]

    yield make
    for each in made:
        each.close()


def start_node(on: Machine, directory: str, user: str, limit_s: float = 240) -> tuple[Running, dict[str, str]]:
    """A node started by ./run, when it has said how to use it, and its run.json."""
    node = on.start(directory, "./run", user=user)
    node.wait_for(UP, limit_s)
    return node, json.loads(on.inside(f"{directory}/tagfs-data/run.json").read_text())


def ask(facts: dict[str, str], lines: bytes) -> str:
    """What the tag protocol answers to the lines, up to the end of the session."""
    host, _, port = facts["ftp"].rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(lines + b"QUIT\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_root_without_python(bare_image: Path, unpack: Callable[[Path], Machine]) -> None:
    """A user is told the line; root gets Python, a node to store in and ask, and the same data the next time."""
    on = unpack(bare_image)
    on.copy_tree("/srv/tagfs", "root")
    code, output = on.run("/srv/tagfs", "./run", user="sam")
    assert (code, output) == (
        2,
        "tagfs needs Python 3.11 or later with venv: sudo apt-get install python3 python3-venv\n",
    )

    node, facts = start_node(on, "/srv/tagfs", "root")
    assert "apt-get install -y --no-install-recommends python3 python3-venv" in node.said
    assert facts["ftp"] in node.said
    assert " copies=1/1" in ask(facts, b"ADD 5 hello.txt beach 2024\nhello")
    assert "hello.txt" in ask(facts, b"FIND beach and 2024\n")
    on.call("/srv/tagfs", ".venv/bin/tagfs", "--server", facts["ftp"], "list", "beach")
    assert node.stop(signal.SIGINT) == -signal.SIGINT, node.said
    assert not on.inside("/srv/tagfs/tagfs-data/run.json").exists()

    node, facts = start_node(on, "/srv/tagfs", "root", limit_s=15)
    assert "Preparing" not in node.said
    assert "hello.txt" in ask(facts, b"FIND beach\n")
    assert node.stop(signal.SIGTERM) == -signal.SIGTERM, node.said


def test_user_with_python(python_image: Path, unpack: Callable[[Path], Machine]) -> None:
    """An ordinary user has the first run killed, runs it again, finds a port taken, and runs tests."""
    on = unpack(python_image)
    on.copy_tree(HOME, "sam")
    first = on.start(HOME, "./run", user="sam")
    first.wait_for("Preparing", 30)
    pip_at_work = on.inside(f"{HOME}/.venv.building/lib")
    while not list(pip_at_work.glob("*/site-packages/twisted*")):
        assert not first.has_ended(), first.said
    first.stop(signal.SIGKILL)
    assert not on.inside(f"{HOME}/.venv").exists()

    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        code, output = on.run(HOME, "./run", "--ftp", f"tcp:{taken}:interface=127.0.0.1", user="sam")
        assert code == 1, output
        assert "cannot start" in output

    node, facts = start_node(on, HOME, "sam")
    assert "hello.txt" not in ask(facts, b"ADD 5 hello.txt beach\nhello")
    assert node.stop() == -signal.SIGINT, node.said
    node, facts = start_node(on, HOME, "sam", limit_s=15)
    assert "hello.txt" in ask(facts, b"FIND beach\n")
    assert node.stop() == -signal.SIGINT, node.said

    for _ in range(2):
        code, output = on.run(HOME, "./test", "-q", "tests/test_settings.py", "tests/model", user="sam")
        assert code == 0, output
        assert " passed" in output
    assert "Preparing" not in output


def test_checkout_of_someone_else(python_image: Path, unpack: Callable[[Path], Machine]) -> None:
    """A user who may not write to the checkout is told so in one line; once root has run it, the user can."""
    on = unpack(python_image)
    on.copy_tree("/srv/tagfs", "root")
    code, output = on.run("/srv/tagfs", "./run", user="sam")
    assert code == 1
    assert "/srv/tagfs must be writable for you" in output
    assert len(output.splitlines()) == 1, output
    on.call("/srv/tagfs", "./run", "--version")
    node = on.start("/home/sam", "/srv/tagfs/run", user="sam")
    node.wait_for(UP, 15)
    assert on.inside("/home/sam/tagfs-data/run.json").exists()
    assert "plugin cache" not in node.said
    assert node.stop() == -signal.SIGINT, node.said


def test_nothing_is_left_behind() -> None:
    """Mounts of machines end with their processes."""
    mounts = subprocess.run(["mount"], capture_output=True, text=True, check=True).stdout
    assert "/machine0/" not in mounts
