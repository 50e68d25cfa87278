"""SQLite's log is moved into the database beside the commits."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from tagfs.errors import ReadOnly
from tagfs.model.query import Tag
from tagfs.storage.catalog import drain, schema
from tagfs.storage.catalog.start import open_directory
from tests.contracts.writing import Writer

PAGES = 64
BATCH = 100


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A directory for a catalog with a short log, which no commit moves by itself."""
    monkeypatch.setattr(schema, "WAL_PAGES", PAGES)
    monkeypatch.setattr(schema, "WAL_MOST", 10_000)
    return str(tmp_path / "catalog")


def merge_some(catalog, writer, times):
    for _ in range(times):
        catalog.merge([writer.entry(f"{writer.new_id()[::-1]}.txt", ["x"]) for _ in range(BATCH)])


def test_the_log_stays_short_under_load(directory):
    """However much is written, the log is begun anew; all of it is in the database or the log."""
    catalog = open_directory(directory, "n1")
    writer = Writer()
    longest = 0
    for _ in range(40):
        merge_some(catalog, writer, 1)
        catalog._database._drain.close()  # so that the test does not depend on how threads are scheduled
        longest = max(longest, os.path.getsize(os.path.join(directory, f"{schema.FILE}-wal")))
    assert longest < 8 * PAGES * 4096  # without being begun anew it would be fifty times as long
    with sqlite3.connect(os.path.join(directory, schema.FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    catalog.close()
    again = open_directory(directory, "n1")
    assert again.count(Tag("x")) == 40 * BATCH
    again.close()


def test_commits_go_on_while_the_log_is_moved(directory):
    """Nobody waits, and closing ends it."""
    catalog = open_directory(directory, "n1")
    merge_some(catalog, Writer(), 30)
    catalog.close()
    assert catalog._database._drain._file < 0
    again = open_directory(directory, "n1")
    assert again.count(Tag("x")) == 30 * BATCH
    again.close()


def test_a_failed_sync_makes_it_read_only(directory, monkeypatch):
    """As any failed fsync; what was acknowledged is in the log still."""
    catalog = open_directory(directory, "n1")
    writer = Writer()

    def fdatasync(_file):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(drain.os, "fdatasync", fdatasync)
    merge_some(catalog, writer, 1)
    catalog._database._drain.close()
    with pytest.raises(ReadOnly, match="could not be synced"):
        merge_some(catalog, writer, 1)
    assert catalog.count(Tag("x")) == BATCH
    monkeypatch.undo()
    catalog.close()
    again = open_directory(directory, "n1")
    assert again.count(Tag("x")) == BATCH
    again.close()
