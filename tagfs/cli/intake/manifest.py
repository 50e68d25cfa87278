"""``tagfs.jsonl``: what an export knows of its entries, one JSON object a line, and what an import takes back. Layer: cli.

Format 1 (docs/guides/command-line.md): ``path`` is the content's file below the folder, with ``/``; ``digest`` is its BLAKE3 in
hex; times are RFC 3339 in UTC. Fields that a reader does not know are ignored. A line with ``search`` and ``query`` is a saved
search of a back-up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from tagfs.cli.intake.walk import Problem

if TYPE_CHECKING:
    from tagfs.client import Information

NAME = "tagfs.jsonl"
MAX_LINE = 1 << 20


class Line(NamedTuple):
    """One entry of a manifest."""

    path: str
    name: str
    digest: str
    tags: tuple[str, ...]
    home: str
    modified: str


class Search(NamedTuple):
    """A saved search of a manifest."""

    name: str
    query: str


def line_of_search(name: str, query: str) -> str:
    """The line for a saved search."""
    return json.dumps({"search": name, "query": query}, ensure_ascii=False, separators=(",", ":")) + "\n"


def line_of(info: Information, path: str) -> str:
    """The line for an entry whose content was written to ``path``."""
    value = {
        "id": info.get("id"),
        "name": info.get("name"),
        "path": path,
        "digest": info.get("digest"),
        "size": int(info.get("size") or 0),
        "type": info.get("type"),
        "tags": sorted(info.tags),
        "home": info.get("home"),
        "added": info.get("added"),
        "modified": info.get("modified"),
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def lines(folder: str) -> Iterator[Line | Search | Problem]:
    """What a manifest lists. A line that cannot be read is a problem of its own."""
    with open(os.path.join(folder, NAME), "rb") as file:
        number = 0
        while text := file.readline(MAX_LINE):
            number += 1
            if not text.strip():
                continue
            try:
                yield _line(json.loads(text))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                yield Problem(f"{NAME} line {number}", f"cannot be read: {type(error).__name__}: {error}")


def _line(value: Any) -> Line | Search:
    if "search" in value:
        return _search(value["search"], value["query"])
    path, name, digest = value["path"], value["name"], value["digest"]
    tags, home, modified = value.get("tags", []), value.get("home") or "", value.get("modified") or ""
    if not all(isinstance(text, str) for text in (path, name, digest, home, modified, *tags)):
        raise ValueError("a text is needed")
    parts = path.split("/")
    if os.path.isabs(path) or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path[:80]!r} is no path below the folder")
    return Line(path, name, digest, tuple(tags), home, modified)


def _search(name: object, query: object) -> Search:
    if not (isinstance(name, str) and isinstance(query, str)):
        raise ValueError("a text is needed")
    return Search(name, query)


class ManifestFile:
    """A manifest being written; it takes its place when all is written, so that a failed export leaves the old one."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, NAME)
        self._part = f"{self._path}.{os.urandom(6).hex()}.part"
        self._file: IO[str] | None = None

    def __enter__(self) -> IO[str]:
        self._file = open(self._part, "x", encoding="utf-8", newline="\n")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            os.replace(self._part, self._path)
        else:
            os.unlink(self._part)
