"""Every command of docs/guides/command-line.md does what the page says; its Python runs, too."""

import re
import shutil
import sys
from pathlib import Path

from tests.campaigns.node_process import NodeProcess
from tests.interop.documents import run_steps, steps_of

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/command-line.md").read_text(encoding="utf-8")


def test_the_guide(tmp_path, capsys):
    """From top to bottom, as a newcomer pastes it."""
    here = tmp_path / "here"
    (here / "bin").mkdir(parents=True)
    command = here / "bin/tagfs"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tagfs.cli "$@"\n')
    command.chmod(0o755)
    shutil.copytree(ROOT / "examples", here / "examples")
    node = NodeProcess(tmp_path / "data")
    node.start()
    try:
        host, port = node.address
        import os

        path = f"{here}/bin:{os.environ['PATH']}"
        run_steps(steps_of(GUIDE), here, {"PATH": path, "TAGFS_SERVER": f"{host}:{port}"})
        _run_python(port)
    finally:
        node.stop()
    assert "note.txt" in capsys.readouterr().out


def _run_python(port: int) -> None:
    extractor, client = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(extractor, names)
    assert names["Extension"]().extract("a/b.jpg", bytes).tags == ("type=jpg",)  # type: ignore[operator]
    exec(client.replace("2121", str(port)), {})
