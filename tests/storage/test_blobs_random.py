"""Whatever is done in whatever order, the file store answers as the one in memory does."""

import os
import random

import pytest

from tagfs.storage.blobs import index
from tagfs.storage.blobs.opening import open_directory
from tagfs.storage.interfaces import SMALL_CONTENT
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.contracts.blob_store import read_out, stream_in


class Pair:
    """Two stores of which the same is asked; the file store is closed and opened again now and then."""

    def __init__(self, directory, dice):
        self._directory = os.fspath(directory)
        self._dice = dice
        self._contents = [dice.randbytes(dice.choice([10, 300, 2000, 3000])) for _ in range(25)]
        self._contents += [dice.randbytes(SMALL_CONTENT + 1 + number) for number in range(3)]
        self._memory = MemoryBlobStore()
        self._pinned = []
        self._open()

    def put(self):
        chosen = self._dice.choices(self._contents[:25], k=self._dice.randrange(6))
        blobs = self._memory.put_many(chosen)
        assert self._files.put_many(chosen) == blobs
        self._pinned.extend(blob.digest for blob in blobs)

    def stream(self):
        content = self._dice.choice(self._contents)
        blob = stream_in(self._memory, content)
        assert stream_in(self._files, content) == blob
        self._pinned.append(blob.digest)

    def pin(self):
        digest = self._any()
        here = self._memory.pin(digest)
        assert self._files.pin(digest) == here
        self._pinned.extend([digest] * here)

    def unpin(self):
        for _ in range(min(5, len(self._pinned))):
            digest = self._pinned.pop(self._dice.randrange(len(self._pinned)))
            self._memory.unpin(digest)
            self._files.unpin(digest)

    def drop(self):
        for _ in range(5):
            digest = self._any()
            assert self._files.drop(digest) == self._memory.drop(digest)

    def compact(self):
        self._files.compact(self._dice.choice([0, 3000, 1 << 30]))

    def reopen(self):
        """Pins do not outlive the process."""
        self._files.close()
        while self._pinned:
            self._memory.unpin(self._pinned.pop())
        self._open()

    def compare(self):
        everything = self._memory.digests(b"", 100)
        assert self._files.digests(b"", 100) == everything
        assert self._files.usage()[:2] == self._memory.usage()[:2]
        for digest in everything:
            assert self._files.stat(digest) == self._memory.stat(digest)
            assert read_out(self._files, digest) == read_out(self._memory, digest)
        for digest in self._dice.sample(everything, min(3, len(everything))):
            after = self._dice.randrange(1, 5)
            assert self._files.digests(digest, after) == self._memory.digests(digest, after)

    def close(self):
        self._files.close()

    def _open(self):
        self._files = open_directory(self._directory, max_segment=9000)

    def _any(self):
        known = self._memory.digests(b"", 100)
        return self._dice.choice(known) if known else bytes(32)


@pytest.mark.parametrize("seed", range(12))
def test_same_answers_as_in_memory(tmp_path, monkeypatch, seed):
    """Random calls, with the index written every few changes, give the same answers from both stores."""
    dice = random.Random(seed)
    monkeypatch.setattr(index, "BATCH", dice.choice([1, 7, 1000]))
    monkeypatch.setattr(index, "SYNCHRONOUS", "OFF")
    pair = Pair(tmp_path / "store", dice)
    calls = [pair.put, pair.put, pair.stream, pair.pin, pair.unpin, pair.unpin, pair.drop, pair.drop, pair.compact]
    try:
        for _ in range(12):
            for call in dice.choices([*calls, pair.reopen], k=8):
                call()
            pair.compare()
    finally:
        pair.close()
