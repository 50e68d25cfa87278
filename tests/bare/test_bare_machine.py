"""./run and ./test on a fresh minimal Debian: as root, as a user, twice, and after an interrupted first run.

A step of its own in .ci/run (python -m pytest tests/bare): it needs root, the network, and some minutes. The tests are
the days of one machine's life and run in this order: the first finds no Python there, the others what it brought.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bare.machine import Machine, Running
from tests.system_tools import demand

pytestmark = pytest.mark.limit(240)
SHARED = "/srv/tagfs"
HOME = "/home/sam/tagfs"
UP = "Stop with Ctrl-C"


@pytest.fixture(scope="module")
def debian(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A minimal Debian with a user sam, a checkout of root's, and one of sam's."""
    mmdebstrap, *_ = demand(request.config, request.node.nodeid, ["mmdebstrap", "unshare", "chroot"])
    if os.geteuid():
        pytest.skip("needs root")
    machine = Machine(mmdebstrap, tmp_path_factory.mktemp("bare") / "debian")
    try:
        machine.call("/", "useradd", "--create-home", "sam")
        machine.copy_tree(SHARED, "root")
        machine.copy_tree(HOME, "sam")
        yield machine
    finally:
        machine.close()


def start_node(debian: Machine, directory: str, user: str, limit_s: float = 240) -> tuple[Running, dict[str, str]]:
    """A node started by ./run, when it has said how to use it, and its run.json."""
    node = debian.start(directory, "./run", user=user)
    node.wait_for(UP, limit_s)
    return node, json.loads(debian.inside(f"{directory}/tagfs-data/run.json").read_text())


def ask(facts: dict[str, str], lines: bytes) -> str:
    """What the tag protocol answers to the lines, up to the end of the session."""
    host, _, port = facts["ftp"].rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(lines + b"QUIT\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_user_without_python_is_told_the_line(debian: Machine) -> None:
    """Nothing is tried; the one command is named; exit code 2."""
    code, output = debian.run(HOME, "./run", user="sam")
    assert output == "tagfs needs Python 3.11 or later with venv: sudo apt-get install python3 python3-venv\n"
    assert code == 2


def test_root_gets_python_and_a_node(debian: Machine) -> None:
    """apt is called, its command shown; the node can be asked, also by the command line; Ctrl-C stops it."""
    node, facts = start_node(debian, SHARED, "root")
    assert "apt-get install -y --no-install-recommends python3 python3-venv" in node.said
    assert facts["ftp"] in node.said
    assert " copies=1/1" in ask(facts, b"ADD 5 hello.txt beach 2024\nhello")
    assert "hello.txt" in ask(facts, b"FIND beach and 2024\n")
    assert "hello.txt" in debian.call(SHARED, ".venv/bin/tagfs", "--server", facts["ftp"], "list", "beach")
    assert node.stop(signal.SIGINT) == -signal.SIGINT, node.said
    assert not debian.inside(f"{SHARED}/tagfs-data/run.json").exists()


def test_second_run_keeps_the_data(debian: Machine) -> None:
    """The environment is not built again, what was stored is there, and a taken port is replaced."""
    with ExitStack() as stack:
        try:
            stack.enter_context(socket.create_server(("127.0.0.1", 2121)))
        except OSError:
            pass  # somebody else has it: as good
        node, facts = start_node(debian, SHARED, "root", limit_s=30)
    assert "Preparing" not in node.said
    assert "(port 2121 is taken by another program)" in node.said
    assert "hello.txt" in ask(facts, b"FIND beach\n")
    assert node.stop(signal.SIGTERM) == -signal.SIGTERM, node.said


def test_user_runs_what_root_has_prepared(debian: Machine) -> None:
    """A checkout that one may only read works, with data in one's own directory."""
    node = debian.start("/home/sam", f"{SHARED}/run", user="sam")
    node.wait_for(UP, 30)
    assert debian.inside("/home/sam/tagfs-data/run.json").exists()
    assert "plugin cache" not in node.said
    assert node.stop() == -signal.SIGINT, node.said


def test_unprepared_checkout_of_someone_else(debian: Machine) -> None:
    """Where the environment would have to be built without the right to write, one line says so."""
    code, output = debian.run(SHARED, "./test", user="sam")
    assert code == 1
    assert f"{SHARED} must be writable for you" in output
    assert len(output.splitlines()) == 1, output


def test_interrupted_first_run_is_repaired(debian: Machine) -> None:
    """A user's first run is killed while pip works; the next one builds the environment; a third has it."""
    first = debian.start(HOME, "./run", user="sam")
    first.wait_for("Preparing", 30)
    pip_at_work = debian.inside(f"{HOME}/.venv.building/lib")
    while not list(pip_at_work.glob("*/site-packages/twisted*")):
        assert not first.has_ended(), first.said
    first.stop(signal.SIGKILL)
    assert not debian.inside(f"{HOME}/.venv").exists()

    node, facts = start_node(debian, HOME, "sam")
    assert "Preparing" in node.said
    assert " copies=1/1" in ask(facts, b"ADD 5 hello.txt beach\nhello")
    assert node.stop() == -signal.SIGINT, node.said
    node, facts = start_node(debian, HOME, "sam", limit_s=30)
    assert "Preparing" not in node.said
    assert "hello.txt" in ask(facts, b"FIND beach\n")
    assert node.stop() == -signal.SIGINT, node.said


def test_user_runs_tests_twice(debian: Machine) -> None:
    """./test works where there are no more tools than these, and is quick the second time."""
    for said in ("Preparing .venv.test", ""):
        code, output = debian.run(
            HOME, "./test", "-q", "tests/test_settings.py", "tests/model/test_records.py", user="sam"
        )
        assert code == 0, output
        assert " passed" in output
        assert said in output
    assert "Preparing" not in output


def test_nothing_is_left_behind(debian: Machine) -> None:
    """The mounts of the machine end with its processes, and no process outlives its group."""
    mounts = subprocess.run(["mount"], capture_output=True, text=True, check=True).stdout
    assert str(debian.directory) not in mounts
    roots = [path.resolve() for path in Path("/proc").glob("[0-9]*/root") if os.access(path, os.R_OK)]
    assert debian.directory not in roots
