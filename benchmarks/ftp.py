"""FTP beside vsftpd and pyftpdlib: large and small files, plain and under TLS, many sessions. In turns, on the same disk."""

from __future__ import annotations

import multiprocessing
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import evolve

from benchmarks.ftp_client import MIB, FtpClient, trusting
from benchmarks.ftp_servers import FOLDER, Server, Tagfs, start_peers, start_tagfs
from benchmarks.measuring import Report, figure, timed_us
from benchmarks.node import Line

LARGE = 1024
"""MiB of a large file."""
ROUNDS = 5
SMALL, FILES, SMALL_ROUNDS = 4096, 10_000, 3
"""Bytes of a small file, how many of them, and how often each server gets and gives them."""
SESSIONS, EACH, SESSION_MIB = 1000, 4, 0.5
"""Sessions at once, transfers of each in both directions, and the memory that each may take of the node."""
TRANSFER = 64 * 1024
FIND_MS = 20.0
_FORK = multiprocessing.get_context("fork")


@contextmanager
def _alone() -> Iterator[Tagfs]:
    """A node without peers, its data in a directory of its own for as long."""
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-") as directory:
        ours = start_tagfs(Path(directory))
        try:
            yield ours
        finally:
            ours.stop()


@contextmanager
def _servers() -> Iterator[Sequence[Server]]:
    """A node and its peers."""
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-") as directory, ExitStack() as stack:
        place = Path(directory)
        place.chmod(0o755)  # vsftpd's sessions run as another user
        servers: list[Server] = [start_tagfs(place), *start_peers(place)]
        for server in servers:
            stack.callback(server.stop)
        yield servers


def _in_turns(
    report: Report, what: str, unit: str, servers: Sequence[Server], rounds: int, rate: Callable[[Server, int], float]
) -> dict[str, list[float]]:
    """The rates of all servers, one round after the other, each round beginning with another server."""
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    for number in range(rounds):
        first = number % len(servers)
        for server in (*servers[first:], *servers[:first]):
            rates[server.name].append(rate(server, number))
    for name, samples in rates.items():
        report.add(figure(what, name, unit, samples))
    return rates


def _ratio(report: Report, what: str, rates: dict[str, list[float]], to: str, least: float) -> None:
    """Ours by theirs, round by round; ``to`` begins the names of the peers, the fastest of which counts."""
    theirs = [samples for name, samples in rates.items() if name.startswith(to)]
    if not theirs:
        return
    fastest = max(theirs, key=statistics.median)
    row = figure(f"{what}, ratio", f"to {to}", "×", [a / b for a, b in zip(rates["tagfs"], fastest, strict=True)])
    report.add(evolve(row, goal=f"at least {least:g}", met=row.median >= least))


def large(report: Report) -> None:
    """One large file, up and down."""
    with _servers() as servers:
        _large(report, servers)


