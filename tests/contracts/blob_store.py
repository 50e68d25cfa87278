"""What every blob store promises (:mod:`tagfs.storage.interfaces`): one suite, run on each implementation.

An implementation's test module subclasses :class:`BlobStoreContract` and says how to make a store, and how to
damage a stored content behind its back.
"""

import os
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from blake3 import blake3
from zope.interface.verify import verifyObject

from tagfs.errors import BadRequest, Corrupt, NotFound, TooLarge
from tagfs.storage.interfaces import CHUNK, SMALL_CONTENT, Blob, IBlobReader, IBlobStore, IBlobWriter

SIZES = (0, 1, 4096, SMALL_CONTENT, SMALL_CONTENT + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7)


def blob_of(content: bytes) -> Blob:
    """The name that any store must give to a content."""
    return Blob(blake3(content).digest(), len(content))


def stream_in(store, content: bytes, piece: int = 100_000) -> Blob:
    """Stores a content of any size through a writer."""
    writer = store.begin()
    for at in range(0, len(content), piece):
        writer.write(content[at : at + piece])
    return writer.finish()


def read_out(store, digest: bytes) -> bytes:
    """Reads a whole content at once."""
    reader = store.open(digest)
    try:
        return reader.read(0, reader.size)
    finally:
        reader.close()


