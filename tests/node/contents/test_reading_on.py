"""A copy here that turns out bad: nothing of it is given, in whatever pieces it is read, and the rest comes from elsewhere."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tagfs.model.entry import Content, Entry
from tagfs.node.contents.reading import ReadingOn
from tagfs.node.offload import Inline
from tagfs.node.transfer import Reading
from tagfs.storage.blobs import open_blobs
from tagfs.storage.interfaces import CHUNK, IBlobStore

DATA = random.Random(5).randbytes(3 * CHUNK + 1000)


def now(work: Coroutine[Deferred[Any], Any, Any]) -> Any:
    """What comes of work that waits for nothing."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    (result,) = results
    return result


class Elsewhere:
    """The content on another node."""

    def __init__(self, start: int, length: int) -> None:
        self.start = self.at = start
        self.length = length

    async def read(self, limit: int) -> bytes:
        data = DATA[self.at : min(self.at + limit, self.start + self.length)]
        self.at += len(data)
        return data

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def blobs(tmp_path: Path) -> Any:
    store = open_blobs(f"file:{tmp_path / 'blobs'}")
    yield store
    store.close()


@pytest.mark.parametrize("limit", [1000, 1 << 18, CHUNK, 1 << 21])
@pytest.mark.parametrize("offset", [0, CHUNK, 5000])
def test_no_bad_byte_is_given(blobs: IBlobStore, tmp_path: Path, limit: int, offset: int) -> None:
    """Pieces smaller than what is verified at once, as the doors ask for, are given once their whole chunk is known to be right."""
    writer = blobs.begin()
    writer.write(DATA)
    blob = writer.finish()
    (path,) = (each for each in (tmp_path / "blobs").rglob("*") if each.is_file() and each.stat().st_size == len(DATA))
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(CHUNK + 5)
        file.write(bytes([DATA[CHUNK + 5] ^ 1]))
    entry = Entry("", "n", Content(blob.digest, blob.size, "", 0), 0, (), None, None, ())
    told: list[int] = []
    begun: list[int] = []

    def elsewhere(start: int, length: int) -> Any:
        begun.append(start)
        return Elsewhere(start, length)

    begin = offset - offset % CHUNK
    here = Reading(entry, blobs.open(blob.digest), Inline(), begin, len(DATA) - begin)
    reading = ReadingOn(here, elsewhere, lambda: told.append(1), offset, len(DATA) - offset)
    got = b""
    while data := now(reading.read(limit)):
        assert len(data) <= limit
        got += data
    assert got == DATA[offset:]
    assert told == [1] and begun == [CHUNK]
    reading.close()