def _large(report: Report, servers: Sequence[Server]) -> None:
    report.head(f"One file of {LARGE} MiB, MiB/s")
    piece = bytes(range(256)) * (MIB // 256)

    def up(server: Server, number: int) -> float:
        client = FtpClient(server.address)
        # Every content is another, since tagfs keeps equal ones once, and so is its name: who overwrites a file gets the memory
        # of the old one for the new one, and tagfs keeps the old one as a version.
        pieces = b"%08d" % number + piece[8:]
        path = f"{FOLDER}/large-{number}"
        start = time.perf_counter()
        client.up(path, pieces, LARGE)
        server.settle(path)
        took = time.perf_counter() - start
        client.close()
        return LARGE / took

    def down(server: Server, tls: ssl.SSLContext | None) -> float:
        client = FtpClient(server.address, tls)
        sizes: list[int] = []
        took_us = timed_us(lambda: sizes.append(client.down(f"RETR {FOLDER}/large-{ROUNDS - 1}")[0]))
        client.close()
        assert sizes == [LARGE * MIB], sizes
        return LARGE / took_us * 1e6

    rates = _in_turns(report, "STOR, durable", "MiB/s", servers, ROUNDS, up)
    _ratio(report, "STOR, durable", rates, "vsftpd", 0.9)
    rates = _in_turns(report, "RETR", "MiB/s", servers, ROUNDS, lambda server, _: down(server, None))
    _ratio(report, "RETR", rates, "vsftpd", 1.2)
    _ratio(report, "RETR", rates, "pyftpdlib", 0.9)
    tls = trusting()
    rates = _in_turns(report, "RETR under TLS", "MiB/s", servers, ROUNDS, lambda server, _: down(server, tls))
    _ratio(report, "RETR under TLS", rates, "pyftpdlib", 0.8)
    _ratio(report, "RETR under TLS", rates, "vsftpd", 1.0)


def beside(report: Report) -> None:
    """FIND while two sessions fetch a large file."""
    report.head("FIND beside downloads")
    with _alone() as ours:
        client = FtpClient(ours.address)
        client.up(f"{FOLDER}/large", bytes(range(256)) * (MIB // 256), LARGE)
        client.close()
        _beside(report, ours)


def _beside(report: Report, ours: Tagfs) -> None:
    def fetch(over: threading.Event) -> None:
        client = FtpClient(ours.address)
        while not over.is_set():
            client.down(f"RETR {FOLDER}/large")
        client.close()

    line = Line(ours.address)
    for number in range(1000):
        line.send(f"ADD 4 f{number} t{number % 7} all\r\nbody".encode())
        line.line(), line.line()
    for what, loaders in (("alone", 0), ("beside two RETRs of 1 GiB", 2)):
        over = _FORK.Event()
        fetching = [_FORK.Process(target=fetch, args=(over,)) for _ in range(loaders)]
        for process in fetching:
            process.start()
        times = []
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            times.append(timed_us(lambda: line.ask("FIND all and not t3 | limit=100")) / 1000)
            time.sleep(0.002)
        over.set()
        for process in fetching:
            process.join()
        row = figure(f"FIND of 100 rows, {what}", "tagfs", "ms", times)
        report.add(evolve(row, goal=f"p99 at most {FIND_MS:g} ms", met=row.p99 <= FIND_MS))
    line.close()


def small(report: Report) -> None:
    """Many small files by one session."""
    _small(report, 1, "by one session", "vsftpd", 0.9)


def crowd(report: Report) -> None:
    """Many small files by ten sessions."""
    _small(report, 10, "by ten sessions", "pyftpdlib", 1.0)


def _small(report: Report, sessions: int, what: str, peer: str, least_down: float) -> None:
    report.head(f"{FILES:,} files of {SMALL} bytes {what}, files/s")
    with _servers() as servers:
        stor, retr = f"STOR, durable, {what}", f"RETR, {what}"
        up = _in_turns(report, stor, "files/s", servers, SMALL_ROUNDS, _shared(_store_share, sessions))
        down = _in_turns(report, retr, "files/s", servers, SMALL_ROUNDS, _shared(_fetch_share, sessions))
        _ratio(report, stor, up, peer, 1.0)
        _ratio(report, retr, down, peer, least_down)


_Share = Callable[[Server, str, range], None]


def _shared(work: _Share, sessions: int) -> Callable[[Server, int], float]:
    """The rate at which ``sessions`` processes do their shares of the files."""

    def rate(server: Server, number: int) -> float:
        label = f"{FOLDER}/{sessions}-{number}"
        shares = [range(start, FILES, sessions) for start in range(sessions)]
        processes = [_FORK.Process(target=work, args=(server, label, share)) for share in shares]
        start = time.perf_counter()
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        took = time.perf_counter() - start
        assert not any(process.exitcode for process in processes), f"a session with {server.name} failed"
        return FILES / took

    return rate


def _store_share(server: Server, label: str, share: range) -> None:
    client = FtpClient(server.address)
    for number in share:
        path = f"{label}-{number}"
        client.up(path, path.encode().ljust(SMALL, b"."))
        server.settle(path)
    client.close()


def _fetch_share(server: Server, label: str, share: range) -> None:
    client = FtpClient(server.address)
    for number in share:
        assert client.down(f"RETR {label}-{number}")[0] == SMALL
    client.close()


def sessions(report: Report) -> None:
    """Many sessions, that are all there at once and then all store and fetch."""
    with _alone() as ours:
        _sessions(report, ours)


def _sessions(report: Report, ours: Tagfs) -> None:
    report.head(f"{SESSIONS:,} sessions at once, each {EACH} times STOR and RETR of {TRANSFER // 1024} KiB")
    before = peak = ours.node.resident_bytes()
    gate = _FORK.Barrier(11)
    failures = _FORK.Value("i", 0)
    processes = [_FORK.Process(target=_tenth, args=(ours, start, gate, failures)) for start in range(10)]
    for process in processes:
        process.start()
    gate.wait()
    idle = ours.node.resident_bytes()
    start = time.perf_counter()
    while any(process.is_alive() for process in processes):
        peak = max(peak, ours.node.resident_bytes())
        time.sleep(0.02)
    took = time.perf_counter() - start
    row = figure("sessions that failed", "tagfs", "", [failures.value])
    report.add(evolve(row, goal="none", met=failures.value == 0))
    report.add(figure("transfers", "tagfs", "/s", [SESSIONS * EACH * 2 / took]))
    report.add(figure("memory of a session, idle", "tagfs", "MiB", [(idle - before) / MIB / SESSIONS]))
    row = figure("memory of a session, at most", "tagfs", "MiB", [(peak - before) / MIB / SESSIONS])
    report.add(evolve(row, goal=f"at most {SESSION_MIB:g} MiB", met=row.median <= SESSION_MIB))


def _tenth(ours: Tagfs, start: int, gate: threading.Barrier, failures: object) -> None:
    """A tenth of the sessions, each in a thread of its own."""
    ready = threading.Barrier(SESSIONS // 10 + 1)

    def session(number: int) -> None:
        try:
            client = FtpClient(ours.address)
            ready.wait()
            ready.wait()
            for turn in range(EACH):
                path = f"{FOLDER}/crowd-{number}-{turn}"
                client.up(path, path.encode().ljust(TRANSFER, b"."))
                assert client.down(f"RETR {path}")[0] == TRANSFER
            client.close()
        except (OSError, AssertionError, threading.BrokenBarrierError) as error:
            print(f"session {number} failed: {error}")
            with failures.get_lock():  # type: ignore[attr-defined]
                failures.value += 1  # type: ignore[attr-defined]
            ready.abort()

    threads = [threading.Thread(target=session, args=(number,)) for number in range(start, SESSIONS, 10)]
    for thread in threads:
        thread.start()
    ready.wait()
    gate.wait()
    ready.wait()
    for thread in threads:
        thread.join()
