"""News fragments are such that towncrier can make the change log of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRAGMENTS = sorted(path for path in (ROOT / "newsfragments").iterdir() if path.name != "README.md")


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_fragment_is_well_formed(path: Path) -> None:
    """A fragment has a known kind in its name, and one line of text that ends as a sentence does."""
    assert re.fullmatch(r"(\+[a-z0-9-]+|[0-9]+)\.(feature|bugfix|doc|removal|misc)(\.[0-9]+)?\.md", path.name)
    text = path.read_text(encoding="utf-8")
    assert re.fullmatch(r"[^\n]{20,400}[.!]\n?", text), "one line of 20 to 400 characters that ends with a full stop"


def test_towncrier_builds_a_draft() -> None:
    """towncrier itself takes all fragments."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for path in FRAGMENTS:
        assert path.read_text(encoding="utf-8").split()[0] in done.stdout
