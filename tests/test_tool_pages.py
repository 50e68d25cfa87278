"""Every dependency has a page in docs/tools that says its use here, the alternative and the trap; and no page outlives one."""

import re
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs/tools"
IN_STANDARD_LIBRARY = {"sqlite3"}


def declared() -> set[str]:
    """The names of all requirements of setup.py, extras included."""
    with mock.patch("setuptools.setup") as setup:
        exec(compile((ROOT / "setup.py").read_text(), "setup.py", "exec"), {"__file__": str(ROOT / "setup.py")})
    arguments = setup.call_args.kwargs
    lines = [
        *arguments["install_requires"],
        *(line for extra in arguments["extras_require"].values() for line in extra),
    ]
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", line)[0]).lower() for line in lines}


def test_pages_and_requirements_are_the_same() -> None:
    """One page for each requirement and for what is used of the standard library like one; no other page."""
    assert {path.stem for path in PAGES.glob("*.md")} - {"README"} == declared() | IN_STANDARD_LIBRARY


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda path: path.stem)
def test_page_says_what_it_must(path: Path) -> None:
    """A page has the three parts, stays short, and its links lead somewhere; the index names every page."""
    text = path.read_text(encoding="utf-8")
    if path.stem == "README":
        assert set(re.findall(r"\]\(([^)]+)\.md\)", text)) == {page.stem for page in PAGES.glob("*.md")} - {"README"}
    else:
        for part in (r"^\*\*Here\.\*\*", r"\bInstead of\b|\*\*Instead of\*\*", r"^\*\*Traps?\.\*\*"):
            assert re.search(part, text, re.MULTILINE), part
        assert len(text.splitlines()) <= 40
    for link in re.findall(r"\]\(([^):]+)\)", text):
        assert (path.parent / link).exists(), link
