"""Large contents between socket and disk, past Twisted's reader and writer: the same bytes, in any pieces, and nothing beyond them."""

from __future__ import annotations

import json
import os
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaigns.node_process import NodeProcess

DATA = os.urandom(1 << 20) * 24 + b"end"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path / "data")
    process.start()
    yield process
    process.stop()


def connect(node: NodeProcess) -> socket.socket:
    host, _, port = str(node.facts["web"]).rpartition("//")[2].rpartition(":")
    return socket.create_connection((host, int(port)), 20)


def upload(name: str, size: int) -> bytes:
    return f"POST /api/v1/entries?name={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()


def download(node: NodeProcess, path: str) -> bytes:
    with urllib.request.urlopen(f"{node.facts['web']}{path}") as answer:
        return bytes(answer.read())


def names(node: NodeProcess) -> list[str]:
    return sorted(entry["name"] for entry in json.loads(download(node, "/api/v1/entries"))["entries"])


def read_answers(sock: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """Status and body of so many answers, from one stream."""
    stream, answers = sock.makefile("rb"), []
    for _ in range(count):
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answers.append((status, stream.read(length)))
    return answers


@pytest.mark.parametrize("pause_s", [0.0, 0.01])
def test_uploads_with_more_behind_them(node: NodeProcess, pause_s: float) -> None:
    """Fast or in pieces with pauses: each body ends where its length says, and what is behind it is the next request."""
    data = DATA if not pause_s else DATA[: 5 << 20]
    with connect(node) as sock:
        stream = upload("a", len(data)) + data + HEALTH + upload("b", len(data)) + data + HEALTH
        piece = len(stream) if not pause_s else 700_001
        for at in range(0, len(stream), piece):
            sock.sendall(stream[at : at + piece])
            time.sleep(pause_s)
        answers = read_answers(sock, 4)
    assert [status for status, _ in answers] == [201, 200, 201, 200]
    for _, body in answers[::2]:
        assert download(node, f"/api/v1/entries/{json.loads(body)['id']}/content") == data


def test_an_upload_that_is_cut_stores_nothing(node: NodeProcess) -> None:
    """At the end of its stream, by a reset, or with the right length promised to the last byte but one."""
    for end in ("close", "half", "reset"):
        with connect(node) as sock:
            sock.sendall(upload(end, len(DATA)) + DATA[:-1])
            if end == "half":
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(1000) == b""
            elif end == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    with connect(node) as sock:
        sock.sendall(upload("whole", len(DATA)) + DATA)
        assert read_answers(sock, 1)[0][0] == 201
    assert names(node) == ["whole"]


def test_downloads_in_a_row_and_by_slow_readers(node: NodeProcess) -> None:
    """Pipelined ones come one after the other, ranges too; a reader that pauses gets every byte; one that leaves harms nobody."""
    with connect(node) as sock:
        sock.sendall(upload("a", len(DATA)) + DATA)
        entry = json.loads(read_answers(sock, 1)[0][1])["id"]
        get = f"GET /api/v1/entries/{entry}/content HTTP/1.1\r\nHost: localhost\r\n".encode()
        sock.sendall((get + b"\r\n") * 2 + get + b"Range: bytes=1000000-13999999\r\n\r\n" + HEALTH)
        answers = read_answers(sock, 4)
    assert [status for status, _ in answers] == [200, 200, 206, 200]
    assert [body == DATA for _, body in answers] == [True, True, False, False]
    assert answers[2][1] == DATA[1_000_000:14_000_000]
    with connect(node) as slow, connect(node) as leaving:
        for sock in (slow, leaving):
            sock.sendall(get + b"Connection: close\r\n\r\n")
        assert leaving.recv(100_000)
        leaving.close()
        came = bytearray()
        while data := slow.recv(1 << 18):
            came += data
            if len(came) % 5 == 0:
                time.sleep(0.005)
    assert bytes(came).partition(b"\r\n\r\n")[2] == DATA


def test_a_node_that_stops_does_not_wait_for_them(node: NodeProcess) -> None:
    """Neither for an upload nor for a download that is in the hands of another thread."""
    with connect(node) as sock:
        sock.sendall(upload("a", len(DATA)) + DATA)
        entry = json.loads(read_answers(sock, 1)[0][1])["id"]
    with connect(node) as up, connect(node) as down:
        up.sendall(upload("b", 1 << 40) + DATA)
        down.sendall(f"GET /api/v1/entries/{entry}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 200 ", down.recv(1000))
        start = time.monotonic()
        node.stop()
        assert time.monotonic() - start < 5
