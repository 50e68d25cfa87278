"""Checkpoints and copies of a catalog, made while it is in use. Layer: storage."""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import threading

from tagfs.errors import Conflict, StorageFull
from tagfs.storage.catalog.books import Books
from tagfs.storage.catalog.opening import pack_position, remove_snapshots, snapshot_path
from tagfs.storage.catalog.schema import FILE, sync_directory

_PAGES = 4_096
"""Pages (4 KiB) copied before other threads may run."""
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Upkeep:
    """Saves the index of a catalog in its directory, and copies its database to others."""

    def __init__(self, directory: str, books: Books, saved: int | None) -> None:
        """``saved`` is the step of the snapshot that is there, None where it does not have everything."""
        self._directory = directory
        self._books = books
        self._one = threading.Lock()
        self._saved = saved

    def checkpoint(self) -> None:
        """Saves the index and the leaves, forgets what of the journal is in them, and empties SQLite's log."""
        with self._one:
            self._books.database.require_writable()
            if self._saved != self._books.state.step:
                self._save()
            self._empty_log()

    def _save(self) -> None:
        books = self._books
        with books.database.writing, books.live.lock:
            saving = books.live.index.begin_save()
            step, next_row = books.state.step, books.state.next_row
            leaves = books.tree.pack()
        token = secrets.token_hex(8)
        try:
            saving.write(
                snapshot_path(self._directory, token), pack_position(token, step, next_row, leaves), books.live.lock
            )
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise StorageFull(
                    "no space is left for the snapshot of the index; the next start takes longer"
                ) from error
            raise books.database.fail(f"the snapshot of the index could not be written: {error}") from error
        with books.database.writing:
            state = books.state._replace(snapshot=token)
            with books.database.transaction() as connection:
                state.store(connection)
                connection.execute("DELETE FROM journal WHERE step <= ?", (step,))
            books.state = state
        remove_snapshots(self._directory, token)
        self._saved = step

    def _empty_log(self) -> None:
        """Moves committed pages into the database. The automatic way, at a commit, keeps silent about its failures: here
        they are heard."""
        with self._books.database.writing_apart() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def copy_to(self, directory: str) -> None:
        """Puts a copy of the database into another directory; the first to open it numbers its changes anew."""
        path = os.path.join(directory, FILE)
        if os.path.exists(path):
            raise Conflict(f"{path} is there already; copy to an empty directory")
        with self._books.database.snapshot() as source:
            # The first read fixes what the copy shows, however long it takes and whatever is committed meanwhile.
            source.execute("SELECT 1 FROM state").fetchone()
            target = sqlite3.connect(path, isolation_level=None)
            try:
                source.backup(target, pages=_PAGES, sleep=0)
                target.execute("PRAGMA journal_mode = DELETE")
                target.execute("PRAGMA synchronous = FULL")
                target.execute("BEGIN")
                target.execute("UPDATE state SET copied = 1, snapshot = ''")
                target.execute("DELETE FROM journal")
                target.execute("COMMIT")
            finally:
                target.close()
        sync_directory(directory)
