"""Any system call may fail: a failed sync stops writing for good, a full disk only for as long as it is full."""

import errno
import os

import pytest

from tagfs.errors import Corrupt, NotFound, ReadOnly, StartError, StorageFull, Unavailable
from tagfs.storage.blobs import index
from tagfs.storage.blobs.disk import System
from tagfs.storage.blobs.opening import open_directory
from tests.contracts.blob_store import blob_of, read_out, stream_in

MAX_SEGMENT = 30_000
LARGE = os.urandom(140_000)
CHUNKED = os.urandom((1 << 20) + 10)
SMALL = [os.urandom(1000 + size) for size in range(30)]
SYNCS = ("fdatasync", "fsync_directory")
GROWING = ("create", "pwrite", "rename", "mkdir")


class FailingSystem(System):
    """Fails the ``at``-th call (from 0) of those named; :attr:`calls` counts them. A failing pwrite writes half first."""

    def __init__(self, names=(), at=-1, code=errno.EIO):
        self._names = names
        self._at = at
        self._code = code
        self.calls = 0

    def __getattribute__(self, name):
        if name.startswith("_") or name not in self._names:
            return super().__getattribute__(name)
        self.calls += 1
        if self.calls - 1 == self._at:
            return self._fail_in_the_middle if name == "pwrite" else self._fail
        return super().__getattribute__(name)

    def _fail(self, *arguments):
        raise OSError(self._code, os.strerror(self._code))

    def _fail_in_the_middle(self, fd, data, offset):
        os.pwrite(fd, data[: len(data) // 2], offset)
        self._fail()


class Steps:
    """What a store is used for, one call at a time; each returns the contents that are acknowledged by it."""

    def __init__(self, store):
        self.store = store
        self.all = [
            self.put,
            self.stream,
            self.stream_chunked,
            self.put_again,
            self.drop,
            self.compact,
            self.keep,
            self.resume,
            self.stream,
        ]

    def put(self):
        self.store.put_many(SMALL[:25])
        return SMALL[20:25]

    def put_again(self):
        self.store.put_many(SMALL[20:])
        return SMALL[20:]

    def stream(self):
        stream_in(self.store, LARGE)
        return [LARGE]

    def stream_chunked(self):
        stream_in(self.store, CHUNKED)
        return [CHUNKED]

    def drop(self):
        for content in SMALL[:20]:
            digest = blob_of(content).digest
            if self.store.stat(digest) is not None:
                self.store.unpin(digest)
                assert self.store.drop(digest)
        return []

    def compact(self):
        self.store.compact(1 << 30)
        return []

    def keep(self):
        writer = self.store.begin()
        writer.write(CHUNKED[:1000])
        writer.keep("cut", now_ms=0)
        return []

    def resume(self):
        if self.store.kept("cut") is None:
            return []  # a resume that failed took it
        writer = self.store.resume("cut", 1000)
        writer.write(LARGE)
        writer.finish()
        return [CHUNKED[:1000] + LARGE]


def count_calls(directory, names):
    """How many such calls opening takes, and how many opening and all steps."""
    system = FailingSystem(names)
    store = open_directory(os.fspath(directory), system=system, max_segment=MAX_SEGMENT)
    opening = system.calls
    for step in Steps(store).all:
        step()
    store.close()
    return opening, system.calls


def check_read_only(store):
    """Every write is refused, and says why."""
    for write in (lambda: store.put_many([b"x"]), store.begin, lambda: store.drop(b""), lambda: store.compact(1)):
        with pytest.raises(ReadOnly, match="read-only since it could not make durable"):
            write()


def check_again(directory, promised):
    """Opens the store on a disk that works again: what was acknowledged is there, and everything is sound."""
    store = open_directory(os.fspath(directory), max_segment=MAX_SEGMENT)
    try:
        for content in promised:
            assert read_out(store, blob_of(content).digest) == content
        assert all(store.verify(digest) for digest in store.digests(b"", 1000))
        assert not os.listdir(directory / "incoming")
        assert store.put_many([b"works again"])
    finally:
        store.close()


@pytest.fixture
def quick_index(monkeypatch):
    monkeypatch.setattr(index, "SYNCHRONOUS", "OFF")


@pytest.mark.usefixtures("quick_index")
def test_failed_sync_stops_writing(tmp_path):
    """After any failed sync the call and every later write raise ReadOnly, nothing is synced again, reads go on, and what
    was acknowledged before is there."""
    opening, everything = count_calls(tmp_path / "counted", SYNCS)
    assert everything - opening > 20
    for at in range(everything):
        directory = tmp_path / str(at)
        system = FailingSystem(SYNCS, at)
        promised = set()
        if at < opening:
            with pytest.raises(StartError):
                open_directory(os.fspath(directory), system=system, max_segment=MAX_SEGMENT)
        else:
            store = open_directory(os.fspath(directory), system=system, max_segment=MAX_SEGMENT)
            failed = False
            for step in Steps(store).all:
                try:
                    promised.update(step())
                except ReadOnly:
                    failed = True
                    break
            assert failed
            assert system.calls == at + 1
            check_read_only(store)
            for content in promised:
                assert read_out(store, blob_of(content).digest) == content
            store.close()
            assert system.calls == at + 1, "a sync was tried again"
        check_again(directory, promised)


@pytest.mark.usefixtures("quick_index")
def test_full_disk_is_survived(tmp_path):
    """Wherever space runs out, the call says so and leaves nothing behind; the same call works once there is space."""
    opening, everything = count_calls(tmp_path / "counted", GROWING)
    for at in range(opening, everything):
        directory = tmp_path / str(at)
        store = open_directory(
            os.fspath(directory), system=FailingSystem(GROWING, at, errno.ENOSPC), max_segment=MAX_SEGMENT
        )
        promised = set()
        refused = 0
        for step in Steps(store).all:
            try:
                promised.update(step())
            except StorageFull:
                refused += 1
                assert not os.listdir(directory / "incoming")
                promised.update(step())
        assert refused <= 1
        for content in promised:
            assert read_out(store, blob_of(content).digest) == content
        store.close()
        check_again(directory, promised)


def test_full_disk_at_the_start(tmp_path):
    """A store that cannot be made for lack of space is a StartError, and is made once there is space."""
    opening, _ = count_calls(tmp_path / "counted", GROWING)
    for at in range(opening):
        directory = tmp_path / str(at)
        with pytest.raises(StartError, match="disk of this node is full"):
            open_directory(os.fspath(directory), system=FailingSystem(GROWING, at, errno.ENOSPC))
        check_again(directory, ())


def test_reserve_is_kept_free(tmp_path, monkeypatch):
    """Contents are refused while there is still room for compaction and for the catalog to note what was deleted."""
    store = open_directory(os.fspath(tmp_path / "store"))
    blob = store.put_many([b"before"])[0]
    real = os.statvfs(tmp_path)
    scarce = os.statvfs_result((*real[:4], (60 << 20) // real.f_frsize, *real[5:]))
    monkeypatch.setattr(os, "statvfs", lambda path: scarce)
    for write in (lambda: store.put_many([b"x"]), lambda: stream_in(store, LARGE)):
        with pytest.raises(StorageFull, match="more space"):
            write()
    assert store.usage().free == store.room() == 0
    store.unpin(blob.digest)
    assert store.drop(blob.digest)
    store.compact(1 << 30)
    monkeypatch.undo()
    assert store.put_many([b"x"])
    store.close()


def test_too_many_open_files_passes(tmp_path):
    """Being out of descriptors for a moment is no reason to stop writing."""
    store = open_directory(os.fspath(tmp_path / "store"), system=FailingSystem(("create",), 1, errno.EMFILE))
    with pytest.raises(Unavailable, match="try again"):
        stream_in(store, LARGE)
    assert stream_in(store, LARGE) == blob_of(LARGE)
    store.close()


class RefusingSystem(System):
    """Refuses to read while :attr:`refuses` is set."""

    refuses = False

    def pread(self, fd, length, offset):
        if self.refuses:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().pread(fd, length, offset)


def test_unreadable_content_is_corrupt(tmp_path):
    """A read that the device refuses is told as damage, and verify no longer serves the content."""
    system = RefusingSystem()
    store = open_directory(os.fspath(tmp_path / "store"), system=system)
    for content in (SMALL[0], LARGE):
        digest = stream_in(store, content).digest
        system.refuses = True
        with pytest.raises(Corrupt, match="cannot read"):
            read_out(store, digest)
        assert store.verify(digest) is False
        assert store.stat(digest) is None
        system.refuses = False
        stream_in(store, content)
        assert read_out(store, digest) == content
    store.close()


def test_damage_of_a_read_only_store(tmp_path):
    """A store that stopped writing still finds damage and serves it no more."""
    system = FailingSystem(SYNCS)
    store = open_directory(os.fspath(tmp_path / "store"), system=system)
    digests = [stream_in(store, content).digest for content in (SMALL[0], LARGE)]
    system._at = system.calls
    with pytest.raises(ReadOnly):
        store.put_many([b"x"])
    for path, content in [
        ("packs/00000001.pack", SMALL[0]),
        (f"objects/{digests[1].hex()[:2]}/{digests[1].hex()}", LARGE),
    ]:
        data = (tmp_path / "store" / path).read_bytes()
        (tmp_path / "store" / path).write_bytes(data.replace(content[:50], bytes(50)))
    for digest in digests:
        assert store.verify(digest) is False
        assert store.stat(digest) is None
        with pytest.raises(NotFound):
            store.open(digest)
    assert store.usage()[:2] == (0, 0)
    store.close()
