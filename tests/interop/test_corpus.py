"""The main job on real input: Debian's openclipart-svg imported in one command, queried, re-tagged, deleted, read back.

What the node answers is compared with a count over the files themselves, which shares no code with tagfs.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.campaigns.node_process import ROOT, NodeProcess

SUBJECT = re.compile(r"<(?:\w+:)?subject\b[^>]*>(.*?)</(?:\w+:)?subject>", re.DOTALL)
ITEM = re.compile(r"<(?:\w+:)?li\b[^>]*>(.*?)</(?:\w+:)?li>", re.DOTALL)


@frozen
class Drawing:
    """One file of the corpus: its folders and its keywords, folded."""

    path: Path
    name: str
    size: int
    tags: frozenset[str]


def keywords(text: str) -> Iterator[str]:
    """The keywords in the metadata of an SVG file, found without an XML parser."""
    for subject in SUBJECT.findall(text):
        for item in ITEM.findall(subject):
            yield unicodedata.normalize("NFC", html.unescape(item).strip().casefold())


def read_corpus(root: Path) -> list[Drawing]:
    """All regular files, with the tags that folders and keywords give them."""
    drawings = []
    for folder, _, files in os.walk(root):
        for file in files:
            path = Path(folder, file)
            if path.is_symlink():
                continue
            tags = {part.casefold() for part in path.parent.relative_to(root).parts}
            tags.update(keywords(path.read_text(errors="replace")))
            drawings.append(Drawing(path, file, path.stat().st_size, frozenset(tags)))
    return drawings


QUERIES: dict[str, Callable[[Drawing], bool]] = {
    "": lambda drawing: True,
    "animals": lambda drawing: "animals" in drawing.tags,
    "animal and not animals": lambda drawing: "animal" in drawing.tags and "animals" not in drawing.tags,
    "computer icons": lambda drawing: {"computer", "icons"} <= drawing.tags,
    "flag or map": lambda drawing: bool({"flag", "map"} & drawing.tags),
    "(bird or fish) and not cartoon": lambda drawing: (
        bool({"bird", "fish"} & drawing.tags) and "cartoon" not in drawing.tags
    ),
    "transport* -clip_art": lambda drawing: (
        any(tag.startswith("transport") for tag in drawing.tags) and "clip_art" not in drawing.tags
    ),
    "name:*_01.svg and food": lambda drawing: drawing.name.endswith("_01.svg") and "food" in drawing.tags,
    "size:>100K": lambda drawing: drawing.size > 100 * 1024,
    "size:<=1K or size:>=1M": lambda drawing: drawing.size <= 1024 or drawing.size >= 1 << 20,
    "not (animals or computer or buildings)": lambda drawing: not {"animals", "computer", "buildings"} & drawing.tags,
    "hash and icon and (theme or action)": lambda drawing: (
        {"hash", "icon"} <= drawing.tags and bool({"theme", "action"} & drawing.tags)
    ),
    "nothing-has-this-tag": lambda drawing: False,
    "type:image/svg+xml and christmas": lambda drawing: (
        drawing.name.lower().endswith(".svg") and "christmas" in drawing.tags
    ),
}


class CommandLine:
    """The ``tagfs`` command against one node."""

    def __init__(self, node: NodeProcess) -> None:
        host, port = node.address
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "TAGFS_SERVER": f"{host}:{port}"}

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tagfs.cli", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stderr.decode()[-2000:]}"
        return done.stdout.decode()

    def json(self, *arguments: str) -> Any:
        return json.loads(self("--json", *arguments))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    running = NodeProcess(tmp_path_factory.mktemp("corpus") / "data")
    running.start()
    yield running
    running.stop()


@pytest.mark.slow
@pytest.mark.limit(600)
def test_the_main_job_on_a_real_corpus(node: NodeProcess, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """7,458 real drawings: every answer equals the count over the files, and every byte comes back."""
    root = Path(require_tool("openclipart-svg"))
    corpus = read_corpus(root)
    assert len(corpus) > 7_000
    tagfs = CommandLine(node)
    tagfs("import", str(root))

    def ids(query: str) -> set[str]:
        return {row.split("\t")[0] for row in tagfs("list", query, code=0).splitlines()}

    for query, holds in QUERIES.items():
        expected = sorted((drawing.name, drawing.size) for drawing in corpus if holds(drawing))
        rows = tagfs("list", query, code=0 if expected else 1).splitlines()
        found = sorted((row.split("\t")[3], int(row.split("\t")[1])) for row in rows)
        assert found == expected, f"{query!r}: {len(found)} found, {len(expected)} in the files"

    again = tagfs("import", str(root))
    assert len(ids("")) == len(corpus), again

    flags = ids("flags and europe")
    assert flags
    tagfs("add-tags", "flags and europe", "banner", "year=2024")
    assert ids("banner and year > 2020") == flags
    tagfs("delete-tags", "banner", "year=2024")
    assert tagfs("list", "year=*", code=1) == ""
    tagfs("rename-tag", "banner", "pennant")
    assert ids("pennant") == flags
    tagfs("delete", "-y", "flags and europe")
    assert len(ids("")) == len(corpus) - len(flags)
    tagfs("restore", "flags and europe")
    assert len(ids("")) == len(corpus)

    tagfs("get", "animals", "-o", str(tmp_path / "out"))
    originals = sorted(drawing.path.read_bytes() for drawing in corpus if "animals" in drawing.tags)
    assert sorted(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()) == originals


@pytest.mark.slow
@pytest.mark.limit(600)
def test_the_tree_of_a_real_corpus_is_mirrored(
    node: NodeProcess, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """lftp gets each of the drawings of some folders, as they were imported, exactly once and byte for byte."""
    root, lftp = Path(require_tool("openclipart-svg")), require_tool("lftp")
    host, port = node.address
    for folder in ("animals", "transportation", "geography"):
        script = f"set cmd:fail-exit yes; set net:max-retries 1; open {host}:{port}; mirror /@tree/{folder}"
        subprocess.run([lftp, "-c", script], cwd=tmp_path, check=True, timeout=120)
        files = [path for path in (root / folder).rglob("*") if path.is_file() and not path.is_symlink()]
        expected = {path.relative_to(root): path.read_bytes() for path in files}
        came = [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
        assert {path.relative_to(tmp_path): path.read_bytes() for path in came} == expected


@pytest.mark.slow
@pytest.mark.limit(600)
def test_an_export_comes_back_whole(node: NodeProcess, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """Export part of the corpus, import it into an empty node, export again: the same but for ids and times of adding."""
    require_tool("openclipart-svg")
    tagfs = CommandLine(node)
    tagfs("export", "animals", str(tmp_path / "first"))
    other = NodeProcess(tmp_path / "other")
    other.start()
    try:
        second = CommandLine(other)
        second("import", str(tmp_path / "first"))
        second("export", "", str(tmp_path / "second"))
    finally:
        other.stop()

    def described(folder: str) -> list[dict[str, Any]]:
        lines = (tmp_path / folder / "tagfs.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        for entry in entries:
            for changing in ("id", "added", "path"):
                entry.pop(changing, None)
        return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))

    assert described("first") == described("second")
    assert len(described("first")) > 100
