"""Reads the imports of a source tree and tells which of them go the wrong way. Used by tests/test_layers.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# From the bottom up: a module imports from its own layer and from those before it.
ORDER = (
    "errors",
    "settings",
    "model",
    "storage",
    "wire",
    "cluster",
    "node",
    "front",
    "options",
    "doors",
    "first_admin",
    "clustering",
    "service",
    "quickstart",
)

# Layers that see less than what is below them. A name with a dot allows that one module.
NARROW = {
    "front": {"errors", "settings", "model", "wire", "node.interfaces", "front"},
    "client": {"errors", "model", "client"},
    "cli": {"errors", "model", "client", "cli"},
}

# Single modules that reach further: path -> what it may import besides, and why there is no other way.
ALLOWED = {
    # `tagfs user … --data DIR` works on a stopped node: nobody is there to be asked.
    "tagfs/cli/commands/users.py": {"node.roster"},
}

# Libraries that only some layers may use.
LIBRARIES = {
    "twisted": {"node", "front", "options", "doors", "first_admin", "clustering", "service", "quickstart", "plugins"},
    "numpy": {"model", "storage", "cluster", "node"},
    "click": {"cli", "podman_utils"},
    "sqlite3": {"storage"},
    "podman": {"podman_utils"},
}

BANNED_WORDS = {"manager", "handler", "handlers", "utils", "helper", "helpers", "misc", "common"}
MOST_LINES = 400


class Import(NamedTuple):
    """One import statement: which file has it, at which line, and the dotted name that it reaches."""

    path: Path
    line: int
    target: str


def _constant_argument(node: ast.Call) -> str | None:
    """The module named by ``import_module("…")`` or ``__import__("…")``."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
        return str(node.args[0].value)
    return None


def _is_module(root: Path, dotted: str) -> bool:
    path = root.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports(root: Path, path: Path) -> Iterator[Import]:
    """Every import of a file, wherever it stands: at the top, in a function, for type checking only, or by name."""
    package = path.relative_to(root).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(path, node.lineno, inner if _is_module(root, inner) else base)
        elif isinstance(node, ast.Call) and (named := _constant_argument(node)):
            yield Import(path, node.lineno, named)


def layer_of(root: Path, path: Path) -> str:
    """``model`` for tagfs/model/names.py, ``errors`` for tagfs/errors.py, ``plugins`` for plugins/x.py, "" for tagfs/__init__.py."""
    parts = path.relative_to(root).with_suffix("").parts
    if parts[0] != "tagfs":
        return parts[0]
    return "" if parts[1] == "__init__" else parts[1]


def _may_reach(layer: str, target: str) -> bool:
    """Whether a module of the layer may import ``tagfs.<target>``."""
    wanted = target.split(".")[0]
    if layer in NARROW:
        return wanted in NARROW[layer] or target in NARROW[layer]
    if layer in ORDER:
        return wanted in ORDER[: ORDER.index(layer) + 1]
    return layer == "plugins"


def fault_of(root: Path, found: Import) -> str | None:
    """What is wrong with an import, or None."""
    layer = layer_of(root, found.path)
    top, _, rest = found.target.partition(".")
    place = f"{found.path.relative_to(root)}:{found.line}"
    allowed = ALLOWED.get(found.path.relative_to(root).as_posix(), frozenset())
    if top == "tagfs" and rest and rest not in allowed and not _may_reach(layer, rest):
        return f"{place}: {layer or 'tagfs'} must not import {found.target}"
    if top == "tagfs" and layer == "podman_utils":
        return f"{place}: podman_utils must not import tagfs"
    if top in LIBRARIES and layer not in LIBRARIES[top]:
        return f"{place}: {layer or 'tagfs'} must not import {top}"
    return None


def sources(root: Path) -> list[Path]:
    """The files that the rules are about."""
    return sorted(path for part in ("tagfs", "plugins", "podman_utils") for path in root.joinpath(part).rglob("*.py"))


def wrong_imports(root: Path) -> list[str]:
    """One line per import that goes the wrong way."""
    found = (each for path in sources(root) for each in imports(root, path))
    return [fault for each in found if (fault := fault_of(root, each))]


def wrong_names(root: Path) -> list[str]:
    """Modules whose name says nothing."""
    modules = [path.relative_to(root) for path in sources(root) if path.relative_to(root).parts[0] == "tagfs"]
    return [
        str(path)
        for path in modules
        if BANNED_WORDS & {word for part in path.with_suffix("").parts for word in part.split("_")}
    ]


def long_modules(root: Path) -> dict[str, int]:
    """Modules of more than 400 lines, with their lengths."""
    lengths = {str(path.relative_to(root)): len(path.read_bytes().splitlines()) for path in sources(root)}
    return {path: length for path, length in lengths.items() if length > MOST_LINES}
