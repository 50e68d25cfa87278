"""Which files are trusted: those verified whole not long ago, and not touched since."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tagfs.errors import Corrupt
from tagfs.storage.blobs import open_blobs
from tagfs.storage.blobs.verified import MOST, TRUSTED_S, Verified
from tagfs.storage.interfaces import CHUNK, IBlobReader, IBlobStore


def test_a_file_is_trusted_for_a_while_as_long_as_it_is_the_same(tmp_path: Path) -> None:
    """Time, another file, and a write to it end that."""
    now = 0.0
    verified = Verified(lambda: now)
    path = tmp_path / "x"
    path.write_bytes(b"1")
    state = path.stat()
    assert not verified.holds(b"d", state)
    verified.note(b"d", state)
    assert verified.holds(b"d", state)
    assert not verified.holds(b"e", state)
    os.utime(path, ns=(0, 0))
    assert not verified.holds(b"d", path.stat())
    now = TRUSTED_S
    assert not verified.holds(b"d", state)


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    """The oldest are forgotten."""
    verified = Verified()
    for number in range(MOST + 1):
        verified.note(b"%d" % number, tmp_path.stat())
    assert not verified.holds(b"0", tmp_path.stat())
    assert verified.holds(b"%d" % MOST, tmp_path.stat())


def read(reader: IBlobReader, size: int) -> bytes:
    try:
        return b"".join(reader.read(at, CHUNK // 2) for at in range(0, size, CHUNK // 2))
    finally:
        reader.close()


@pytest.mark.parametrize("touched", ["contents", "nothing"])
def test_only_the_first_whole_reading_verifies(tmp_path: Path, touched: str) -> None:
    """A byte that changed is noticed at the next reading, because writing it changed the file's times; a reading of a
    part alone makes nothing trusted."""
    store: IBlobStore = open_blobs(f"file:{tmp_path / 'blobs'}")
    content = os.urandom(2 * CHUNK + 5)
    writer = store.begin()
    writer.write(content)
    blob = writer.finish()
    (path,) = [path for path in tmp_path.rglob(blob.digest.hex()) if path.is_file()]
    part = store.open(blob.digest)
    part.read(0, CHUNK)
    part.close()
    damage(path, 3)
    with pytest.raises(Corrupt):
        read(store.open(blob.digest), len(content))
    damage(path, 3)
    assert read(store.open(blob.digest), len(content)) == content
    if touched == "contents":
        damage(path, len(content) - 1)
        with pytest.raises(Corrupt):
            read(store.open(blob.digest), len(content))
    else:
        assert read(store.open(blob.digest), len(content)) == content
    store.close()


def damage(path: Path, at: int) -> None:
    """Changes one bit; the same again repairs it."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
