"""The web endpoint under TLS, by a Twisted endpoint string alone: uploads and downloads arrive whole."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.campaigns.node_process import NodeProcess

DATA = bytes(range(256)) * 40_000


def test_web_over_tls(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """``--web ssl:…`` serves https, run.json says so, and bodies with back-pressure survive the records of TLS."""
    openssl, curl = require_tool("openssl"), require_tool("curl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *made.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    node = NodeProcess(tmp_path / "data", ["--web", endpoint])
    node.start()
    try:
        url = str(node.facts["web"])
        assert url.startswith("https://127.0.0.1:")

        def run(*arguments: str) -> bytes:
            trusted = [curl, "-sS", "--fail-with-body", "--cacert", str(certificate), *arguments]
            return subprocess.run(trusted, cwd=tmp_path, check=True, capture_output=True, timeout=60).stdout

        (tmp_path / "big").write_bytes(DATA)
        stored = run("-X", "POST", "-T", "big", f"{url}/api/v1/entries?name=big")
        assert run(f"{url}/api/v1/entries/{stored[7:33].decode()}/content") == DATA
        origin = ("-H", f"Origin: {url}", "-H", "Content-Type: application/json", "-d", '{"query": "name:big"}')
        assert run(*origin, f"{url}/api/v1/delete") == b'{"changed":1}\n'
    finally:
        node.stop()
