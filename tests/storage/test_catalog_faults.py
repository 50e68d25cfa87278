"""What the catalog does when the disk is full, fails or lies, and when another program holds its file."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import sqlite3
import threading

import pytest

from tagfs.errors import Corrupt, ReadOnly, StartError, StorageFull, Unavailable
from tagfs.model.query import EVERYTHING, Tag
from tagfs.storage.catalog import schema
from tagfs.storage.catalog.start import open_directory
from tagfs.storage.index.saving import Saving
from tests.contracts.writing import Writer, ref


class Faulty(sqlite3.Connection):
    """Fails a statement as SQLite does, when told to. It proves what we make of an error; that SQLite reports an fsync
    that failed at COMMIT as SQLITE_IOERR_FSYNC, and has then not committed, is its documentation's word."""

    fault = None

    def execute(self, statement, *arguments):
        found = Faulty.fault
        if found is not None and statement.startswith(found[0]):
            Faulty.fault = None
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode, error.sqlite_errorname = found[1], "SQLITE_TEST"
            raise error
        return super().execute(statement, *arguments)


def connecting(path, write):
    real = sqlite3.connect
    try:
        sqlite3.connect = lambda *arguments, **options: real(*arguments, **options, factory=Faulty)
        return schema.connect(path, write=write)
    finally:
        sqlite3.connect = real


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "catalog")


@pytest.fixture
def catalog(directory):
    Faulty.fault = None
    catalog = open_directory(directory, "n1", connecting=connecting)
    yield catalog
    Faulty.fault = None
    catalog.close()


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "UPDATE state", "COMMIT"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_READONLY])
def test_a_failed_write_makes_it_read_only(catalog, directory, statement, code):
    """After a failed write or fsync nothing is written any more, nothing is tried again, and reads go on."""
    writer = Writer()
    first, second = writer.entry("a", ["x"]), writer.entry("b", ["x"])
    catalog.merge([first])
    before = catalog.vector(), [catalog.leaves(each) for each in range(256)]
    Faulty.fault = (statement, code)
    with pytest.raises(ReadOnly, match="read-only until the node is restarted"):
        catalog.merge([second])
    for write in (
        lambda: catalog.merge([second]),
        lambda: catalog.merge([first]),
        lambda: catalog.drop([ref(first)]),
        lambda: catalog.renew_epoch(),
        lambda: catalog.note_orphans([bytes(32)], 1),
        lambda: catalog.forget_orphans([bytes(32)]),
        lambda: catalog.checkpoint(),
    ):
        with pytest.raises(ReadOnly):
            write()
    assert list(catalog.get([ref(first), ref(second)])) == [first, None]
    assert catalog.count(Tag("x")) == 1
    assert [entry.name for entry in catalog.named("a")] == ["a"]
    assert (catalog.vector(), [catalog.leaves(each) for each in range(256)]) == before
    catalog.close()
    again = open_directory(directory, "n1")
    assert again.count(Tag("x")) == 1
    again.merge([second])
    assert again.count(Tag("x")) == 2
    again.close()


def test_a_full_disk_is_no_failure(catalog):
    """Where no space is left (SQLite's own SQLITE_FULL), nothing changes, reads go on, and later writes succeed."""
    writer = Writer()
    first = writer.entry("a", ["x"])
    catalog.merge([first])
    connection = catalog._database._writer
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    many = [writer.entry(f"n{number}", ["x"]) for number in range(500)]
    before = catalog.vector(), catalog.leaves(1)
    for _ in range(2):
        with pytest.raises(StorageFull, match="no space is left"):
            catalog.merge(many)
        assert (catalog.vector(), catalog.leaves(1)) == before
        assert catalog.count(EVERYTHING) == 1
        assert list(catalog.get([ref(many[0])])) == [None]
    connection.execute("PRAGMA max_page_count = 1000000")
    catalog.merge(many)
    assert catalog.count(Tag("x")) == 501


