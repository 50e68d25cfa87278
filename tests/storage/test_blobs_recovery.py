"""What a blob store makes of its directory when it is opened."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tagfs.errors import Corrupt, NotFound, StartError
from tagfs.storage.blobs.opening import open_blobs, open_directory
from tagfs.storage.blobs.packs import OVERHEAD, SEGMENT_HEADER, item_header
from tests.contracts.blob_store import blob_of, read_out, stream_in

CONTENTS = [os.urandom(1000 + size) for size in range(10)]
DIGESTS = [blob_of(content).digest for content in CONTENTS]


@pytest.fixture
def directory(tmp_path):
    """The directory of a closed store with :data:`CONTENTS`, in this order, in one segment."""
    path = tmp_path / "store"
    with_store(path, lambda store: store.put_many(CONTENTS))
    return path


def with_store(path, use):
    """Opens a store, uses it, closes it; what ``use`` returned."""
    store = open_directory(os.fspath(path))
    try:
        return use(store)
    finally:
        store.close()


def here(store):
    """Which of the contents are here, all of which must come back whole."""
    found = [digest in store.digests(b"", 1000) for digest in DIGESTS]
    for content, digest, is_here in zip(CONTENTS, DIGESTS, found, strict=True):
        assert (store.stat(digest) is not None) == is_here
        if is_here:
            assert read_out(store, digest) == content
        else:
            with pytest.raises(NotFound):
                store.open(digest)
    return found


def offset_of(number):
    """Where the item of that content begins."""
    return len(SEGMENT_HEADER) + sum(OVERHEAD + len(content) for content in CONTENTS[:number])


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def forget_index(directory):
    for path in directory.glob("index.db*"):
        path.unlink()


def test_deleted_index_is_made_anew(directory):
    """Without its index a store finds everything in its packs, and counts it."""
    usage = with_store(directory, lambda store: store.usage())
    forget_index(directory)
    assert with_store(directory, here) == [True] * 10
    assert with_store(directory, lambda store: store.usage()[:2]) == usage[:2]


@pytest.mark.parametrize("data", [b"", b"no database at all" * 100])
def test_unusable_index_is_made_anew(directory, data):
    """A damaged index is replaced, not believed."""
    forget_index(directory)
    (directory / "index.db").write_bytes(data)
    assert with_store(directory, here) == [True] * 10


def test_torn_end_is_cut_off(directory):
    """Half an item at the end goes; the next one is written in its place."""
    pack = directory / "packs/00000001.pack"
    size = pack.stat().st_size
    torn = os.urandom(500)
    overwrite(pack, size, item_header(blob_of(torn).digest, 500) + torn[:300])
    assert with_store(directory, here) == [True] * 10
    assert pack.stat().st_size == size
    with_store(directory, lambda store: store.put_many([b"next"]))
    forget_index(directory)
    assert with_store(directory, here) == [True] * 10


@pytest.mark.parametrize("what", ["content", "length", "magic", "all"])
def test_damage_costs_no_other_content(directory, caplog, what):
    """A bad item in the middle is reported and not served; those before and behind it are."""
    forget_index(directory)
    pack = directory / "packs/00000001.pack"
    bad = {"content": (OVERHEAD + 5, b"XX"), "length": (4, b"\xff\xff"), "magic": (0, b"?"), "all": (0, bytes(900))}[
        what
    ]
    overwrite(pack, offset_of(4) + bad[0], bad[1])
    size = pack.stat().st_size
    expected = [number != 4 for number in range(10)]
    assert with_store(directory, here) == expected
    assert pack.stat().st_size == size
    assert "pack segment 1 is damaged from byte" in caplog.text
    with_store(directory, lambda store: store.put_many([CONTENTS[4]]))
    assert with_store(directory, here) == [True] * 10
    forget_index(directory)
    assert with_store(directory, here) == [True] * 10


def test_items_within_contents_stay_contents(directory):
    """A content that looks like a pack is a content, also when everything around it is searched for items."""
    inner = os.urandom(300)
    outer = item_header(blob_of(inner).digest, 300) + inner
    with_store(directory, lambda store: store.put_many([outer]))
    forget_index(directory)
    assert with_store(directory, lambda store: store.stat(blob_of(inner).digest)) is None
    assert with_store(directory, lambda store: read_out(store, blob_of(outer).digest)) == outer


def test_shortened_segment(directory, caplog):
    """A segment that lost its end (an older copy was put back) serves what it has, and only that is listed."""
    os.truncate(directory / "packs/00000001.pack", offset_of(7) + 100)
    assert with_store(directory, here) == [True] * 7 + [False] * 3
    assert "shorter than it was" in caplog.text
    assert with_store(directory, lambda store: store.usage().contents) == 7


def test_missing_segment(directory):
    """Contents of a segment that is gone are not there any more."""
    (directory / "packs/00000001.pack").unlink()
    assert with_store(directory, here) == [False] * 10
    assert with_store(directory, lambda store: store.usage()[:2]) == (0, 0)


def test_dropped_contents_stay_dropped(directory):
    """A drop outlives a clean stop; compaction outlives the loss of the index."""

    def drop(store):
        for digest in DIGESTS[:6]:
            assert store.drop(digest)

    with_store(directory, drop)
    assert with_store(directory, here) == [False] * 6 + [True] * 4
    assert with_store(directory, lambda store: store.compact(1 << 30)) > 0
    forget_index(directory)
    assert with_store(directory, here) == [False] * 6 + [True] * 4


def test_compaction_in_steps(tmp_path):
    """Compaction moves about as much as it may, and goes on the next time."""
    store = open_directory(os.fspath(tmp_path / "store"), max_segment=20_000)
    contents = [os.urandom(2000) for _ in range(90)]
    for content in contents:
        store.put_many([content])
        store.unpin(blob_of(content).digest)
    kept = [content for number, content in enumerate(contents) if number % 3 == 0]
    for content in set(contents) - set(kept):
        assert store.drop(blob_of(content).digest)
    sizes = [store.usage().on_disk]
    for _ in range(20):
        freed = store.compact(3000)
        assert freed <= 17_000
        sizes.append(store.usage().on_disk)
    packs = sum(path.stat().st_size for path in (tmp_path / "store/packs").iterdir())
    assert packs < 1.6 * sum(len(content) for content in kept)
    assert all(read_out(store, blob_of(content).digest) == content for content in kept)
    store.close()


def test_compaction_of_a_damaged_segment(directory, caplog):
    """Compaction moves what is sound; what is not goes to the quarantine, and the segment goes."""
    overwrite(directory / "packs/00000001.pack", offset_of(8) + OVERHEAD, b"??")
    overwrite(directory / "packs/00000001.pack", offset_of(9), b"??")

    def compact(store):
        for digest in DIGESTS[:6]:
            assert store.drop(digest)
        assert store.compact(1 << 30) > 0
        return here(store)

    assert with_store(directory, compact) == [False] * 6 + [True] * 2 + [False] * 2
    assert not (directory / "packs/00000001.pack").exists()
    assert len(list((directory / "quarantine").iterdir())) == 2


def test_lost_chunk_list_is_made_anew(tmp_path):
    """A chunk list is derived: missing, torn or another's, it is made from the content again."""
    content = os.urandom((2 << 20) + 3)
    digest = blob_of(content).digest
    expected = with_store(tmp_path, lambda store: stream_in(store, content) and list(store.chunks(digest)))
    (path,) = tmp_path.glob("objects/*/*.chunks")
    for change in (path.unlink, lambda: os.truncate(path, 50), lambda: overwrite(path, 60, b"??")):
        change()
        assert with_store(tmp_path, lambda store: list(store.chunks(digest))) == expected
        assert path.stat().st_size > 100
    path.unlink()
    overwrite(path.with_suffix(""), 5, b"??")
    with pytest.raises(Corrupt):
        with_store(tmp_path, lambda store: store.chunks(digest))


