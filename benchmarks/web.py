"""The web endpoint: searches, downloads and uploads, each in turns with what it is measured against."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from attrs import evolve
from blake3 import blake3

from benchmarks.bare import bare_twisted, nginx
from benchmarks.dataset import QUERIES, tag
from benchmarks.measuring import Report, figure
from benchmarks.node import growth, running
from tests.campaigns.node_process import NodeProcess

MIB = 1 << 20
LARGE = 1 << 30
SMALL, SMALL_FILES = 4096, 1000
RATE, SEARCHES, DIFFERENT = 50, 1500, 300
SEARCH_MS, SEARCH_SHARE = 10.0, 0.5
GET_SHARE, SMALL_SHARE, PUT_SHARE = 0.65, 0.7, 0.6
FLAT_MIB = 48
ROUNDS = 5
WRK_S = 4


def run(report: Report, data: Path, count: int) -> None:
    """Measures searches on the data set of ``count`` entries in ``data``, contents on a node of their own."""
    if shutil.which("wrk") is None:
        print("wrk is not installed (apt-get install wrk): the web endpoint is not measured", file=sys.stderr)
        return
    with running(data) as node:
        report.head(f"JSON searches of 100 rows at {count:,} entries")
        _steady(report, node)
        _search_throughput(report, node)
    report.head(f"Contents by HTTP: {LARGE >> 20} MiB, and {SMALL_FILES:,} of {SMALL} bytes")
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-web-") as temporary:
        _contents(report, Path(temporary))


def _search_paths() -> list[str]:
    queries = [*QUERIES.values(), ""]
    return [f"/api/v1/entries?limit=100&q={quote(query)}" for query in queries]


def _steady(report: Report, node: NodeProcess) -> None:
    """At a fixed rate, whatever the answers take: first pages of queries most of which were not asked before."""
    place = urlsplit(str(node.facts["web"]))
    connection = http.client.HTTPConnection(str(place.hostname), place.port)
    queries = [tag(rank) for rank in range(DIFFERENT)] + [
        f"{tag(rank)} or {tag(rank + 7)}" for rank in range(DIFFERENT)
    ]
    times = []

    def ask() -> None:
        start = time.perf_counter()
        for number in range(SEARCHES):
            due = start + number / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            query = quote(queries[number * 7919 % len(queries)])
            connection.request("GET", f"/api/v1/entries?limit=100&q={query}")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200 and len(body) > 2000, body[:200]
            times.append((time.perf_counter() - due) * 1000)

    grown, _ = growth(node, ask)
    connection.close()
    row = figure(f"search at {RATE}/s", "tagfs", "ms", times)
    report.add(evolve(row, goal=f"p95 under {SEARCH_MS:g} ms", met=row.p95 < SEARCH_MS))
    _flat(report, "searches", grown)


def _search_throughput(report: Report, node: NodeProcess) -> None:
    address, paths = str(node.facts["web"]), _search_paths()
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-web-") as temporary:
        directory = Path(temporary)
        body = directory / "body"
        with urllib.request.urlopen(address + paths[0]) as answer:
            body.write_bytes(answer.read())
        with bare_twisted(body, directory) as bare:
            calls = {
                "tagfs": lambda: _wrk(directory, address, paths),
                "twisted.web": lambda: _wrk(directory, bare, ["/bytes"]),
            }
            _share(report, "searches, 50 connections", "/s", calls, SEARCH_SHARE)


def _contents(report: Report, directory: Path) -> None:
    files = directory / "files"
    files.mkdir()
    _write_random(files / "large", LARGE)
    for number in range(SMALL_FILES):
        _write_random(files / f"s{number}", SMALL)
    with running(directory / "data") as node:
        address = str(node.facts["web"])
        large = _upload(report, node, files / "large")
        small = [_store(address, files / f"s{number}") for number in range(SMALL_FILES)]
        with nginx(directory, files) as server:
            if server is None:
                print(
                    "nginx is not installed (apt-get install nginx-light): no download of a large content",
                    file=sys.stderr,
                )
            else:
                calls = {"tagfs": lambda: _fetch(address + large), "nginx": lambda: _fetch(f"{server}/large")}
                grown, _ = growth(node, lambda: _share(report, "GET of 1 GiB", "MiB/s", calls, GET_SHARE))
                _flat(report, "GETs of 1 GiB", grown)
        with bare_twisted(files / "s0", files) as bare:
            calls = {
                "tagfs": lambda: _wrk(directory, address, small),
                "static.File": lambda: _wrk(directory, bare, [f"/files/s{number}" for number in range(SMALL_FILES)]),
            }
            grown, _ = growth(node, lambda: _share(report, "GET of 4 KiB, 50 connections", "/s", calls, SMALL_SHARE))
            _flat(report, "GETs of 4 KiB", grown)


def _upload(report: Report, node: NodeProcess, file: Path) -> str:
    """Durable uploads in turns with writing the same bytes with the same hash and one fsync; the path of the last content."""
    address, place = str(node.facts["web"]), ""

    def upload() -> float:
        nonlocal place
        taken, place = _send_file(address, file)
        return LARGE / MIB / taken

    calls = {"tagfs": upload, "file": lambda: _write_again(file, file.with_name("copy"))}
    # Each round is a content of its own: one that is there already would not be written again.
    grown, _ = growth(
        node, lambda: _share(report, "upload of 1 GiB", "MiB/s", calls, PUT_SHARE, before=lambda: _vary(file))
    )
    _flat(report, "uploads of 1 GiB", grown)
    return place


def _send_file(address: str, file: Path) -> tuple[float, str]:
    """Uploads by a client that costs next to nothing itself; the seconds until the answer, and the path of the content."""
    parts = urlsplit(address)
    with (
        socket.create_connection((str(parts.hostname), int(parts.port or 80))) as connection,
        file.open("rb") as opened,
    ):
        start = time.perf_counter()
        connection.sendall(
            f"POST /api/v1/entries?name=large HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {LARGE}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        connection.sendfile(opened)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        taken = time.perf_counter() - start
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 "), head
    return taken, f"/api/v1/entries/{json.loads(body)['id']}/content"


def _vary(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(os.urandom(64))


def _write_again(file: Path, copy: Path) -> float:
    """Reads a file, writes it elsewhere with its BLAKE3 digest, and one fsync; MiB/s."""
    start = time.perf_counter()
    digest = blake3()
    with file.open("rb", buffering=0) as source, copy.open("wb", buffering=0) as target:
        while data := source.read(1 << 18):
            digest.update(data)
            target.write(data)
        os.fsync(target.fileno())
    took = time.perf_counter() - start
    copy.unlink()
    return LARGE / MIB / took


def _store(address: str, file: Path) -> str:
    with urllib.request.urlopen(f"{address}/api/v1/entries?name={file.name}", data=file.read_bytes()) as answer:
        return f"/api/v1/entries/{json.load(answer)['id']}/content"


def _fetch(url: str) -> float:
    """Downloads with a client that only counts; MiB/s."""
    place = urlsplit(url)
    buffer = bytearray(1 << 20)
    with socket.create_connection((str(place.hostname), int(place.port or 80))) as connection:
        start = time.perf_counter()
        connection.sendall(f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode())
        size = 0
        while got := connection.recv_into(buffer):
            size += got
        took = time.perf_counter() - start
    assert size > LARGE, size
    return LARGE / MIB / took


def _wrk(directory: Path, address: str, paths: list[str]) -> float:
    """Requests per second that wrk gets answered on 50 connections; all of them must be 200."""
    script = directory / "paths.lua"
    listed = ",".join(f'"{path}"' for path in paths)
    script.write_text(
        f"local paths = {{{listed}}}\nlocal at = 0\n"
        "request = function() at = at % #paths + 1; return wrk.format('GET', paths[at]) end\n"
    )
    command = ["wrk", "-t1", "-c50", "--timeout", "20s", f"-d{WRK_S}s", "-s", str(script), address]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert found, said
    return float(found[1])


def _share(
    report: Report,
    what: str,
    unit: str,
    calls: dict[str, Callable[[], float]],
    least: float,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Measures in turns, the first against the second; the share is the median of the rounds' own ratios."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        before()
        for name, call in calls.items():
            samples[name].append(call())
    for name, values in samples.items():
        report.add(figure(what, name, unit, values))
    ours, theirs = samples.values()
    row = figure(f"{what}: share", "ratio", "×", [a / b for a, b in zip(ours, theirs, strict=True)])
    report.add(evolve(row, goal=f"at least {least:g}", met=row.median >= least))


def _flat(report: Report, what: str, grown: float) -> None:
    row = figure(f"growth during {what}", "tagfs", "MiB", [grown])
    report.add(evolve(row, goal=f"under {FLAT_MIB} MiB", met=grown < FLAT_MIB))


def _write_random(path: Path, size: int) -> None:
    piece = os.urandom(min(size, MIB))
    with path.open("wb") as file:
        for _ in range(0, size, len(piece)):
            file.write(piece)
