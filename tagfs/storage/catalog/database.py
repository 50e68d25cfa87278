"""One writer and some readers of a catalog's database. Layer: storage.

SQLite lets one transaction write at a time; here they queue for a lock instead of being told that the database is
busy. Readers have their own connections and see everything that was committed when they began.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tagfs.errors import ReadOnly, StorageFull
from tagfs.storage.catalog.drain import LogDrain
from tagfs.storage.catalog.faults import fault, reading
from tagfs.storage.catalog.schema import log_pages

READERS = 8
"""Connections that read at once; more threads than that wait for each other."""

Connect = Callable[[bool], sqlite3.Connection]
"""Opens a connection that may write, or one that may not."""


class Database:
    """The connections to one database. Any thread may call anything."""

    def __init__(self, path: str, connect: Connect, writer: sqlite3.Connection) -> None:
        self._connect = connect
        self._writer = writer
        self.writing = threading.RLock()
        """Held by whoever changes the database, and what is derived from it in memory."""
        self.broken = ""
        """Why nothing is written any more; empty while all is well."""
        self._closed = False
        self._drain = LogDrain(path, log_pages(path), self.writing, self.writing_apart, self.fail)
        self._readers: queue.LifoQueue[sqlite3.Connection | None] = queue.LifoQueue()
        for _ in range(READERS):
            self._readers.put(None)

    @property
    def is_writable(self) -> bool:
        """Whether writes are taken: neither broken nor closed."""
        return not (self.broken or self._closed)

    def require_writable(self) -> None:
        """Raises ReadOnly once something could not be written."""
        if self.broken:
            raise ReadOnly(self.broken)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction of its own: all that is done in it is durable when the block ends, or, where it
        raises, none of it happened."""
        with self.writing:
            self.require_writable()
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
                self._drain.committed(self._writer.total_changes)
            except sqlite3.Error as error:
                self._undo()
                found = self._translated(error)
                if isinstance(found, StorageFull):
                    self._reuse_log()
                raise found from error
            except BaseException:
                self._undo()
                raise

    def _reuse_log(self) -> None:
        """Moves what it can of the log into the database, so that the next transaction may begin the log anew."""
        with suppress(sqlite3.Error):
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _translated(self, error: sqlite3.Error) -> Exception:
        found = fault(error, writing=True)
        return self.fail(str(found)) if isinstance(found, ReadOnly) else found or error

    def fail(self, reason: str) -> ReadOnly:
        """From now on every write raises ReadOnly with that reason; returns the first of these."""
        self.broken = self.broken or reason
        return ReadOnly(self.broken)

    @contextmanager
    def fatal(self, what: str) -> Iterator[None]:
        """Where this raises, memory and database may differ: then no more is written until all is read anew."""
        try:
            yield
        except BaseException:
            self.fail(f"{what}; the catalog is read-only until the node is restarted")
            raise

    @contextmanager
    def writing_apart(self) -> Iterator[sqlite3.Connection]:
        """A connection for what may go on beside transactions."""
        connection = self._connect(True)
        try:
            yield connection
        except sqlite3.Error as error:
            raise self._translated(error) from error
        finally:
            connection.close()

    def _undo(self) -> None:
        # Where even this fails, nothing was committed either; the connection forgets it when it is closed.
        with suppress(sqlite3.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with. Read everything before the block ends: what stays open keeps the log from shrinking."""
        connection = self._readers.get()
        try:
            with reading():
                if connection is None:
                    connection = self._connect(False)
                yield connection
        finally:
            self._readers.put(connection)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection all of whose reads see the same state."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Waits for whoever reads or writes, and lets go. Harmless when repeated."""
        with self.writing:
            if self._closed:
                return
            self._closed = True
        self._drain.close()
        for _ in range(READERS):
            connection = self._readers.get()
            if connection is not None:
                connection.close()
        with self.writing, suppress(sqlite3.Error):
            self._writer.close()
        self._drain.close_file()
