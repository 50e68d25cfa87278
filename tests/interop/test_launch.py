"""Launching a node as an operator does: options, daemon, another user, and every way a start can fail."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.campaigns.node_process import ROOT, TWISTD, NodeProcess

pytestmark = pytest.mark.slow
DOORS_OFF = ("--ftp", "off", "--web", "off", "--node", "off")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(directory: Path, options: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
    """A start that must end by itself."""
    return subprocess.run(
        [*TWISTD, "-n", "--pidfile=", "tagfs", *options],
        cwd=directory,
        env={**ENVIRONMENT, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def may_run(uid: int, program: str) -> bool:
    """Whether a user can run an interpreter of the tests."""
    try:
        return (
            subprocess.run([program, "-c", "import sqlite3"], user=uid, capture_output=True, check=False).returncode
            == 0
        )
    except PermissionError:
        return False


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    running = NodeProcess(tmp_path / "data")
    running.start()
    yield running
    running.stop()


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It ended with an error code and one line for people; no traceback anywhere."""
    assert done.returncode == 1, done
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def test_run_json_tells_the_facts_and_goes_with_a_clean_stop(node: NodeProcess) -> None:
    """It names process, node and doors while the node is up, and only then; SIGTERM ends it within five seconds."""
    file = node.data / "run.json"
    facts = json.loads(file.read_text())
    assert facts["pid"] == node.pid
    assert set(facts) == {"pid", "id", "name", "ftp", "web", "node"}
    with node.connect() as connection:
        assert connection.recv(100).startswith(b"220 ")
        start = time.monotonic()
        node.stop()
        assert time.monotonic() - start < 5
    assert not file.exists()


def test_data_and_identity_stay_over_a_restart(node: NodeProcess) -> None:
    """The same node comes back with what it had."""
    with node.connect() as connection:
        connection.sendall(b"ADD 4 kept.txt t\nkeptQUIT\n")
        while connection.recv(4096):
            pass
    identity = node.facts["id"]
    node.stop()
    node.start()
    assert node.facts["id"] == identity
    with node.connect() as connection:
        connection.sendall(b"COUNT t\nQUIT\n")
        assert b"213 1\r\n" in b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_second_process_on_the_same_directory_is_refused(node: NodeProcess, tmp_path: Path) -> None:
    """The line names the process that has it; the first goes on undisturbed."""
    refused(run(tmp_path, ["--data", str(node.data), *DOORS_OFF]), "is using", str(node.pid))
    assert (node.data / "run.json").exists()


def test_a_taken_port_is_named(node: NodeProcess, tmp_path: Path) -> None:
    """Nothing is left running or locked after it."""
    endpoint = f"tcp:{node.address[1]}:interface=127.0.0.1"
    data = tmp_path / "other"
    refused(run(tmp_path, ["--data", str(data), *DOORS_OFF, "--ftp", endpoint]), endpoint, "in use")
    assert not (data / "run.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--copies", "0"], ["--copies", "'0'"]),
        (["--anonymous", "all"], ["--anonymous", "none or read or write"]),
        (["--ftp", "nonsense"], ["--ftp", "endpoint"]),
        (["--ftp", "tcp:99999"], ["--ftp"]),
        (["--ftp", "tcp:0:interface=no.such.host.invalid"], ["--ftp"]),
        (["--join", "127.0.0.1:4747"], ["--join", "--cluster-key"]),
        (["--no-such-option"], ["no-such-option"]),
        (["start"], ["'start' is no option"]),
        (["--cluster-key", "key", "--node", "tcp:0:interface=127.0.0.1"], ["key", "cannot be read"]),
        (["--config", "missing.toml"], ["missing.toml"]),
        (["--ftp", "tcp:0:interface=0.0.0.0"], ["--anonymous", "no users", "tagfs user add"]),
        (["--web", "tcp:0:interface=0.0.0.0"], ["--web", "no users"]),
        (["--ftp", "tcp6:0:interface=\\:\\:"], ["--anonymous"]),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, options: list[str], words: list[str]) -> None:
    """What is wrong, where, and what is allowed."""
    refused(run(tmp_path, ["--data", str(tmp_path / "data"), *DOORS_OFF, *options]), *words)


