"""The web endpoint keeps what its OpenAPI document promises: schemathesis against a live node, all checks and links on."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagfs.front.web.openapi import description
from tests.campaigns.node_process import NodeProcess

CONFIG = Path(__file__).with_name("web_schemathesis.toml")
LEFT_OUT = "use_after_free"
"""DELETE moves to the trash, where an entry can still be looked at and restored."""
ENDLESS = {"events"}
"""Operations whose answers have no end."""
GUESSING = {"logIn", "logOut"}
"""Where there are users, guesses are slowed down more and more."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path / "data")
    process.start()
    yield process
    process.stop()


def check(node: NodeProcess, absent: set[str], *more: str) -> None:
    """Runs schemathesis on all operations but those that are absent; every one of them must have been asked for."""
    pytest.importorskip("schemathesis")
    url = f"{node.facts['web']}/api/v1/openapi.json"
    options = ["--checks", "all", "--exclude-checks", LEFT_OUT, "--seed", "7", "--workers", "1", "--no-color", *more]
    for name in sorted(absent):
        options += ["--exclude-operation-id", name]
    run = "from schemathesis.cli import schemathesis; schemathesis()"
    done = subprocess.run(
        [sys.executable, "-c", run, "--config-file", str(CONFIG), "run", url, *options],
        cwd=node.data.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    report = done.stdout + done.stderr
    assert done.returncode == 0, report[-20_000:]
    operations = sum(len(methods) for methods in description()["paths"].values())  # type: ignore[attr-defined]
    # The document itself is not among those that schemathesis asks for.
    assert f"Tested: {operations - len(absent) - 1}\n" in report, report


@pytest.mark.slow
def test_every_answer_is_as_promised(node: NodeProcess) -> None:
    """Right, wrong and chained requests made from the document get documented answers, typed to the last member."""
    check(node, ENDLESS, "--max-examples", "10")


@pytest.mark.slow
def test_refusals_are_as_promised(node: NodeProcess) -> None:
    """Likewise for a user who may only read: every refusal is a documented one, and none of them changes anything."""
    with node.connect() as tag:
        tag.sendall(b"USER-ADD root admin\r\nsecret\r\nUSER root\r\nPASS secret\r\nUSER-ADD ann read\r\nword\r\n")
        tag.sendall(b"ADD 1 kept t\r\nxQUIT\r\n")
        while tag.recv(65536):
            pass
    proof = f"Basic {b64encode(b'ann:word').decode()}"
    check(node, ENDLESS | GUESSING, "--max-examples", "3", "-H", f"Authorization: {proof}")
    asked = urllib.request.Request(f"{node.facts['web']}/api/v1/entries", headers={"Authorization": proof})
    with urllib.request.urlopen(asked) as answer:
        (entry,) = json.load(answer)["entries"]
    assert (entry["name"], entry["tags"], entry["size"]) == ("kept", ["t"], 1)