def test_damage_ends_a_sequential_read(tmp_path):
    """A transfer in pieces smaller than a chunk fails at the end of the bad chunk, not after delivering everything."""
    content = os.urandom(3 << 20)

    def read(store):
        digest = stream_in(store, content).digest
        (path,) = tmp_path.glob(f"objects/*/{digest.hex()}")
        overwrite(path, (1 << 20) + 77, b"??")
        reader = store.open(digest)
        got = 0
        with contextlib.suppress(Corrupt):
            while got < reader.size:
                got += len(reader.read(got, 100_000))
        reader.close()
        return got

    assert (1 << 20) < with_store(tmp_path, read) < (2 << 20)


def test_foreign_and_future_directories(tmp_path):
    """A directory with something else in it, or of a later format, is refused and left as it is."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("x")
    with pytest.raises(StartError, match="other things"):
        open_directory(os.fspath(foreign))
    assert os.listdir(foreign) == ["thesis.tex"]
    with_store(tmp_path / "future", here)
    (tmp_path / "future/format").write_text("tagfs blobs 2\n")
    with pytest.raises(StartError, match="upgrade"):
        open_directory(os.fspath(tmp_path / "future"))
    with_store(tmp_path / "half", here)
    (tmp_path / "half/objects").rmdir()
    with pytest.raises(StartError, match="lacks its directory objects"):
        open_directory(os.fspath(tmp_path / "half"))


def test_lost_and_found_is_no_foreigner(tmp_path):
    """The root of a fresh file system serves as it is."""
    (tmp_path / "lost+found").mkdir()
    with_store(tmp_path, here)


def test_unmounted_device_is_no_empty_store(tmp_path):
    """With create=no an empty or missing directory is refused: what was there is elsewhere, not deleted."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(StartError, match="mounted"):
            open_blobs(f"file://{tmp_path}/{name}?create=no")
        assert not os.path.exists(tmp_path / name / "format")
    open_blobs(f"file://{tmp_path}/empty").close()
    open_blobs(f"file://{tmp_path}/empty?create=no").close()


