"""The parts of the file store, each by itself."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tagfs.errors import TooLarge
from tagfs.storage.blobs import segments, writer
from tagfs.storage.blobs.descriptors import Descriptors
from tagfs.storage.blobs.disk import System
from tagfs.storage.blobs.opening import open_directory
from tagfs.storage.blobs.packs import OVERHEAD, Damage, Item, item_header, scan
from tagfs.storage.blobs.pins import Pins
from tagfs.storage.interfaces import SMALL_CONTENT
from tests.contracts.blob_store import blob_of, read_out


def pack_of(*contents):
    return b"".join(item_header(blob_of(content).digest, len(content)) + content for content in contents)


def scanned(pack):
    return list(scan(lambda offset, length: pack[offset : offset + length], 0, len(pack)))


def test_scan_crosses_windows():
    """Items are found wherever they lie in the pieces that a scan reads, the largest and the empty one too."""
    contents = [os.urandom(size) for size in (0, SMALL_CONTENT, 5, 0) * 40]
    found = scanned(pack_of(*contents))
    assert [item.content for item in found] == contents
    assert found[-1] == Item(len(pack_of(*contents)) - OVERHEAD, blob_of(b"").digest, 0, b"")


@pytest.mark.parametrize("gap", [1, OVERHEAD, 5 << 20])
def test_scan_finds_its_way_back(gap):
    """Behind a stretch of anything, however long, the next sound item is found where it begins."""
    first, second = pack_of(b"first"), pack_of(b"second")
    assert scanned(first + bytes(gap) + second) == [
        *scanned(first),
        Damage(len(first), len(first) + gap),
        Item(len(first) + gap, blob_of(b"second").digest, 6, b"second"),
    ]


def test_scan_of_an_endless_item():
    """A header that promises more than there is leads nowhere, and no item may be larger than a small content."""
    for size in (100, SMALL_CONTENT + 1):
        pack = item_header(blob_of(b"x").digest, size) + bytes(50)
        assert scanned(pack) == [Damage(0, len(pack))]


def test_descriptors_are_bounded_and_never_closed_in_use(tmp_path):
    """Beyond the limit the file that was not used for longest is closed, but not while somebody reads from it."""
    for number in range(4):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    opened = []

    def open_file(number):
        opened.append(number)
        return os.open(tmp_path / str(number), os.O_RDONLY)

    files = Descriptors(open_file, limit=2)
    with files.borrow(0) as held:
        for number in (1, 2, 3, 1, 3):
            with files.borrow(number) as fd:
                assert os.pread(fd, 1, 0) == b"%d" % number
        assert os.pread(held, 1, 0) == b"0"
    assert opened == [0, 1, 2, 3, 1]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held)
    with files.borrow(3) as fd:
        files.retire(3)
        files.close()
        assert os.pread(fd, 1, 0) == b"3"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_many_segments_few_descriptors(tmp_path, monkeypatch):
    """Reading from many segments keeps few of them open."""
    monkeypatch.setattr(segments, "MAX_OPEN", 3)
    store = open_directory(os.fspath(tmp_path), max_segment=2000)
    contents = [os.urandom(1500) for _ in range(30)]
    store.put_many(contents)
    for content in contents:
        store.put_many([content])
    before = len(os.listdir("/proc/self/fd"))
    assert all(read_out(store, blob_of(content).digest) == content for content in contents)
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    store.close()


class PageCache(System):
    """A file system of which ``cached`` bytes of each read are in memory; with None, one that cannot tell."""

    cached: int | None = 1 << 30

    def pread_cached(self, fd, length, offset):
        if self.cached is None:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        if not self.cached:
            raise BlockingIOError
        return os.pread(fd, min(length, self.cached), offset)


def test_what_is_in_memory_is_opened_at_once(tmp_path):
    """As long as the system has all of it in memory, and says so."""
    system = PageCache()
    store = open_directory(os.fspath(tmp_path), system=system)
    content = os.urandom(5000)
    digest = store.put_small(content).digest
    assert store.open_now(digest).read(0, 6000) == content
    for cached in (0, 4000, None):
        system.cached = cached
        assert store.open_now(digest) is None
        assert read_out(store, digest) == content
    store.close()


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the system cannot read without waiting")
def test_the_kernel_is_asked_for_what_it_has_in_memory(tmp_path):
    """What it has at once are the file's own bytes, or it says that it would wait, or that it cannot tell."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        try:
            found = System().pread_cached(file.fileno(), 4, 3)
        except OSError as error:
            found = error.errno
    assert found in (b"3456", errno.EAGAIN, errno.EOPNOTSUPP)


def test_contents_are_bounded(tmp_path, monkeypatch):
    """A content over the bound is refused while it comes in, and its space is free at once."""
    monkeypatch.setattr(writer, "MAX_CONTENT", 3_000_000)
    store = open_directory(os.fspath(tmp_path))
    upload = store.begin()
    upload.write(bytes(2_000_000))
    with pytest.raises(TooLarge, match="3000000"):
        upload.write(bytes(1_000_001))
    assert not os.listdir(tmp_path / "incoming")
    store.close()


def test_unpin_without_pin_is_a_mistake():
    """Pins are counted exactly."""
    pins = Pins()
    pins.pin([b"a", b"a"])
    pins.unpin([b"a", b"a"])
    with pytest.raises(AssertionError):
        pins.unpin([b"a"])


def test_claims_take_turns():
    """Of two that want the same digests one waits, for the rest at most; a drop does not wait, it is refused."""
    pins = Pins()
    assert pins.claim_free([b"a", b"b"]) == [b"a", b"b"]
    assert pins.claim_free([b"b", b"c"]) == [b"c"]
    waits = Event()

    def wait():
        waits.set()
        return pins.claim_free([b"a"])

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        waits.wait()
        with pins.claimed_unpinned(b"a") as free:
            assert not free
        assert not waiting.done()
        pins.release([b"a"])
        assert waiting.result(5) == [b"a"]
    pins.release([b"a", b"b", b"c"])
    pins.pin([b"c"])
    with pins.claimed_unpinned(b"c") as free:
        assert not free
    pins.unpin([b"c"])
    with pins.claimed_unpinned(b"c") as free:
        assert free
