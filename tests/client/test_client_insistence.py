"""insistently(): through broken connections, every item has exactly one outcome, in order."""

import io
import socket
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagfs.client import Body, Client, Command, ConnectionFailed, ConnectionLost, SourceFailed, insistently
from tagfs.client.adding import add_command
from tests.client.fake_server import MemoryNode, Script


@given(cuts=st.lists(st.integers(0, 6), max_size=4), window=st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_every_item_once_and_in_order(cuts, window):
    """A server that breaks the connection after some answers, again and again: all items are answered, none twice."""
    left = list(cuts)

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        answers = left.pop(0) if left else 1000
        for _ in range(answers):
            line = lines.readline()
            if not line.startswith(b"COUNT"):
                return
            sock.sendall(b"213 %d\r\n" % int(line.split()[1]))

    with Script(play) as server, Client(port=server.port, timeout=10) as client:
        answered = list(
            insistently(client, range(20), lambda n: Command(f"COUNT {n}"), window, pauses=[0.0] * (len(cuts) + 1))
        )
    assert [(n, int(reply.text)) for n, reply in answered] == [(n, n) for n in range(20)]


def test_a_server_that_never_answers_is_given_up():
    """New connections are tried a bounded number of times."""
    greeted = []

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        greeted.append(1)
        sock.sendall(b"220 hi\r\n")
        lines.readline()

    with Script(play) as server, Client(port=server.port, timeout=10) as client, pytest.raises(ConnectionLost):
        list(insistently(client, [1], lambda n: Command("COUNT"), pauses=[0, 0, 0]))
    assert len(greeted) == 4


def test_a_server_that_is_gone():
    """Nothing listens any more: the last failure is raised."""

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        lines.readline()

    with Script(play) as server:
        client = Client(port=server.port, timeout=10)
        client.close()
    with pytest.raises((ConnectionLost, ConnectionFailed)):
        list(insistently(client, [1], lambda n: Command("COUNT"), pauses=[0, 0]))


@pytest.mark.parametrize("broken", [0, 3, 9])
def test_a_broken_source_costs_only_itself(broken):
    """A file that shrinks while it is sent has its error; all others are stored, once."""

    def command(number: int) -> Command:
        size = 2000 if number == broken else 1000
        content = b"%d" % number * 1000
        return add_command(f"n{number}", Body(lambda: io.BytesIO(content[:1000]), size, f"n{number}"), key=f"k{number}")

    with MemoryNode() as node, Client(port=node.port, timeout=10) as client:
        outcomes = dict(insistently(client, range(10), command, pauses=[0, 0]))
        assert isinstance(outcomes.pop(broken), SourceFailed)
        assert {reply.code for reply in outcomes.values()} == {250}
        assert sorted(entry.name for entry in node.shelf.entries.values()) == [
            f"n{n}" for n in range(10) if n != broken
        ]
