"""The fuzz of the node protocol's codec: it finds nothing, looks nearly everywhere, and would find mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire.node_fuzz import BUGS

ROOT = Path(__file__).parents[2]
FUZZ = "tests.wire.node_fuzz"
CODEC = ("node_lines", "node_requests", "node_answers", "node_proof")
LEAST_PERCENT = 95


def test_it_finds_nothing_and_looks_everywhere(tmp_path: Path) -> None:
    """With a fixed seed; statements and branches of the codec's modules that it reached, counted by coverage."""
    settings = tmp_path / "settings"
    files = "\n  ".join(f"tagfs/wire/{name}.py" for name in CODEC)
    settings.write_text(f"[run]\nbranch = true\ndata_file = {tmp_path / 'data'}\ninclude =\n  {files}\n")
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "run", "--rcfile", settings, "-m", FUZZ, "--rounds", "800"], cwd=ROOT, check=True)
    report = tmp_path / "report.json"
    subprocess.run([*coverage, "json", "-q", "--rcfile", settings, "-o", report], cwd=ROOT, check=True)
    files_read = json.loads(report.read_text())["files"]
    assert {Path(name).stem for name in files_read} == set(CODEC)
    for name, found in files_read.items():
        summary = found["summary"]
        assert summary["num_branches"]
        assert summary["covered_branches"] >= LEAST_PERCENT / 100 * summary["num_branches"], (
            name,
            found["missing_branches"],
        )
        assert summary["percent_covered"] >= LEAST_PERCENT, (name, found["missing_lines"])


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_found(bug: str) -> None:
    """Each by the name of the round that shows it."""
    done = subprocess.run(
        [sys.executable, "-m", FUZZ, "--bug", bug, "--rounds", "800"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "found in the round with --seed" in done.stderr
