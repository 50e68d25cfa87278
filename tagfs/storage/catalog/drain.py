"""Moves SQLite's log into the database beside the commits. Layer: storage.

Left to itself, SQLite does it at a commit, which then takes as long as ten others. It has to be done at a moment without
commits in the end: the log begins anew only once all of it was moved. So most of it is moved, and synced, while commits
go on, then what these have added, and the little that is left while they wait.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from tagfs.errors import ReadOnly, TagfsError

_LOG = logging.getLogger(__name__)
_ROUNDS = 2
"""How often what was committed meanwhile is moved before commits must wait for the rest."""


class LogDrain:
    """Drains the log of one database, now and then, on a thread that lives as long as that takes."""

    def __init__(
        self,
        path: str,
        pages: int,
        writing: threading.RLock,
        connection: Callable[[], AbstractContextManager[sqlite3.Connection]],
        fail: Callable[[str], ReadOnly],
    ) -> None:
        """``writing`` keeps commits out, ``connection`` opens one to write with, ``fail`` ends all writing.

        :param path: the database.
        :param pages: about so many may be in the log.
        """
        self._path = path
        self._pages = pages
        self._writing = writing
        self._connection = connection
        self._fail = fail
        self._drained_at = 0
        self._thread: threading.Thread | None = None
        self._file = -1

    def committed(self, changes: int) -> None:
        """Something was committed; ``changes`` rows were changed in all since the start. Only while holding ``writing``.

        A changed row stands for a page in the log: about as many there are, where keys come in no order.
        """
        if changes - self._drained_at < self._pages or (self._thread is not None and self._thread.is_alive()):
            return
        self._drained_at = changes
        self._thread = threading.Thread(target=self._drain, name="catalog-log")
        self._thread.start()

    def close(self) -> None:
        """Waits until nothing is moved any more. Only without ``writing``, and once nothing is committed any more."""
        if self._thread is not None:
            self._thread.join()

    def close_file(self) -> None:
        """Only when all connections are closed: with any descriptor of a file, a process loses its locks on that file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _drain(self) -> None:
        try:
            with self._connection() as connection:
                for _ in range(_ROUNDS):
                    _move(connection)
                    self._sync()
                with self._writing:
                    _move(connection)
        except TagfsError as error:
            _LOG.warning("the log of the catalog stays long: %s", error)

    def _sync(self) -> None:
        """SQLite does not sync the database before the log is at its end; then there would be much to sync."""
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            os.fdatasync(self._file)
        except OSError as error:
            raise self._fail(
                f"the catalog could not be synced and is read-only until the node is restarted: {error}"
            ) from error


def _move(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