def _fill(directory, answer):
    """Merges until a file may not grow any more (a real failure of write(2)), and tells what happened then."""
    catalog = open_directory(directory, "n1")
    writer = Writer()
    first = writer.entry("first", ["x"])
    catalog.merge([first])
    size = os.path.getsize(os.path.join(directory, f"{schema.FILE}-wal"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300_000, resource.RLIM_INFINITY))
    done, errors = 0, []
    for _ in range(200):
        try:
            catalog.merge([writer.entry(f"n{number}", ["x"]) for number in range(100)])
            done += 100
        except ReadOnly as error:
            errors.append(str(error))
            if len(errors) == 3:
                break
    answer.send((done, catalog.count(Tag("x")), len(set(errors)), catalog.get([ref(first)])[0] == first))
    answer.close()
    os._exit(0)


def test_a_write_that_really_fails(directory):
    """With a file that cannot grow, the same: all that was acknowledged is there, then and after a restart."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_fill, args=(directory, there))
    process.start()
    there.close()
    assert here.poll(60)
    done, count, reasons, read = here.recv()
    process.join()
    assert (count, reasons, read) == (done + 1, 1, True)
    catalog = open_directory(directory, "n1")
    assert catalog.count(Tag("x")) == done + 1
    catalog.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_snapshot_that_cannot_be_written(directory, monkeypatch, number):
    """Without space for a snapshot all goes on; one that fails makes the catalog read-only. Both start well again."""
    catalog = open_directory(directory, "n1")
    writer = Writer()
    catalog.merge([writer.entry("a", ["x"])])

    def fails(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(Saving, "write", fails)
        with pytest.raises(StorageFull if number == errno.ENOSPC else ReadOnly):
            catalog.checkpoint()
    if number == errno.ENOSPC:
        catalog.merge([writer.entry("b", ["x"])])
        catalog.checkpoint()
    else:
        with pytest.raises(ReadOnly, match="snapshot"):
            catalog.merge([writer.entry("b", ["x"])])
    count = catalog.count(Tag("x"))
    catalog.close()
    catalog = open_directory(directory, "n1")
    assert catalog.count(Tag("x")) == count
    catalog.close()


def test_damage_is_told(directory):
    """Pages overwritten with garbage are reported as damage, while reading and while starting."""
    catalog = open_directory(directory, "n1")
    writer = Writer()
    made = [writer.entry(f"n{number}", ["x"]) for number in range(2000)]
    catalog.merge(made)
    catalog.close()
    path = os.path.join(directory, schema.FILE)
    catalog = open_directory(directory, "n1")
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(4096 * 4)
        file.write(os.urandom(size - 4096 * 4))
    with pytest.raises(Corrupt, match="damaged"):
        catalog.get([ref(record) for record in made])
    with pytest.raises(Corrupt):
        catalog.records("entry", "", 10_000)
    catalog._database.close()
    for name in os.listdir(directory):
        if name.startswith("index-"):
            os.unlink(os.path.join(directory, name))
    with pytest.raises(StartError, match="damaged"):
        open_directory(directory, "n1")


def test_another_program_is_waited_for(catalog, directory):
    """Where another program writes to the file, a merge waits for it instead of telling of a lock."""
    other = sqlite3.connect(os.path.join(directory, schema.FILE), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    released = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
    released.start()
    writer = Writer()
    catalog.merge([writer.entry("a", ["x"])])
    released.join()
    assert catalog.count(Tag("x")) == 1
    other.close()


def test_another_program_that_does_not_let_go(directory, monkeypatch):
    """Only where that takes too long, the store is said to be unavailable; and is not given up."""
    monkeypatch.setattr(schema, "BUSY_MS", 50)
    catalog = open_directory(directory, "n1")
    other = sqlite3.connect(os.path.join(directory, schema.FILE), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer = Writer()
    with pytest.raises(Unavailable):
        catalog.merge([writer.entry("a", ["x"])])
    other.close()
    catalog.merge([writer.entry("b", ["x"])])
    assert catalog.count(Tag("x")) == 1
    catalog.close()


def test_an_index_that_fails_stops_writes(catalog, monkeypatch):
    """Should a committed change not get into the index, nothing more is written: a restart makes them agree again."""
    writer = Writer()
    monkeypatch.setattr(catalog._live.index, "put", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        catalog.merge([writer.entry("a")])
    with pytest.raises(ReadOnly, match="could not be taken into the index"):
        catalog.merge([writer.entry("b")])
