"""What ./run starts: a node on free ports, with a guide whose commands work; stopped by Ctrl-C, it keeps its data."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PORTS = (2121, 8080, 4747)


class Quickstart:
    """A process of ``python -m tagfs.quickstart`` with what it has said so far."""

    def __init__(self, directory: Path, *arguments: str, program: tuple[str, ...] = ("-m", "tagfs.quickstart")) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("TAGFS_")}
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=directory,
            env=environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.said = ""

    def read_until(self, text: str, limit_s: float = 20) -> str:
        """All that it has said, when the text is in it."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + limit_s
        while text not in self.said:
            assert select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0], self.said
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, self.said
            self.said += data.decode()
        return self.said

    def finish(self, number: signal.Signals | None = None, limit_s: float = 20) -> int:
        """Sends the signal, if any, and waits; the exit code."""
        if number is not None:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=limit_s)
        self.said += output.decode()
        return self.process.returncode


@pytest.fixture
def quickstart(tmp_path: Path) -> Iterator[Callable[..., Quickstart]]:
    """Starts ``./run`` in an empty directory, as often as called."""
    started: list[Quickstart] = []

    def start(*arguments: str) -> Quickstart:
        started.append(Quickstart(tmp_path, *arguments))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


FREE = [word for door in ("ftp", "web", "node") for word in (f"--{door}", "tcp:0:interface=127.0.0.1")]


def test_guide_commands_work(quickstart, tmp_path, require_tool):
    """The commands of the guide, pasted as they stand, store a file and find it."""
    for tool in ("curl", "nc.openbsd"):
        require_tool(tool)
    node = quickstart(*FREE)
    said = node.read_until("Stop with Ctrl-C")
    facts = json.loads((tmp_path / "tagfs-data/run.json").read_text())
    assert facts["pid"] == node.process.pid
    for door in ("ftp", "web", "node"):
        assert facts[door] is None or facts[door] in said
    assert str(tmp_path / "tagfs-data") in said
    upload, query = re.findall(r"^  ((?:echo|printf) .*)$", said, re.MULTILINE)
    subprocess.run(["sh", "-c", upload], check=True, timeout=30)
    done = subprocess.run(["sh", "-c", query], check=True, timeout=30, capture_output=True, text=True)
    assert re.search(r"^ \S+\t11\t\S+\thello\.txt\t2024 beach\r?$", done.stdout, re.MULTILINE), done.stdout
    (command,) = re.findall(r"^The command line .*: +(\S.*)$", said, re.MULTILINE)
    assert command.endswith(f"--server {facts['ftp']} list beach")
    assert node.finish(signal.SIGINT) == -signal.SIGINT
    assert "Traceback" not in node.said


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_data_is_kept(quickstart, tmp_path, how):
    """Stopped by either signal within 5 s, ended by that signal, the node has its entries when it is started again."""
    for entries, lines in ((0, b"ADD 5 hello.txt beach\nhello"), (1, b"")):
        node = quickstart(*FREE)
        node.read_until("Stop with Ctrl-C")
        assert f"{entries} entries" in node.said
        facts = json.loads((tmp_path / "tagfs-data/run.json").read_text())
        host, _, port = facts["ftp"].rpartition(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(lines + b"COUNT beach\nQUIT\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b"213 1\r\n" in answer
        begin = time.monotonic()
        assert node.finish(how) == -how, node.said
        assert time.monotonic() - begin < 5
        assert not (tmp_path / "tagfs-data/run.json").exists()


def test_taken_ports_are_replaced(quickstart, tmp_path):
    """Where another program has the default ports, free ones are taken, and the guide says so for each door."""
    with ExitStack() as stack:
        for port in PORTS:
            try:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue  # somebody else has it: as good
        node = quickstart()
        said = node.read_until("Stop with Ctrl-C")
        facts = json.loads((tmp_path / "tagfs-data/run.json").read_text())
        assert facts["ftp"] != "127.0.0.1:2121"
        assert f"{facts['ftp']}   (port 2121 is taken by another program)" in said
        assert node.finish(signal.SIGINT) == -signal.SIGINT


LATE = """
import sys
import tagfs.quickstart as quickstart
look = quickstart.taken_doors
quickstart.taken_doors = lambda settings: quickstart.__dict__.update(taken_doors=look) or {}
quickstart.main(sys.argv[1:])
"""


def test_port_taken_at_the_last_moment(tmp_path):
    """A port that was free when it was looked at, and taken when the node starts, is replaced all the same."""
    with ExitStack() as stack:
        try:
            stack.enter_context(socket.create_server(("127.0.0.1", 2121)))
        except OSError:
            pass  # somebody else has it: as good
        node = Quickstart(tmp_path, "--web", "off", "--node", "off", program=("-c", LATE))
        try:
            assert "(port 2121 is taken by another program)" in node.read_until("Stop with Ctrl-C")
        finally:
            assert node.finish(signal.SIGINT) == -signal.SIGINT


def test_second_run_on_the_same_data_is_refused(quickstart):
    """While one node has the data, a second run ends with one line that says so, and exit code 1."""
    first = quickstart(*FREE)
    first.read_until("Stop with Ctrl-C")
    second = quickstart(*FREE)
    assert second.finish() == 1
    assert "tagfs: cannot start: " in second.said
    assert "Traceback" not in second.said
    assert first.finish(signal.SIGINT) == -signal.SIGINT


def test_wrong_option_is_one_line(quickstart):
    """A wrong option gives one line and exit code 1, before anything is made."""
    node = quickstart("--copies", "many")
    assert node.finish() == 1
    assert node.said.startswith("tagfs: --copies: 'many' is not allowed here")
    assert len(node.said.splitlines()) == 1
