"""A large content from one node to another over loopback, durable at the end, beside a plain socket that does the same.

``python -m benchmarks.contents give|get|send|receive …`` are the processes that it starts.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from attrs import evolve
from blake3 import blake3

from benchmarks.measuring import Report, figure

ROUNDS = 5
SIZE = 1 << 30
MIB = 1 << 20
GOAL = 0.9
GOAL_RSS_MIB = 64
KEY = bytes(32)
PEERS = {"plain": "a socket", "TLS": "a TLS socket"}
"""How nodes talk, and what that is measured against: blocking sockets of Python, under TLS those of ``ssl`` with the nodes' cipher."""


def run(report: Report) -> None:
    """In turns: our nodes, plain and with TLS, and two processes with a socket, plain and with TLS, the same hash and fsync."""
    report.head(f"A content of {SIZE >> 20} MiB to another node, durable there; MiB per second")
    rates: dict[str, list[float]] = {"a socket": [], "a TLS socket": [], "plain": [], "TLS": []}
    grown: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-contents-") as temporary:
        path = Path(temporary)
        digest = _make(path / "source")
        for _ in range(ROUNDS):
            for on, peer in PEERS.items():
                rates[peer].append(_pair(path, "send", "receive", digest, on)["rate"])
                found = _pair(path, "give", "get", digest, on)
                rates[on].append(found["rate"])
                grown.append(found["grown"])
    for on, samples in rates.items():
        report.add(figure("content to another node", on, "MiB/s", samples))
    for on, peer in PEERS.items():
        ratios = [ours / theirs for ours, theirs in zip(rates[on], rates[peer], strict=True)]
        row = figure(f"… of what {peer} does", on, "times", ratios)
        report.add(evolve(row, goal=f"at least {GOAL}", met=row.median >= GOAL))
    row = figure("growth of the node that gets it", "both", "MiB", grown)
    report.add(evolve(row, goal=f"at most {GOAL_RSS_MIB}", met=row.median <= GOAL_RSS_MIB))


