"""The command as a process: fast to start, quiet when interrupted, never a traceback, whatever the server does."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tagfs.cli.main import COMMANDS
from tests.client.fake_server import MemoryNode, Script

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[bytes]]


def environment(port: int, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TAGFS_")}
    return {**kept, "PYTHONPATH": str(ROOT), "TAGFS_SERVER": f"127.0.0.1:{port}", **more}


def run(port: int, *arguments: object, typed: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tagfs.cli", *map(str, arguments)],
        input=typed, capture_output=True, env=environment(port, **more), timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def filled(node: MemoryNode, tmp_path: Path) -> MemoryNode:
    """A node with a few thousand entries."""
    from tagfs.client import Client
    from tagfs.client.adding import add_command

    with Client(port=node.port) as client:
        for _ in client.pipelined(add_command(f"name number {n}", b"x", tags=["t"]) for n in range(3000)):
            pass
    return node


@pytest.mark.parametrize("arguments", [["count"], ["list", "t"], ["--help"], ["add", os.devnull]])
def test_no_heavy_imports(node, arguments):
    """Neither Twisted nor numpy nor what else takes long is imported to ask a question."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tagfs.cli", *arguments],
        capture_output=True, env=environment(node.port), timeout=60, check=False,
    )  # fmt: skip
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.decode().splitlines() if "|" in line}
    assert "click" in imported
    assert not imported & {
        "twisted",
        "numpy",
        "zope",
        "pyroaring",
        "cryptography",
        "asyncio",
        "ssl",
        "http",
        "email",
        "attr",
    }


@pytest.mark.slow
def test_starting_costs_little(node):
    """The best of ten runs of `tagfs count`, in processor time, which a busy machine stretches least: it is some 70 ms
    with everything, of which 40 are Python and click; twice that is a new import that should be lazy."""
    best = 9.9
    for _ in range(10):
        before = os.times()
        run(node.port, "count")
        after = os.times()
        best = min(best, after.children_user + after.children_system - before.children_user - before.children_system)
    assert best < 0.15, f"{best:.3f} s"


