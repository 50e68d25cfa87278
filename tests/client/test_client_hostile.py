"""A client against servers that lie, stop, or never end: a clear error, in bounded time and memory."""

import socket
from typing import BinaryIO

import pytest

from tagfs.client import Client, Closing, Command, ConnectionLost, ProtocolViolation, Refused, TimedOut
from tagfs.client.channel import MAX_LINE
from tests.client.fake_server import Script


def plays(*answers: bytes, greeting: bytes = b"220 hi\r\n", stay: bool = False):
    """A server that greets, then sends one answer per line that comes, then closes."""

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(greeting)
        for answer in answers:
            if not lines.readline():
                return
            sock.sendall(answer)
        while stay and lines.readline():
            pass

    return Script(play)


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH\r\n", b"\xff\xfe\r\n", b"\r\n", b"99 x\r\n", b"999 x\r\n", b"220x\r\n"]
)
def test_other_protocols(greeting):
    """Another service on the port is named as such."""
    with plays(greeting=greeting) as server, pytest.raises(ProtocolViolation, match="is it a tagfs node"):
        Client(port=server.port)


def test_a_busy_greeting():
    """A greeting that refuses is a refusal."""
    with plays(greeting=b"421 too many sessions\r\n") as server, pytest.raises(Closing, match="too many"):
        Client(port=server.port)


def test_an_endless_line():
    """A line without an end is given up at its bound."""

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 ")
        while True:
            sock.sendall(b"x" * MAX_LINE)

    with Script(play) as server, pytest.raises(ProtocolViolation, match="line of more than"):
        Client(port=server.port)


def test_an_endless_short_reply():
    """Rows without end, where a short reply is due, are given up at their bound."""

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        lines.readline()
        sock.sendall(b"211-\r\n")
        while True:
            sock.sendall(b" x\r\n" * 100_000)

    with Script(play) as server, Client(port=server.port) as client, pytest.raises(ProtocolViolation, match="16 MiB"):
        client.nodes()


@pytest.mark.parametrize(
    "answer",
    [
        b"213-\r\n id\t1\tm\tn\tt\r\n",
        b"213-\r\n id\t1\tm\tn\tt\r\n213 total=",
        b"213-\r\n id\t1\tm\tn",
        b"",
    ],
)
def test_a_list_cut_off(answer):
    """A list that ends before its last line is an error, never a short list."""
    with (
        plays(answer) as server,
        Client(port=server.port) as client,
        pytest.raises((ConnectionLost, ProtocolViolation)),
    ):
        list(client.find())


def test_a_list_without_a_total():
    """A last line that does not say how many is an error."""
    server = plays(b"213-\r\n id\t1\tm\tn\tt\r\n213 bye\r\n")
    with server, Client(port=server.port) as client, pytest.raises(ProtocolViolation, match="cut off"):
        list(client.find())


def test_a_content_that_never_begins():
    """A download that breaks again and again without a byte fails after a few tries."""
    with plays(b"150 100\r\n") as server, Client(port=server.port) as client, pytest.raises(ConnectionLost):
        client.get("x", lambda piece: None)


def test_a_content_that_changes_its_size():
    """A download that goes on must be of the same content; more bytes than announced never come."""
    server = plays(b"150 100\r\nhalf")
    with server, Client(port=server.port) as client, pytest.raises(ProtocolViolation, match=r"100 bytes .* 104"):
        client.get("x", lambda piece: None)


def test_a_download_goes_on_where_it_broke():
    """After a break the rest is asked for with an offset, and nothing is handed on twice."""
    asked = []

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        asked.append(lines.readline().decode().strip())
        sock.sendall(b"150 6\r\nabc" if len(asked) == 1 else b"150 3\r\ndef226 Done\r\n")
        lines.readline() if len(asked) == 2 else None

    got = []
    with Script(play) as server, Client(port=server.port) as client:
        assert client.get("x", got.append) == 6
    assert b"".join(got) == b"abcdef"
    assert asked == ["GET x", "GET x | offset=3"]


@pytest.mark.parametrize("answer", [b"150 many\r\n", b"150 99999999999999999999\r\n", b"150 -1\r\n"])
def test_a_content_of_no_size(answer):
    """A size that is no number is an error."""
    with plays(answer) as server, Client(port=server.port) as client, pytest.raises(ProtocolViolation):
        client.get("x", lambda piece: None)


def test_silence():
    """A server that says nothing is given up after the time-out."""
    with plays(stay=True, greeting=b"") as server, pytest.raises(TimedOut, match=r"within 0\.2 seconds"):
        Client(port=server.port, timeout=0.2)


@pytest.mark.parametrize("answer", [b"250 fine\r\n", b"213 lots\r\n", b"213\r\n"])
def test_a_count_that_is_none(answer):
    """A number is needed where one is due."""
    with plays(answer) as server, Client(port=server.port) as client, pytest.raises(ProtocolViolation):
        client.count()


def test_an_add_answered_with_nonsense():
    """250 without an id does not count as stored."""
    with (
        plays(b"150 go\r\n250 fine\r\n") as server,
        Client(port=server.port) as client,
        pytest.raises(ProtocolViolation),
    ):
        client.add("x", b"")


def test_a_server_that_answers_before_it_reads():
    """Large answers and large questions in both directions at once do not block each other."""
    count = 300

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        for _ in range(count):
            if not lines.readline():
                return
            sock.sendall(b"213-\r\n" + b" " + b"y" * 60_000 + b"\r\n" + b"213 1\r\n")

    with Script(play) as server, Client(port=server.port, timeout=10) as client:
        commands = (Command("COUNT " + "x" * 60_000) for _ in range(count))
        assert sum(1 for _ in client.pipelined(commands)) == count


def test_a_refusal_while_a_content_is_sent():
    """A server that refuses, says why and stops reading is understood, though the content never went out."""

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        lines.readline()
        sock.sendall(b"552 too large for this node\r\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 20):
            pass

    with (
        Script(play) as server,
        Client(port=server.port, timeout=10) as client,
        pytest.raises(Refused, match="too large"),
    ):
        client.add("x", bytes(20_000_000))
