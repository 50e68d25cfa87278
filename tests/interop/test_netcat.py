"""The tag protocol by hand: both netcats of Debian and inetutils-telnet, against a node process."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.campaigns.node_process import NodeProcess

pytestmark = pytest.mark.slow
CLASSIC = (
    b"ADD 5 waves.txt beach 2024\nsmile"
    b'ADD 3 "two words.txt" beach blurry\nabc'
    b"LIST beach and not blurry\n"
    b"ADD-TAGS 2024 | summer\n"
    b"DELETE-TAGS summer | beach\n"
    b"DELETE blurry\n"
    b"LIST\n"
)
ANSWERS = (
    r"220 .*\n150 .*\n250 \w{26} copies=1/1\n150 .*\n250 \w{26} copies=1/1\n"
    r"213-.*\n \w{26}\t5\t[-0-9T:.]+Z\twaves.txt\t2024 beach\n213 total=1 complete=yes\n"
    r"250 1 changed copies=1/1\n250 1 changed copies=1/1\n250 1 deleted copies=1/1\n"
    r"213-.*\n \w{26}\t5\t[-0-9T:.]+Z\twaves.txt\t2024 summer\n213 total=1 complete=yes\n"
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    running = NodeProcess(tmp_path / "data")
    running.start()
    yield running
    running.stop()


def piped(command: list[str], text: bytes) -> str:
    """What a client prints that is fed by a pipe; it must end by itself."""
    done = subprocess.run(command, input=text, capture_output=True, timeout=20, check=True)
    return done.stdout.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("tool", "options", "ending"),
    [
        ("nc.openbsd", ["-N"], b""),
        ("nc.openbsd", ["-N"], b"QUIT\n"),
        ("nc.traditional", ["-q", "10"], b"QUIT\n"),
        ("nc.traditional", [], b"QUIT\n"),
    ],
)
def test_the_five_classic_commands_from_netcat(
    node: NodeProcess, require_tool: Callable[[str], str], tool: str, options: list[str], ending: bytes
) -> None:
    """A pipe into netcat, bare line feeds, all at once: every answer comes, also after a half-close."""
    host, port = node.address
    said = piped([require_tool(tool), *options, host, str(port)], CLASSIC + ending)
    expected = ANSWERS + (r"221 .*\n" if ending else "")
    assert re.fullmatch(expected, said), said


def test_telnet(node: NodeProcess, require_tool: Callable[[str], str]) -> None:
    """A person at a telnet client: its negotiation does not disturb, each command is answered."""
    host, port = node.address
    client = subprocess.Popen(
        [require_tool("telnet"), host, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert client.stdin is not None
    assert client.stdout is not None

    def until(pattern: str) -> str:
        assert client.stdout is not None
        seen = ""
        while not re.search(pattern, seen):
            line = client.stdout.readline().decode()
            assert line, seen
            seen += line
        return seen

    until("^220 |\n220 ")
    for command, answer in (
        ("NOOP", "200 "),
        ("ADD 4 note.txt by-hand\ntext", "250 "),
        ("COUNT by-hand", "213 1"),
        ("nonsense", "500 "),
        ("FIND (by-hand", "501 "),
        ("FIND by-hand", "213 total=1"),
        ("QUIT", "221 "),
    ):
        client.stdin.write(command.encode() + b"\n")
        client.stdin.flush()
        until(re.escape(answer))
    client.stdin.close()
    client.stdout.close()
    client.wait(10)