@pytest.mark.parametrize("arguments", [["list"], ["tags"], ["count"], ["nodes"], ["add", __file__], ["doctor"]])
def test_nothing_listens(arguments):
    """One line that names the address, code 1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = run(port, *arguments)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}".encode() in done.stderr + done.stdout
    assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves(filled):
    """`tagfs list | head -1`: the rest is not sent, and nothing is said about it."""
    for arguments in (["list"], ["list", "--json"], ["cat", "0" * 26]):
        process = subprocess.Popen(
            [sys.executable, "-m", "tagfs.cli", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(filled.port),
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        _, said = process.communicate(timeout=60)
        assert said == b"" or arguments[0] == "cat"
        assert process.returncode in (0, 141) or arguments[0] == "cat"


def test_a_refused_question_prints_no_json(node):
    """What failed leaves nothing on the standard output that a program would begin to read."""
    done = run(node.port, "--json", "list", "(beach")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"tagfs: ")


def _with_closed(port: int, redirections: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "tagfs.cli", *arguments],
        input=b"", capture_output=True, env=environment(port), timeout=60, check=False,
    )  # fmt: skip


def test_a_closed_standard_output(node):
    """`tagfs list >&-` says so in one line, and has done nothing."""
    for redirections in (">&-", ">&- <&-"):
        done = _with_closed(node.port, redirections, "add", __file__)
        assert done.returncode == 1
        assert done.stderr.startswith(b"tagfs: the standard output is closed")
        assert done.stderr.count(b"\n") == 1
    assert _with_closed(node.port, "<&- >&- 2>&-", "add", __file__).returncode == 1
    assert not node.shelf.entries


def test_a_closed_standard_error_or_input(node):
    """Neither is needed by a command that does not read from people; nor does anything else get their numbers."""
    done = _with_closed(node.port, "<&- 2>&-", "add", __file__)
    assert (done.returncode, len(done.stdout.split(b"\t"))) == (0, 2)
    done = _with_closed(node.port, "2>&-", "info", "1" * 26)
    assert (done.returncode, done.stdout) == (1, b"")
    for arguments in (["add", "-", "--name", "empty"], ["shell"]):
        done = _with_closed(node.port, "<&-", *arguments)
        assert (done.returncode, done.stderr) == (1, b"tagfs: the standard input is closed\n")
    assert len(node.shelf.entries) == 1


def test_interrupted(tmp_path):
    """Ctrl-C: one line, code 130."""
    asked = []

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        asked.append(lines.readline())
        lines.readline()

    with Script(play) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "tagfs.cli", "count"], stderr=subprocess.PIPE, env=environment(server.port)
        )
        deadline = time.monotonic() + 30
        while not asked and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"tagfs: interrupted\n")


def test_a_time_out(tmp_path):
    """A server that answers nothing is given up after --timeout."""

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        lines.readline()
        lines.readline()

    with Script(play) as server:
        done = run(server.port, "count", "--timeout", "0.2")
    assert done.returncode == 1
    assert b"no answer from the server within 0.2 seconds" in done.stderr


def test_a_port_that_does_not_greet():
    """A web server waits for the client to speak first; a node does not, so that is told soon, with what it may be."""

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        lines.readline()

    with Script(play) as server:
        done = run(server.port, "count", "--timeout", "0.2")
    assert done.returncode == 1
    assert f"no greeting from 127.0.0.1:{server.port} within 0.2 seconds".encode() in done.stderr
    assert b"web (HTTP)" in done.stderr and b"--timeout" not in done.stderr


def test_bugs_are_one_line_and_a_hint(node):
    """Even our own faults show no traceback, unless TAGFS_DEBUG asks for it."""
    code = "import tagfs.cli.commands.finding as f, tagfs.cli.main as m; f.count.callback = lambda **k: 1 / 0; m.main('tagfs')"
    for debug, traceback in (("", False), ("1", True)):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.argv = ['tagfs', 'count']; {code}"],
            capture_output=True, env=environment(node.port, TAGFS_DEBUG=debug), timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert (b"Traceback" in done.stderr) == traceback
        assert b"ZeroDivisionError" in done.stderr


@pytest.fixture
def terminal(node: MemoryNode) -> Iterator[Callable[..., str]]:
    """Runs a command with a terminal as its input, output and error; what it shows."""

    def running(*arguments: str, typed: bytes = b"") -> str:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "tagfs.cli", *arguments],
            stdin=slave, stdout=slave, stderr=slave, close_fds=True,
            env=environment(node.port, TERM="dumb", XDG_STATE_HOME="/nonexistent"),
        )  # fmt: skip
        os.close(slave)
        if typed:
            os.write(master, typed)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65_536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        process.wait(60)
        return shown.decode().replace("\r\n", "\n")

    return running  # type: ignore[return-value]


def test_tables_on_a_terminal(terminal, tagfs, store):
    """People get aligned columns under heads; wide characters count as two."""
    store("日本.txt", "x")
    store("a.txt", "y", content=b"z" * 2048)
    head, first, second, count = terminal("list", "--sort", "name").splitlines()
    assert head.split() == ["ID", "SIZE", "MODIFIED", "(UTC)", "NAME", "TAGS"]
    assert first.split()[1] == "2.0K"
    assert first.rindex("y") == head.index("TAGS")
    assert second.rindex("x") == head.index("TAGS") - 2  # two wide characters before it
    assert count == "2 entries"
    assert terminal("tags").splitlines()[0].split() == ["COUNT", "TAG"]


def test_a_long_name_does_not_widen_all_rows(terminal, store, monkeypatch):
    """What is too wide for the terminal is cut and ends in …; what fits is whole, and so is an id."""
    monkeypatch.setenv("COLUMNS", "100")
    long = store("n" * 200 + ".txt", "sea")
    wide = store("日" * 60, "sea")
    short = store("short.txt", "beach", "sea")
    lines = terminal("list", "--sort", "name").splitlines()
    assert [line.split()[0] for line in lines[1:4]] == [long, short, wide]
    assert "nnn…  sea" in lines[1] and "short.txt " in lines[2] and lines[2].endswith("beach sea")
    assert "日…" in lines[3]
    assert max(map(len, lines)) == 100
    monkeypatch.setenv("COLUMNS", "20")
    assert "nnnnnnn…  sea" in terminal("list", "--sort", "name")


def test_names_cannot_control_a_terminal(terminal, shelf, store):
    """Escape sequences in what a server says are not passed on."""
    identifier = store("x", "t")
    shelf.entries[identifier].name = "evil\x1b[2Jname"
    shown = terminal("list")
    assert "\x1b[2J" not in shown
    assert "evil\ufffd[2Jname" in shown


def test_an_import_shows_a_bar_on_a_terminal_only(terminal, node, tmp_path):
    """Long work shows how far it is, to people only."""
    (tmp_path / "t").mkdir()
    for number in range(3):
        (tmp_path / "t" / f"f{number}").write_bytes(b"x")
    assert "importing" in terminal("import", str(tmp_path / "t"))
    done = run(node.port, "import", tmp_path / "t")
    assert b"importing" not in done.stdout + done.stderr


def test_shell_as_a_script(node, tmp_path):
    """Lines from a pipe: commands go to the node, put, get and cat are done here, errors do not end it but are told."""
    (tmp_path / "a file.txt").write_bytes(b"hello")
    script = f"""
