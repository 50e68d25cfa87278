"""Fixtures of the command line's tests: the command in this process, against an honest node in memory."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.command_line import Tagfs
from tests.client.fake_server import MemoryNode, Shelf


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TAGFS_") and not name.startswith("TAGFS_TEST_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def node(shelf: Shelf) -> Iterator[MemoryNode]:
    with MemoryNode(shelf) as running:
        yield running


@pytest.fixture
def tagfs(node: MemoryNode) -> Tagfs:
    return Tagfs(node.port)


@pytest.fixture
def store(tagfs: Tagfs, tmp_path: Path) -> Callable[..., str]:
    """Stores a small file and returns its id."""

    def storing(name: str, *tags: str, content: bytes = b"content", home: str | None = None) -> str:
        source = tmp_path / "store.tmp"
        source.write_bytes(content)
        words = [word for tag in tags for word in ("-t", tag)]
        words += ["--home", home] if home is not None else []
        result: str = tagfs("add", source, "--name", name, *words).stdout.split("\t")[0]
        return result

    return storing
