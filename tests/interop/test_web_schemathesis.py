"""The web endpoint keeps what its OpenAPI document promises: schemathesis against a live node, all checks and links on."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.campaigns.node_process import NodeProcess

CONFIG = Path(__file__).with_name("web_schemathesis.toml")
EXAMPLES = 10
LEFT_OUT = ["use_after_free"]
"""DELETE moves to the trash, where an entry can still be looked at and restored."""
ABSENT = ["events"]
"""Operations whose answers have no end."""


@pytest.mark.slow
def test_every_answer_is_as_promised(tmp_path: Path) -> None:
    """Right, wrong and chained requests made from the document get documented answers, typed to the last member."""
    pytest.importorskip("schemathesis")
    node = NodeProcess(tmp_path / "data")
    node.start()
    try:
        url = f"{node.facts['web']}/api/v1/openapi.json"
        run = "from schemathesis.cli import schemathesis; schemathesis()"
        options = [
            *(
                "--checks",
                "all",
                "--exclude-checks",
                ",".join(LEFT_OUT),
                "--max-examples",
                str(EXAMPLES),
                "--seed",
                "7",
                "--workers",
                "1",
                "--no-color",
            ),
            *(part for name in ABSENT for part in ("--exclude-operation-id", name)),
        ]
        done = subprocess.run(
            [sys.executable, "-c", run, "--config-file", str(CONFIG), "run", url, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        report = done.stdout + done.stderr
        assert done.returncode == 0, report[-20_000:]
        with urllib.request.urlopen(url) as answer:
            operations = sum(len(methods) for methods in json.load(answer)["paths"].values())
        # The document itself is not among those that schemathesis asks for.
        assert f"Tested: {operations - len(ABSENT) - 1}\n" in report, report
    finally:
        node.stop()
