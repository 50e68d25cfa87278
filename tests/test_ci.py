""".ci/run installs what tests ask for, and every step of it has a time limit."""

import re
import subprocess
from pathlib import Path

from tests.system_tools import TOOLS

ROOT = Path(__file__).parent.parent
SCRIPT = (ROOT / ".ci/run").read_text(encoding="utf-8")


def demanded() -> dict[str, str]:
    """The tools that tests name, with one file that names each."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.name in ("test_reactor_care.py", "test_ci.py"):
            continue  # they name tools that are not there on purpose
        for tool in re.findall(
            r'\b(?:require_tool|mark\.tool)\(\s*((?:"[^"]+"[,\s]*)+)\)', path.read_text(encoding="utf-8")
        ):
            found |= dict.fromkeys(re.findall(r'"([^"]+)"', tool), str(path.relative_to(ROOT)))
    return found


def test_demanded_tools_are_installed() -> None:
    """Each tool that a test demands is known, and its package is in the list of .ci/run."""
    (block,) = re.findall(r"^packages=\((.*?)^\)", SCRIPT, re.MULTILINE | re.DOTALL)
    installed = set(block.split())
    unknown = {tool: path for tool, path in demanded().items() if tool not in TOOLS}
    assert unknown == {}, "add it to tests/system_tools.py"
    lacking = {tool: TOOLS[tool][0] for tool in demanded() if TOOLS[tool][0] not in installed | {"coreutils"}}
    assert lacking == {}, "add its package to .ci/run"


def test_the_script_is_sound() -> None:
    """bash reads it, and the limits of all steps together bound a run on a machine that is busy otherwise."""
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
    limits = [int(limit) for limit in re.findall(r'^ *step "[^"]+" (\d+) ', SCRIPT, re.MULTILINE)]
    assert len(limits) == len(re.findall(r"^ *step ", SCRIPT, re.MULTILINE)) >= 4
    assert sum(limits) <= 3600