def test_one_process_at_a_time(tmp_path):
    """A store that is open is refused to everybody else, and free after close."""
    store = open_directory(os.fspath(tmp_path))
    with pytest.raises(StartError, match="in use"):
        open_directory(os.fspath(tmp_path))
    store.close()
    open_directory(os.fspath(tmp_path)).close()


def test_close_aborts_open_writers(tmp_path):
    """What was not finished is gone after close, and its file with it."""
    store = open_directory(os.fspath(tmp_path))
    store.begin().write(bytes(2 << 20))
    assert os.listdir(tmp_path / "incoming")
    store.close()
    assert not os.listdir(tmp_path / "incoming")


def test_small_stream_needs_no_file(tmp_path):
    """A content is kept in memory until it is too large for a pack."""
    store = open_directory(os.fspath(tmp_path))
    writer = store.begin()
    writer.write(bytes(100_000))
    assert not os.listdir(tmp_path / "incoming")
    writer.finish()
    assert os.listdir(tmp_path / "packs")
    store.close()


KILLED = """
    import os, sys
    from tagfs.storage.blobs.opening import open_directory
    store = open_directory(sys.argv[1])
    number = 0
    while True:
        contents = [b"%d" % (number + index) * 300 for index in range(50)]
        writer = store.begin()
        writer.write(contents[0] * 1000)
        blobs = [*store.put_many(contents), writer.finish()]
        print(" ".join(blob.digest.hex() for blob in blobs), flush=True)
        number += 50
"""


def test_kill(tmp_path):
    """After kill -9 in the middle of storing, everything that was acknowledged is there."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), os.fspath(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=os.getcwd())
    lines = [process.stdout.readline() for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    lines += [line for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()

    def verify(store):
        digests = [bytes.fromhex(text) for line in lines for text in line.split()]
        assert len(digests) >= 20 * 51
        assert all(store.verify(digest) for digest in digests)
        assert not os.listdir(tmp_path / "incoming")

    with_store(tmp_path, verify)