# a comment
put '{tmp_path}/a file.txt' "x y" z
find z
nonsense
info
lcd {tmp_path}
!echo local
add 5 x
count "x y"
quit
count never
"""
    done = run(node.port, "shell", typed=script.encode())
    shown = done.stdout.decode()
    assert done.returncode == 1
    assert "copies=1/1" in shown
    assert 'a file.txt\t"x y" z' in shown
    assert "500 nonsense: no such command" in shown
    assert "local\n" in shown
    assert "213 1\n" in shown
    assert "put FILE" in done.stderr.decode()
    assert [entry.name for entry in node.shelf.entries.values()] == ["a file.txt"]
    (identifier,) = node.shelf.entries
    done = run(node.port, "shell", typed=f"cat {identifier}\nget {identifier[-8:]} {tmp_path}/out\n".encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out").read_bytes() == b"hello"


def test_shell_on_a_terminal(terminal, store):
    """The prompt greets, answers, goes on after errors, and leaves on quit."""
    store("a.txt", "beach")
    shown = terminal("shell", typed=b"count beach\nfoo\nquit\n")
    assert "fake tagfs" in shown
    assert "213 1" in shown
    assert "500 foo" in shown


def test_doctor(node, tmp_path):
    """What is well and what is not, in words, with what to do."""
    done = run(node.port, "doctor", "--data", tmp_path)
    assert done.returncode == 0, done
    assert b"answers: fake tagfs" in done.stdout
    assert b"is empty" in done.stdout
    (tmp_path / "photo.jpg").write_bytes(b"")
    done = run(node.port, "doctor", "--data", tmp_path)
    assert done.returncode == 1
    assert b"not the data of a node" in done.stdout
    (tmp_path / "photo.jpg").unlink()
    done = run(node.port, "doctor", "--data", tmp_path, TAGFS_SERVER="")
    assert done.returncode == 0, done  # the directory of no running node: there is none to be asked
    assert b"answers" not in done.stdout
    done = run(1, "doctor")
    assert done.returncode == 1
    assert b"twistd -n tagfs" in done.stdout


def test_every_module_of_a_command_is_there():
    """No command of the list fails to load."""
    from tagfs.cli.main import cli

    for name in COMMANDS:
        assert cli.get_command(None, name) is not None