class BlobStoreContract(ABC):
    """The suite."""

    @abstractmethod
    def make(self, directory: Path):
        """A new, empty store; ``directory`` is its own."""

    @abstractmethod
    def damage(self, store, digest: bytes) -> None:
        """Changes some bytes of a stored content behind the store's back."""

    @pytest.fixture
    def store(self, tmp_path):
        made = self.make(tmp_path / "store")
        yield made
        made.close()

    def test_interfaces(self, store):
        """Store, writer and reader provide what the interfaces list."""
        assert verifyObject(IBlobStore, store)
        assert verifyObject(IBlobWriter, store.begin())
        for size in (1, 2 * CHUNK):
            reader = store.open(stream_in(store, bytes(size)).digest)
            assert verifyObject(IBlobReader, reader)
            reader.close()

    @pytest.mark.parametrize("size", SIZES)
    def test_content_of_any_size_comes_back(self, store, size):
        """A content streamed in is named by its BLAKE3 digest and comes back byte for byte."""
        content = os.urandom(size)
        assert stream_in(store, content) == blob_of(content)
        assert store.stat(blob_of(content).digest) == blob_of(content)
        assert read_out(store, blob_of(content).digest) == content

    @pytest.mark.parametrize("piece", [1, 65_536, CHUNK, 5 * CHUNK])
    def test_pieces_do_not_matter(self, store, piece):
        """However a content is cut into writes, it is the same content."""
        content = os.urandom(300_000 if piece == 1 else 2 * CHUNK + 300_000)
        assert stream_in(store, content, piece) == blob_of(content)
        assert read_out(store, blob_of(content).digest) == content

    def test_put_many(self, store):
        """Small contents stored together all come back, the empty one too, in the order given."""
        contents = [b"", *(os.urandom(size) for size in (1, 2, 5000, SMALL_CONTENT)), b"same", b"same"]
        blobs = store.put_many(contents)
        assert list(blobs) == [blob_of(content) for content in contents]
        assert [read_out(store, blob.digest) for blob in blobs] == contents
        assert store.usage().contents == len(contents) - 1
        assert not store.put_many([])

    def test_put_many_refuses_large_contents(self, store):
        """One content over the bound: TooLarge, and none of them is stored."""
        with pytest.raises(TooLarge):
            store.put_many([b"small", bytes(SMALL_CONTENT + 1)])
        assert store.usage().contents == 0

    def test_unknown_content(self, store):
        """What is not there is said to be not there, by every call."""
        for digest in (blob_of(b"nowhere").digest, b"", b"x"):
            assert store.stat(digest) is None
            assert store.pin(digest) is False
            assert store.drop(digest) is False
            for call in (store.open, store.chunks, store.verify):
                with pytest.raises(NotFound):
                    call(digest)

    @pytest.mark.parametrize("size", [10, 2 * CHUNK])
    def test_same_content_once(self, store, size):
        """The same content is stored once, however often and by whichever way it comes."""
        content = os.urandom(size)
        stream_in(store, content)
        taken = store.usage()
        stream_in(store, content)
        if size <= SMALL_CONTENT:
            store.put_many([content, content])
        assert store.usage()[:3] == taken[:3]
        assert list(store.digests(b"", 10)) == [blob_of(content).digest]

    def test_abort_leaves_nothing(self, store):
        """An aborted content is not there; abort may be repeated, also after finish."""
        for size in (10, 2 * CHUNK):
            writer = store.begin()
            writer.write(bytes(size))
            assert writer.size == size
            writer.abort()
            writer.abort()
            assert store.stat(blob_of(bytes(size)).digest) is None
        writer = store.begin()
        writer.write(b"done")
        blob = writer.finish()
        writer.abort()
        assert store.stat(blob.digest) == blob

    @pytest.mark.parametrize("size", [1000, CHUNK + 1000])
    def test_reads_in_parts(self, store, size):
        """A reader gives exactly the bytes asked for, fewer only at the end, and none behind it."""
        content = os.urandom(size)
        reader = store.open(stream_in(store, content).digest)
        assert reader.size == size
        for offset, length in [
            (0, 0),
            (0, 1),
            (7, 500),
            (size - 3, 3),
            (size - 3, 100),
            (size, 5),
            (size + 9, 5),
            (0, size),
        ]:
            assert reader.read(offset, length) == content[offset : offset + length]
        reader.close()
        reader.close()

    @pytest.mark.parametrize("size", [1000, 2 * CHUNK])
    def test_reader_outlives_drop_and_compaction(self, store, size):
        """An open reader goes on reading what is dropped and compacted away meanwhile."""
        content = os.urandom(size)
        blob = stream_in(store, content)
        reader = store.open(blob.digest)
        store.unpin(blob.digest)
        assert store.drop(blob.digest)
        store.compact(1 << 30)
        assert store.stat(blob.digest) is None
        assert reader.read(0, size) == content
        reader.close()

    def test_opened_at_once_or_not_at_all(self, store):
        """Who may not wait gets the same bytes or nothing, and nothing of what is large, not here, dropped or damaged."""
        contents = [os.urandom(4096) for _ in range(3)]
        kept, dropped, damaged = [blob.digest for blob in store.put_many(contents)]
        large = stream_in(store, os.urandom(CHUNK)).digest
        for digest in (kept, dropped, damaged):
            assert read_out(store, digest)
            store.unpin(digest)
        store.drop(dropped)
        self.damage(store, damaged)
        reader = store.open_now(kept)
        if reader is not None:
            assert verifyObject(IBlobReader, reader) and reader.in_memory
            assert reader.read(0, reader.size) == contents[0]
            reader.close()
        assert [store.open_now(digest) for digest in (dropped, damaged, large, blob_of(b"else").digest)] == [None] * 4

    def test_chunk_digests(self, store):
        """Contents of more than one chunk have the digest of each; others have none."""
        content = os.urandom(2 * CHUNK + 5)
        expected = [blake3(content[at : at + CHUNK]).digest() for at in range(0, len(content), CHUNK)]
        assert list(store.chunks(stream_in(store, content).digest)) == expected
        for size in (10, CHUNK):
            assert list(store.chunks(stream_in(store, bytes(size)).digest)) == []

    @pytest.mark.parametrize("size", [10, 2 * CHUNK])
    def test_pins_are_counted(self, store, size):
        """Storing pins once each time; a content is dropped only once every pin is off."""
        content = os.urandom(size)
        digest = stream_in(store, content).digest
        stream_in(store, content)
        assert store.pin(digest) is True
        for _ in range(3):
            assert store.drop(digest) is False
            assert store.stat(digest) is not None
            store.unpin(digest)
        assert store.drop(digest) is True
        assert store.stat(digest) is None
        assert store.drop(digest) is False
        stream_in(store, content)
        assert read_out(store, digest) == content

    def test_put_many_pins_each(self, store):
        """put_many pins once for each content given, repeats and known ones included."""
        blob = store.put_many([b"x", b"x"])[0]
        store.put_many([b"x"])
        for _ in range(3):
            assert store.drop(blob.digest) is False
            store.unpin(blob.digest)
        assert store.drop(blob.digest) is True

    def test_digests_in_pages(self, store):
        """Pages of digests are ascending and complete, small and large contents alike, without what was dropped."""
        contents = [os.urandom(20) for _ in range(40)] + [os.urandom(SMALL_CONTENT + 1) for _ in range(10)]
        expected = sorted(stream_in(store, content).digest for content in contents)
        for gone in (expected.pop(3), expected.pop(20)):
            store.unpin(gone)
            assert store.drop(gone)
        for limit in (1, 7, 48, 1000):
            found = []
            while page := store.digests(found[-1] if found else b"", limit):
                assert len(page) <= limit
                found.extend(page)
            assert found == expected

    @pytest.mark.parametrize("size", [10, SMALL_CONTENT + 10, 2 * CHUNK + 10])
    def test_damage_is_found(self, store, size):
        """Damaged bytes are never given out; verify puts them aside, and the content can be stored anew."""
        content = os.urandom(size)
        other = stream_in(store, os.urandom(size)).digest
        digest = stream_in(store, content).digest
        assert store.verify(digest) is True
        self.damage(store, digest)
        with pytest.raises(Corrupt):
            read_out(store, digest)
        assert store.verify(digest) is False
        assert store.stat(digest) is None
        assert digest not in store.digests(b"", 10)
        with pytest.raises(NotFound):
            store.verify(digest)
        assert store.verify(other) is True
        stream_in(store, content)
        assert read_out(store, digest) == content

    @pytest.mark.parametrize("size", [10, SMALL_CONTENT + 10])
    def test_upload_heals_damage(self, store, size):
        """Storing a content that is there but damaged stores it: the answer is true afterwards."""
        content = os.urandom(size)
        digest = stream_in(store, content).digest
        self.damage(store, digest)
        stream_in(store, content)
        assert read_out(store, digest) == content
        assert store.usage().contents == 1

    def test_compaction_gives_space_back(self, store):
        """After dropping most contents and compacting, less is taken on disk and the rest is whole."""
        contents = [os.urandom(10_000) for _ in range(100)]
        blobs = store.put_many(contents)
        before = store.usage()
        for blob in blobs:
            store.unpin(blob.digest)
        for blob in blobs[10:]:
            assert store.drop(blob.digest)
        assert store.compact(1 << 30) >= 0
        after = store.usage()
        assert after.contents == 10
        assert after.bytes == 100_000
        assert after.on_disk < before.on_disk - 700_000
        assert [read_out(store, blob.digest) for blob in blobs[:10]] == contents[:10]

    def test_usage(self, store):
        """Usage counts contents and their bytes, small and large."""
        assert store.usage()[:2] == (0, 0)
        store.put_many([b"abc", b"defg"])
        digest = stream_in(store, bytes(CHUNK)).digest
        usage = store.usage()
        assert usage[:2] == (3, 7 + CHUNK)
        assert usage.on_disk >= usage.bytes
        assert usage.free > 0
        store.unpin(digest)
        store.drop(digest)
        assert store.usage()[:2] == (2, 7)

    @pytest.mark.parametrize(
        ("first", "second"), [(0, 10), (10, 0), (10, 20), (3 * CHUNK, CHUNK), (2 * CHUNK + 9, 2 * CHUNK)]
    )
    def test_kept_upload_is_gone_on_with(self, store, first, second):
        """What was kept of a cut-off upload is no content; a writer goes on from it, once."""
        content = os.urandom(first + second)
        writer = store.begin()
        writer.write(content[:first])
        writer.keep("upload1", now_ms=1_000)
        writer.abort()
        assert store.kept("upload1") == first
        assert store.usage().contents == 0
        writer = store.resume("upload1", first)
        assert store.kept("upload1") is None
        assert writer.size == first
        writer.write(content[first:])
        assert writer.finish() == blob_of(content)
        assert read_out(store, blob_of(content).digest) == content
        with pytest.raises(NotFound):
            store.resume("upload1", 0)

    def test_resume_further_back(self, store):
        """A resume may begin before the end of what was kept, not behind it."""
        content = os.urandom(2 * CHUNK)
        writer = store.begin()
        writer.write(content)
        writer.keep("a", now_ms=0)
        with pytest.raises(BadRequest):
            store.resume("a", 2 * CHUNK + 1)
        assert store.kept("a") == 2 * CHUNK
        writer = store.resume("a", 1000)
        writer.write(b"other end")
        assert writer.finish() == blob_of(content[:1000] + b"other end")

    def test_keep_replaces_and_expires(self, store):
        """A name keeps the latest upload; forgetting takes those from before the given time."""
        for name, size, now in (("a", 10, 1_000), ("a", 20, 5_000), ("b", 30, 2_000)):
            writer = store.begin()
            writer.write(bytes(size))
            writer.keep(name, now_ms=now)
        assert (store.kept("a"), store.kept("b"), store.kept("c")) == (20, 30, None)
        assert store.forget_kept(2_000) == 0
        assert store.forget_kept(2_001) == 1
        assert (store.kept("a"), store.kept("b")) == (20, None)

    @pytest.mark.parametrize("name", ["", "A", "../x", "a" * 65, "a\n", "ä"])
    def test_names_of_kept_uploads(self, store, name):
        """Only short plain names are taken."""
        writer = store.begin()
        for call in (lambda: store.kept(name), lambda: store.resume(name, 0), lambda: writer.keep(name, now_ms=0)):
            with pytest.raises(BadRequest):
                call()

    def test_many_threads(self, store):
        """Threads that store overlapping contents at once all get them back, and each is stored once and pinned by each."""
        threads, rounds = 8, 20
        contents = [os.urandom(200 + index) for index in range(60)] + [os.urandom(SMALL_CONTENT + 1)]
        together = Barrier(threads)

        def work(number: int) -> None:
            together.wait()
            for step in range(rounds):
                chosen = [contents[(number * step + index) % 60] for index in range(20)]
                for blob, content in zip(store.put_many(chosen), chosen, strict=True):
                    assert read_out(store, blob.digest) == content
                    store.unpin(blob.digest)
                store.unpin(stream_in(store, contents[60]).digest)

        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work, number) for number in range(threads)]:
                done.result()
        assert store.usage().contents <= len(contents)
        for digest in store.digests(b"", 1000):
            assert store.verify(digest)
            assert store.drop(digest), "a pin was left"
        assert store.usage()[:2] == (0, 0)

    def test_dropping_never_wins_over_storing(self, store):
        """While others drop and compact, a content that was just stored and is pinned is there."""
        contents = [os.urandom(3000) for _ in range(10)] + [os.urandom(SMALL_CONTENT + 1)]
        digests = [blob_of(content).digest for content in contents]
        done = []

        def collect() -> None:
            while not done:
                for digest in digests:
                    store.drop(digest)
                store.compact(1 << 30)

        def work() -> None:
            for step in range(60):
                content = contents[step % len(contents)]
                digest = stream_in(store, content).digest
                assert read_out(store, digest) == content
                assert store.pin(digest)
                store.unpin(digest)
                assert read_out(store, digest) == content
                store.unpin(digest)

        with ThreadPoolExecutor(4) as pool:
            collecting = pool.submit(collect)
            try:
                for result in [pool.submit(work) for _ in range(3)]:
                    result.result()
            finally:
                done.append(True)
            collecting.result()