def _make(path: Path) -> bytes:
    hasher = blake3()
    with path.open("wb") as file:
        for _ in range(SIZE // MIB):
            piece = os.urandom(MIB)
            hasher.update(piece)
            file.write(piece)
    return hasher.digest()


def _size(path: Path) -> int:
    return (path / "source").stat().st_size


def _pair(path: Path, left: str, right: str, digest: bytes, on: str) -> dict[str, float]:
    """Starts one process that has the content, and one that gets it; what the second one measured."""
    command = [sys.executable, "-m", "benchmarks.contents"]
    with tempfile.TemporaryDirectory(dir=path) as target:
        arguments = [str(path), target, digest.hex(), on]
        with subprocess.Popen([*command, left, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as giving:
            assert giving.stdout is not None and giving.stdin is not None
            address = giving.stdout.readline().decode().strip()
            got = subprocess.run([*command, right, *arguments, address], stdout=subprocess.PIPE, check=True)
            giving.stdin.close()
    found: dict[str, float] = json.loads(got.stdout)
    return found


def _context(path: Path, on: str, server: bool) -> ssl.SSLContext | None:
    """For ``ssl``: TLS 1.3 under the certificate of a node, which nobody looks at."""
    if on == "plain":
        return None
    from tagfs.node.identity import create

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if server:
        certificate = path / "certificate"
        certificate.mkdir(exist_ok=True)
        (certificate / "pem").write_bytes(create(certificate).pem)
        context.load_cert_chain(certificate / "pem")
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _send(path: Path, target: Path, on: str) -> None:
    context = _context(target, on, True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(f"127.0.0.1:{listening.getsockname()[1]}", flush=True)
        there, _ = listening.accept()
    if context is not None:
        there = context.wrap_socket(there, server_side=True)
    with there, (path / "source").open("rb") as file:
        while piece := file.read(MIB):
            there.sendall(piece)


def _receive(target: Path, digest: bytes, on: str, address: str) -> float:
    host, _, port = address.rpartition(":")
    context = _context(target, on, False)
    there = socket.create_connection((host, int(port)))
    if context is not None:
        there = context.wrap_socket(there)
        assert there.version() == "TLSv1.3"
    start = time.perf_counter()
    hasher = blake3()
    buffer = memoryview(bytearray(MIB))
    with there, (target / "new").open("wb", buffering=0) as file:
        while length := there.recv_into(buffer):
            hasher.update(buffer[:length])
            file.write(buffer[:length])
        os.fsync(file.fileno())
    (target / "new").rename(target / hasher.hexdigest())
    directory = os.open(target, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    took_s = time.perf_counter() - start
    assert hasher.digest() == digest
    return took_s


def _node(reactor: Any, data: Path, on: str, members: Path) -> Any:
    """The contents of a node in ``data``, and its way to others; whoever has a file in ``members`` is a member."""
    from tagfs.cluster.placement import Layout
    from tagfs.cluster.view import Member, View
    from tagfs.node.contents.contents import THREADS, Contents
    from tagfs.node.core import Core
    from tagfs.node.identity import create
    from tagfs.node.offload import Threads
    from tagfs.node.peers.peers import Peers
    from tagfs.storage.memory import MemoryCatalog
    from tagfs.storage.stores import open_blobs

    data.mkdir(exist_ok=True)
    identity = create(data)
    (members / f"{identity.id}.member").touch()
    boot = os.urandom(8).hex()
    peers = Peers(reactor, identity, "bench", KEY, boot=boot, tls=on == "TLS")
    pools = {name: Threads(reactor, 4, name) for name in ("writer", "readers", "transfers")}
    core = Core(
        identity.id, MemoryCatalog(identity.id), open_blobs(f"file:{data / 'blobs'}"), now_ms=lambda: 0, **pools
    )
    streams = Threads(reactor, THREADS, "streams")
    contents = Contents(core, peers, reactor, boot, threads=streams)

    def see() -> None:
        ids = [file.stem for file in members.glob("*.member")]
        known = {id: Member(id, id, ()) for id in ids}
        states = dict.fromkeys(ids, "alive")
        contents.see(View(identity.id, "bench", known, states, frozenset(ids), Layout.of([], 1)))

    return [*pools.values(), streams], core, contents, peers, see


def _stop_threads(pools: Any) -> None:
    for pool in pools:
        pool.stop()


def _give(path: Path, target: Path, on: str) -> None:
    from twisted.internet import reactor as installed
    from twisted.internet.defer import Deferred
    from twisted.internet.protocol import Protocol
    from twisted.internet.stdio import StandardIO
    from twisted.internet.task import LoopingCall

    reactor: Any = installed
    pools, core, _, peers, see = _node(reactor, target / "giver", on, target)
    reactor.addSystemEventTrigger("after", "shutdown", _stop_threads, pools)
    writer = core.blobs.begin()
    with (path / "source").open("rb") as file:
        while piece := file.read(MIB):
            writer.write(piece)
    writer.finish()

    class UntilClosed(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            if reactor.running:
                Deferred.fromCoroutine(peers.close()).addBoth(lambda _: reactor.stop())

    port = reactor.listenTCP(0, peers.door, interface="127.0.0.1")
    print(f"127.0.0.1:{port.getHost().port}", flush=True)
    StandardIO(UntilClosed())
    LoopingCall(see).start(0.05)
    reactor.run()


def _get(target: Path, digest: bytes, on: str, address: str) -> dict[str, float]:
    from twisted.internet import task
    from twisted.internet.defer import Deferred

    found: dict[str, float] = {}
    size = _size(target.parent)

    async def measure(reactor: Any) -> None:
        pools, _, contents, peers, see = _node(reactor, target / "getter", on, target)
        other = (await peers.meet(address)).node
        await task.deferLater(reactor, 0.2, see)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        await contents.fetch(digest, size, [other])
        found["rate"] = size / MIB / (time.perf_counter() - start)
        found["grown"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

        await contents.stop()
        await peers.close()
        _stop_threads(pools)

    task.react(lambda reactor: Deferred.fromCoroutine(measure(reactor)).addCallback(lambda _: print(json.dumps(found))))
    return found


def _main(what: str, path: Path, target: Path, digest: bytes, on: str, address: str = "") -> None:
    if what == "send":
        _send(path, target, on)
    elif what == "receive":
        print(json.dumps({"rate": _size(path) / MIB / _receive(target, digest, on, address)}))
    elif what == "give":
        _give(path, target, on)
    else:
        _get(target, digest, on, address)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), bytes.fromhex(sys.argv[4]), *sys.argv[5:])
