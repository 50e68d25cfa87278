"""A node with the data set in it, as a process, and a plain connection to its tag protocol."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from benchmarks.dataset import Item, items
from benchmarks.measuring import timed_us
from tagfs.model.entry import Content, creation, entry_id
from tagfs.model.record import Record
from tagfs.model.stamp import HybridClock
from tagfs.model.vocabulary import definition
from tagfs.node.datadir import DataDirectory
from tagfs.storage.stores import open_blobs, open_catalog
from tests.campaigns.node_process import NodeProcess

BATCH = 2_000


def fill(data: Path, count: int) -> float:
    """Makes a data directory with ``count`` entries as ADD would have stored them, the definitions of their tags included,
    but without contents; returns the seconds it took."""
    directory = DataDirectory(data)
    node = directory.identity.id
    catalog = open_catalog(f"sqlite:{data / 'catalog'}", node)
    open_blobs(f"file:{data / 'blobs'}").close()
    directory.settle()
    clock = HybridClock(node)
    start = time.perf_counter()
    batch: list[Record] = []
    defined: set[str] = set()
    for item in items(count):
        batch.append(record(item, clock))
        batch += [definition(tag, batch[-1].greatest()) for tag in item.tags if tag not in defined]
        defined.update(item.tags)
        if len(batch) >= BATCH:
            catalog.merge(batch)
            batch = []
            if item.number % 100_000 > 100_000 - BATCH:
                print(f"  about {item.number + 1:,} entries", file=sys.stderr, flush=True)
    if batch:
        catalog.merge(batch)
    took = time.perf_counter() - start
    catalog.close()
    directory.close()
    return took


def record(item: Item, clock: HybridClock) -> Record:
    """The record of an entry of the data set."""
    now_ms = 1_750_000_000_000 + item.number
    digest = blake3(item.name.encode()).digest()
    content = Content(digest, item.size, "image/jpeg", item.modified)
    return creation(entry_id(now_ms, digest[:10]), clock.stamp(now_ms), item.name, content, now_ms, item.tags, None)


class Line:
    """A connection that asks one thing at a time."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, 120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb", buffering=1 << 18)
        self._file.readline()

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._socket.sendall(data)

    def line(self) -> bytes:
        """The next line of the answer."""
        return self._file.readline()

    def ask(self, command: str) -> int:
        """Sends a command, reads its whole answer; the number of lines. Raises AssertionError for an error reply."""
        self._socket.sendall(command.encode() + b"\r\n")
        first = self._file.readline()
        assert first[:1] == b"2", (command, first)
        lines = 1
        if first[3:4] == b"-":
            end = first[:3] + b" "
            while not self._file.readline().startswith(end):
                lines += 1
        return lines

    def close(self) -> None:
        """Hangs up."""
        self._file.close()
        self._socket.close()


@contextmanager
def running(data: Path) -> Iterator[NodeProcess]:
    """A node on ``data``, stopped in the end."""
    node = NodeProcess(data)
    node.start()
    try:
        yield node
    finally:
        node.stop()


def growth(node: NodeProcess, call: Callable[[], None]) -> tuple[float, float]:
    """By how many MiB the node's memory grows at most during a call, and the microseconds that it takes."""
    before = node.resident_bytes()
    peak = before
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, node.resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        took = timed_us(call)
    finally:
        over.set()
        watcher.join()
    return (peak - before) / (1 << 20), took
