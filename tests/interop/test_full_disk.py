"""A node on a disk that is really full: a small file system in memory, filled to the last byte that contents may take."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tagfs.errors import StorageFull
from tagfs.model.stamp import Stamp
from tagfs.model.vocabulary import definition
from tagfs.storage.blobs import open_blobs
from tagfs.storage.catalog import open_catalog
from tests.campaigns.node_process import NodeProcess

pytestmark = pytest.mark.slow
Tool = Callable[[str], str]
BIG = 4 << 20
SMALL = 700
SCANT = 64 << 10
"""Bytes left to a node that starts: for run.json, which tells this test where it listens, and little more."""
KEPT = b"kept " * 100


@pytest.fixture
def data(tmp_path: Path, require_tool: Tool) -> Iterator[Path]:
    """A data directory of 24 MB."""
    directory = tmp_path / "data"
    directory.mkdir()
    mounting = (require_tool("mount"), "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(directory))
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield directory
    subprocess.run([Path(require_tool("mount")).with_name("umount"), "-l", str(directory)], check=True)


@pytest.fixture
def node(data: Path) -> Iterator[NodeProcess]:
    running = NodeProcess(data)
    running.start()
    yield running
    running.stop(30)


def ask(node: NodeProcess, request: bytes) -> str:
    """All that the node answers to a whole session."""
    parts = []
    with socket.create_connection(node.address, 60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts).decode()


def add(name: str, content: bytes) -> bytes:
    return b"ADD %d %s full\n" % (len(content), name.encode()) + content


def fill(node: NodeProcess) -> str:
    """Adds large and then small contents until none is taken; the last answers."""
    assert "\n250" in ask(node, add("kept", KEPT))
    for number in count():
        if "\n452" in ask(node, add(f"big{number}", os.urandom(BIG))):
            break
    for number in range(200):
        answers = ask(node, b"".join(add(f"s{number}-{i}", os.urandom(SMALL)) for i in range(200)))
        if answers.count("\n452") == 200:
            return answers
    raise AssertionError("the disk does not fill up")


def exhaust(data: Path) -> Path:
    """Somebody else takes the rest, to the last byte."""
    file = data / "lost+found"
    with file.open("wb", buffering=0) as taken:
        try:
            while taken.write(bytes(1 << 12)):
                pass
        except OSError:
            pass
    assert os.statvfs(data).f_bavail == 0
    return file


def health(node: NodeProcess) -> tuple[int, str]:
    address = f"{str(node.facts['web']).rstrip('/')}/healthz"
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["detail"]


def reads(node: NodeProcess) -> bool:
    """Whether the first small content is found and read whole."""
    found = ask(node, b"FIND name:kept\n").splitlines()
    identifier = next(line for line in found if "\tkept\t" in line).split("\t")[0].strip()
    return KEPT.decode() in ask(node, b"GET %s\n" % identifier.encode())


def test_reads_deletes_and_tags_go_on(node: NodeProcess, data: Path) -> None:
    """A refused content says so without the server's paths; whatever needs no room for contents is done, also after a
    restart."""
    answers = fill(node)
    assert "more space" in answers and str(data) not in answers
    assert health(node)[0] == 503
    assert reads(node)
    for change in (
        b"RENAME-TAG full | brimful",
        b"ADD-TAGS name:big0 | heavy",
        b"DELETE name:big1",
        b"PURGE name:big1",
    ):
        answer = ask(node, change + b"\n")
        assert "452" not in answer and "\n2" in answer, answer
    node.stop(30)
    node.start()
    assert reads(node)
    assert "\n2" in ask(node, b"DELETE name:big2\n")
    log = node.log.read_text()
    assert log.count("the disk is full") == 2, "once per start"
    assert "Traceback" not in log


def test_stores_open_where_not_a_page_is_left(data: Path) -> None:
    """Not even the index of SQLite's log fits: it is kept in memory, and writes work once there is space."""
    catalog, blobs = data / "catalog", data / "blobs"
    for _ in range(2):
        open_catalog(f"sqlite://{catalog}", "n1").close()
        store = open_blobs(f"file://{blobs}")
        (blob,) = store.put_many([KEPT])
        store.close()
    taken = exhaust(data)
    records, store = open_catalog(f"sqlite://{catalog}", "n1"), open_blobs(f"file://{blobs}")
    assert not list(data.glob("*/*-shm")) or os.statvfs(data).f_bavail == 0
    with closing(store.open(blob.digest)) as reader:
        assert reader.read(0, reader.size) == KEPT
    tag = definition("a", Stamp(1, "n1"))
    with pytest.raises(StorageFull):
        records.merge([tag])
    taken.unlink()
    assert records.merge([tag])
    assert records.get([tag.ref]) == [tag]
    assert store.put_many([b"more"])
    store.close()
    records.close()


@pytest.mark.parametrize("killed", [True, False])
def test_it_starts_where_next_to_nothing_is_left(node: NodeProcess, data: Path, killed: bool) -> None:
    """Reads are served; writes are refused, and taken as soon as there is space."""
    fill(node)
    taken = exhaust(data)
    ask(node, b"DELETE name:big1\n")
    node.kill() if killed else node.stop(30)
    exhaust(data)
    os.truncate(taken, taken.stat().st_size - SCANT)
    node.start()
    assert reads(node)
    assert "452" in ask(node, add("more", b"more"))
    taken.unlink()
    assert "\n2" in ask(node, b"DELETE name:big2\n")
    assert reads(node)
    node.stop(30)
    assert "Traceback" not in node.log.read_text()
