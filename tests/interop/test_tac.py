"""``twistd -ny twistd.tac`` is the same node, configured by the environment or by the file that TAGFS_CONFIG names."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


def start(directory: Path, **environ: str) -> subprocess.Popen[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("TAGFS_", "PYTHONPATH"))}
    return subprocess.Popen(
        [*TWISTD, "--pidfile=", "-ny", ROOT / "twistd.tac"],
        cwd=directory,
        env=inherited | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_json(process: subprocess.Popen[str], data: Path) -> dict[str, object]:
    """run.json of this process, when it is there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            facts = json.loads((data / "run.json").read_text())
        except FileNotFoundError:
            continue
        if facts["pid"] == process.pid:
            return facts
    raise AssertionError(process.communicate(timeout=5))


@pytest.mark.parametrize("source", ["environment", "file"])
def test_tac_starts_the_configured_node(tmp_path: Path, source: str) -> None:
    """From any directory it takes its data directory, name and doors from where they are said, and stops cleanly."""
    values = {
        "data": str(tmp_path / "store"),
        "name": "from-tac",
        "ftp": "tcp:0:interface=127.0.0.1",
        "web": "off",
        "node": "off",
    }
    if source == "file":
        (tmp_path / "node.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
        environ = {"TAGFS_CONFIG": str(tmp_path / "node.toml")}
    else:
        environ = {f"TAGFS_{key.upper()}": value for key, value in values.items()}
    process = start(tmp_path, **environ)
    facts = run_json(process, tmp_path / "store")
    assert facts["name"] == "from-tac"
    assert str(facts["ftp"]).startswith("127.0.0.1:")
    assert facts["web"] is facts["node"] is None
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM, output
    assert not (tmp_path / "store/run.json").exists()


def test_tac_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    """A wrong variable ends it with exit code 1 and one line that names the variable."""
    process = start(tmp_path, TAGFS_COPIES="0")
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    lines = [line for line in output.splitlines() if "[" not in line]
    assert lines == [
        "tagfs: TAGFS_COPIES: '0' is not allowed here; allowed is a whole number from 1 to 16; twistd tagfs --help lists the options"
    ]
    assert list(tmp_path.iterdir()) == []
