"""Connections between nodes: requests and contents per second over loopback, beside a plain socket.

``python -m benchmarks.nodes answer|ask …`` are the processes that it starts.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve

from benchmarks.measuring import Report, figure

ROUNDS = 5
MIB = 1 << 20
KEY = bytes(32)
LOADS = {  # what -> verb, requests, at a time, bytes of their bodies
    "one at a time": ("PUSH", 3_000, 1, 0),
    "64 at a time": ("PUSH", 20_000, 64, 0),
    "with 4 KiB, 64 at a time": ("PUSH", 10_000, 64, 4096),
    "1 MiB pulled, 8 at a time": ("GET", 400, 8, 0),
}
GOALS_PER_S = {"64 at a time": 10_000, "1 MiB pulled, 8 at a time": 200}


def run(report: Report) -> None:
    """Measures both ends in processes of their own, plain and with TLS in turns with a plain socket."""
    report.head("Requests between two nodes over loopback, per second; processor time of both ends for each")
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for on, tls in (("plain", False), ("TLS", True)):
            for what, (rate, cost_us) in _between_nodes(tls).items():
                rates.setdefault((what, on), []).append(rate)
                costs.setdefault((what, on), []).append(cost_us)
        for what, rate in _plain_socket().items():
            rates.setdefault((what, "a socket"), []).append(rate)
    for (what, on), samples in sorted(rates.items()):
        row = figure(what, on, "/s", samples)
        goal = GOALS_PER_S.get(what) if on != "a socket" else None
        report.add(row if goal is None else evolve(row, goal=f"at least {goal:,}/s", met=row.median >= goal))
    for (what, on), samples in sorted(costs.items()):
        report.add(figure(f"processor, {what}", on, "µs", samples))


def _between_nodes(tls: bool) -> dict[str, tuple[float, float]]:
    command = [sys.executable, "-m", "benchmarks.nodes"]
    mode = "tls" if tls else "plain"
    with subprocess.Popen([*command, "answer", mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as answering:
        assert answering.stdout is not None and answering.stdin is not None
        address = answering.stdout.readline().decode().strip()
        asked = subprocess.run([*command, "ask", mode, address], stdout=subprocess.PIPE, check=True)
        answering.stdin.close()
    found: dict[str, tuple[float, float]] = json.loads(asked.stdout)
    return found


def _plain_socket() -> dict[str, float]:
    """The floor: the same bytes between two threads of blocking sockets, with no protocol."""
    rates = {}
    for what, size, count in (("one at a time", 64, 20_000), ("1 MiB pulled, 8 at a time", MIB, 2_000)):
        with _sender(size) as receiver:
            buffer = bytearray(1 << 18)
            start = time.perf_counter()
            if size == MIB:
                receiver.sendall(b"x" * count)
            for _ in range(count):
                if size != MIB:
                    receiver.sendall(b"x")
                left = size
                while left:
                    left -= receiver.recv_into(buffer, min(left, len(buffer)))
            rates[what] = count / (time.perf_counter() - start)
    return rates


@contextmanager
def _sender(size: int) -> Iterator[socket.socket]:
    """The end of a connection whose other end answers each byte with ``size`` bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        receiver = socket.create_connection(listening.getsockname())
        there, _ = listening.accept()

    def send() -> None:
        body = bytes(size)
        with there:
            while asked := there.recv(1 << 16):
                for _ in asked:
                    there.sendall(body)

    for end in (receiver, there):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    thread = threading.Thread(target=send)
    thread.start()
    with receiver:
        yield receiver
        receiver.shutdown(socket.SHUT_WR)
        thread.join()


def _peers(reactor: Any, mode: str) -> Any:
    from tagfs.node.identity import create
    from tagfs.node.peers.peers import Peers

    with tempfile.TemporaryDirectory() as directory:
        identity = create(Path(directory))
    return Peers(reactor, identity, "bench", KEY, boot=os.urandom(8).hex(), tls=mode == "tls")


def _answer(mode: str) -> None:
    """Answers until its input ends."""
    from twisted.internet import reactor as installed
    from twisted.internet.protocol import Protocol
    from twisted.internet.stdio import StandardIO

    from tagfs.node.peers.interfaces import Caller
    from tagfs.wire.node_messages import Answer, Call

    reactor: Any = installed
    body = os.urandom(MIB)

    class UntilClosed(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            reactor.stop()

    async def get(caller: Caller, call: Call) -> Answer:
        return Answer({"digest": "0" * 64}, (), body)

    async def push(caller: Caller, call: Call) -> Answer:
        return Answer({"seq": "1"})

    async def cost(caller: Caller, call: Call) -> Answer:
        return Answer({"seconds": str(time.process_time())})

    peers = _peers(reactor, mode)
    for verb, service in (("GET", get), ("PUSH", push), ("COST", cost)):
        peers.serve(verb, service)
    port = reactor.listenTCP(0, peers.door, interface="127.0.0.1")
    print(f"127.0.0.1:{port.getHost().port}", flush=True)
    StandardIO(UntilClosed())
    reactor.run()


def _ask(mode: str, address: str) -> None:
    """Asks, and prints rates and costs as JSON."""
    from twisted.internet import task
    from twisted.internet.defer import Deferred, gatherResults

    from tagfs.wire.node_messages import Call

    async def measure(reactor: Any) -> None:
        peers = _peers(reactor, mode)
        node = (await peers.meet(address)).node

        async def spent_s() -> float:
            answer = await peers.ask(node, Call("COST"))
            return time.process_time() + float(answer.facts["seconds"])

        found = {}
        for what, (verb, count, at_a_time, size) in LOADS.items():
            numbers = iter(range(count))
            body = bytes(size)

            async def ask(verb: str = verb, numbers: Iterator[int] = numbers, body: bytes = body) -> None:
                for number in numbers:
                    await peers.ask(node, Call(verb, ("word",), {"seq": str(number)}, body))

            before_s = await spent_s()
            start = time.perf_counter()
            await gatherResults([Deferred.fromCoroutine(ask()) for _ in range(at_a_time)])
            took = time.perf_counter() - start
            found[what] = (count / took, (await spent_s() - before_s) / count * 1e6)
        await peers.close()
        print(json.dumps(found))

    task.react(lambda reactor: Deferred.fromCoroutine(measure(reactor)))


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        _answer(sys.argv[2])
    else:
        _ask(sys.argv[2], sys.argv[3])