def test_a_foreign_directory_is_refused(tmp_path: Path) -> None:
    """A directory with other things in it is not taken over."""
    (tmp_path / "photo.jpg").write_text("mine")
    refused(run(tmp_path, ["--data", str(tmp_path), *DOORS_OFF]), "no data directory", "photo.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_missing_stores_and_other_formats_are_refused(node: NodeProcess, tmp_path: Path) -> None:
    """A disk that is not mounted does not look like an empty node, and a newer format is not touched."""
    node.stop()
    options = ["--data", str(node.data), *DOORS_OFF]
    for store in ("catalog", "blobs"):
        (node.data / store).rename(tmp_path / "away")
        refused(run(tmp_path, options), store, "missing")
        (node.data / store).mkdir()  # a mount point without its disk
        refused(run(tmp_path, options), store, "empty")
        (node.data / store).rmdir()
        (tmp_path / "away").rename(node.data / store)
    (node.data / "format").write_text("tagfs-data 99\n")
    refused(run(tmp_path, options), "99")
    (node.data / "format").write_text("tagfs-data 1\n")
    pem = (node.data / "node.pem").read_bytes()
    (node.data / "node.pem").write_bytes(b"damaged")
    refused(run(tmp_path, options), "node.pem")
    (node.data / "node.pem").write_bytes(pem)
    node.start()


def test_a_start_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    """A directory whose making did not come to its end is still new."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "making").touch()
    (data / "lock").touch()
    (data / "blobs").mkdir()
    node = NodeProcess(data)
    node.start()
    identity = node.facts["id"]
    node.stop()
    assert not (data / "making").exists()
    (data / "format").rename(data / "making")  # as if it had been cut off later, with all stores made
    node.start()
    assert node.facts["id"] == identity
    node.stop()


def test_settings_come_from_file_environment_and_options(tmp_path: Path) -> None:
    """Options win over the environment, that over the file."""
    (tmp_path / "node.toml").write_text(
        'name = "from-file"\nftp = "tcp:0:interface=127.0.0.1"\nweb = "off"\nnode = "off"\n'
    )
    data = tmp_path / "data"
    for environment, options, name in (
        ({}, [], "from-file"),
        ({"TAGFS_NAME": "from-environment"}, [], "from-environment"),
        ({"TAGFS_NAME": "from-environment"}, ["--name", "from-option"], "from-option"),
    ):
        process = subprocess.Popen(
            [*TWISTD, "-n", "--pidfile=", "tagfs", "--config", "node.toml", "--data", "data", *options],
            cwd=tmp_path,
            env={**ENVIRONMENT, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for((data / "run.json").exists, "no run.json")
        assert json.loads((data / "run.json").read_text())["name"] == name
        process.terminate()
        process.wait(10)


def test_a_crowd_is_let_in(node: NodeProcess) -> None:
    """Some hundreds that call while the node is busy are connected, and greeted as soon as it comes to it."""
    os.kill(node.pid, signal.SIGSTOP)
    try:
        callers = [node.connect(5) for _ in range(300)]
    finally:
        os.kill(node.pid, signal.SIGCONT)
    for caller in callers:
        assert caller.recv(1000).startswith(b"220 ")
        caller.close()


def test_all_doors_may_be_off(tmp_path: Path) -> None:
    """run.json then has null for each."""
    node = NodeProcess(tmp_path / "data", options=DOORS_OFF)
    node.start()
    assert [node.facts[door] for door in ("ftp", "web", "node")] == [None, None, None]
    node.stop()


def test_beyond_loopback_everybody_gets_what_anonymous_says(tmp_path: Path) -> None:
    """--anonymous=read serves listings and refuses changes."""
    node = NodeProcess(tmp_path / "data", options=["--ftp", "tcp:0:interface=0.0.0.0", "--anonymous", "read"])
    node.start()
    port = int(str(node.facts["ftp"]).rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"COUNT\nADD 1 a\nxDELETE name:*\nQUIT\n")
        said = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    node.stop()
    assert [line[:3] for line in said.splitlines()] == ["220", "213", "550", "550", "221"]


def test_the_first_admin_comes_from_a_password_file(tmp_path: Path) -> None:
    """Made at the first start, before the doors open, so that they may be open to others; later the file does nothing, and
    one that cannot be read or says nothing is refused while it is needed."""
    data, file = tmp_path / "data", tmp_path / "password"
    options = ["--data", str(data), *DOORS_OFF]
    refused(run(tmp_path, options, TAGFS_ADMIN_PASSWORD_FILE=str(file)), str(file), "No such file")
    file.write_text("\nsecond line\n")
    refused(run(tmp_path, options, TAGFS_ADMIN_PASSWORD_FILE=str(file)), str(file), "no password")
    file.write_text("secret\n")
    config = tmp_path / "node.toml"
    config.write_text(f'admin_password_file = "{file}"\n')
    node = NodeProcess(data, options=["--config", str(config), "--ftp", "tcp:0:interface=0.0.0.0"])

    def replies() -> list[str]:
        with socket.create_connection(("127.0.0.1", int(str(node.facts["ftp"]).rpartition(":")[2])), 10) as connection:
            connection.sendall(b"COUNT\nUSER admin\nPASS secret\nUSERS\nQUIT\n")
            said = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        return [line[:3] for line in said.splitlines() if line[3:4] == " "]

    node.start()
    assert replies() == ["220", "530", "331", "230", "214", "221"]
    node.stop()
    file.unlink()
    node.start()
    assert replies() == ["220", "530", "331", "230", "214", "221"]
    node.stop()


def test_on_loopback_the_owner_keeps_all_rights(tmp_path: Path) -> None:
    """--anonymous is about other machines."""
    node = NodeProcess(tmp_path / "data", options=["--anonymous", "read"])
    node.start()
    with node.connect() as connection:
        connection.sendall(b"ADD 1 a\nxDELETE name:*\nQUIT\n")
        said = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    node.stop()
    assert [line[:3] for line in said.splitlines()] == ["220", "150", "250", "250", "221"]


def test_a_daemon_runs_as_another_user(tmp_path: Path) -> None:
    """twistd tagfs without -n: the command returns, the node runs with --uid and --gid, and stops by its pid file."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    nobody = pwd.getpwnam("nobody")
    # Where the interpreter lies in a home that others cannot enter, only the group can change.
    uid = nobody.pw_uid if may_run(nobody.pw_uid, sys.executable) else 0
    for path in (tmp_path, *tmp_path.parents[:2]):  # what pytest made is for its user only
        mode = path.stat().st_mode
        if not mode & 0o001:
            path.chmod(mode | 0o011)
    home = tmp_path / "home"
    home.mkdir()
    shutil.chown(home, uid, nobody.pw_gid)
    command = [
        *TWISTD,
        *("--pidfile", str(home / "twistd.pid"), "--logfile", str(home / "twistd.log")),
        *("--uid", str(uid), "--gid", str(nobody.pw_gid)),
        *("tagfs", "--data", str(home / "data"), "--ftp", "tcp:0:interface=127.0.0.1", "--web", "off", "--node", "off"),
    ]
    subprocess.run(command, cwd=home, env=ENVIRONMENT, check=True, timeout=30)
    run_file = home / "data" / "run.json"
    wait_for(run_file.exists, "no run.json")
    pid = json.loads(run_file.read_text())["pid"]
    for path in (Path("/proc") / str(pid), home / "data" / "catalog"):
        assert (path.stat().st_uid, path.stat().st_gid) == (uid, nobody.pw_gid)
    again = subprocess.run(
        [part.replace("twistd.pid", "other.pid") for part in command],
        cwd=home,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert again.returncode == 1
    assert f"process {pid} is using" in again.stderr
    line = f"tagfs: cannot start: process {pid} is using the data directory {home / 'data'};"
    wait_for(lambda: line in (home / "twistd.log").read_text(), "the log does not say why")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not run_file.exists(), "the daemon did not stop")


def test_the_command_line_of_the_tests_is_twistd() -> None:
    """The tests start what people start."""
    done = subprocess.run([*TWISTD, "--help"], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert "tagfs" in done.stdout
    assert TWISTD[0] == sys.executable
