"""The session of docs/protocols/web.md does what the page says, with the real curl against a real node."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.campaigns.node_process import ROOT, NodeProcess
from tests.interop.documents import run_steps, steps_of

PAGE = ROOT / "docs/protocols/web.md"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path / "data")
    process.start()
    yield process
    process.stop()


def test_the_session_with_curl(node: NodeProcess, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """Every command runs, and says what is shown for it."""
    require_tool("curl")
    steps = steps_of(PAGE.read_text(encoding="utf-8"))
    assert len(steps) >= 7
    work = tmp_path / "work"
    work.mkdir()
    run_steps(steps, work, {"WEB": str(node.facts["web"])})


def test_curl_uploads_and_downloads_what_is_large(
    node: NodeProcess, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """-T with a known length and from a pipe (chunked), Expect: 100-continue, a resumed download: the same bytes."""

    curl = require_tool("curl")
    data = bytes(range(256)) * 40_000
    (tmp_path / "big").write_bytes(data)
    url = f"{node.facts['web']}/api/v1/entries?name=big"

    def run(*arguments: str, **more: object) -> bytes:
        done = subprocess.run([curl, "-sS", "--fail-with-body", *arguments], cwd=tmp_path, capture_output=True, **more)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr
        return bytes(done.stdout)

    known = run("-X", "POST", "-T", "big", "-H", "Expect: 100-continue", "-D", "head", url)
    piped = run("-X", "POST", "-T", "-", url, input=data)
    assert b'"size":10240000' in known and b'"size":10240000' in piped
    content = f"{url.partition('?')[0]}/{known[7:33].decode()}/content"
    (tmp_path / "part").write_bytes(data[:4_000_000])
    run("-C", "-", "-o", "part", content)
    assert (tmp_path / "part").read_bytes() == data
    (tmp_path / "big").unlink()
    run("-OJ", content)
    assert (tmp_path / "big").read_bytes() == data


def test_stops_in_time_with_open_connections(node: NodeProcess) -> None:
    """SIGTERM ends the node within its five seconds though clients keep connections open, idle or in the middle of a request."""

    place = urlsplit(str(node.facts["web"]))
    idle, busy = (socket.create_connection((str(place.hostname), int(place.port or 0)), 10) for _ in range(2))
    with idle, busy:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(15) == b"HTTP/1.1 200 OK"
        busy.sendall(b"POST /api/v1/entries?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
        node.stop()


def test_metrics_tell_of_all_doors(node: NodeProcess) -> None:
    """/metrics counts commands of the tag port, too, with their times."""
    with node.connect() as tag:
        tag.sendall(b"COUNT\r\nCOUNT (\r\nCOUNT\r\nNO-SUCH-VERB\r\nQUIT\r\n")
        while tag.recv(65536):
            pass
    urllib.request.urlopen(f"{node.facts['web']}/healthz").close()
    with urllib.request.urlopen(f"{node.facts['web']}/metrics") as answer:
        text = answer.read().decode()
    for line in (
        'tagfs_commands_total{code="213",command="COUNT",door="ftp"} 2.0',
        'tagfs_commands_total{code="501",command="COUNT",door="ftp"} 1.0',
        'tagfs_commands_total{code="500",command="none",door="ftp"} 1.0',
        'tagfs_command_seconds_count{command="COUNT",door="ftp"} 3.0',
        'tagfs_commands_total{code="200",command="GET /healthz",door="web"} 1.0',
    ):
        assert f"{line}\n" in text, line
