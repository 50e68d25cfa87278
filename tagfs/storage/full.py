"""SQLite where the disk is full: which errors say so, and how a database is opened that must only be read. Layer: storage."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path


def says_full(error: sqlite3.Error) -> bool:
    """Whether no space was left. SQLITE_IOERR_SHMSIZE: the file that indexes the log could not be made longer."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code == sqlite3.SQLITE_IOERR_SHMSIZE or code & 0xFF == sqlite3.SQLITE_FULL


def open_even_full(path: str, opening: Callable[[str], sqlite3.Connection]) -> sqlite3.Connection:
    """The connection that ``opening`` makes from a ``file:`` URI, also where not even the index of the log fits on the disk.

    Then SQLite keeps that index in memory (https://www.sqlite.org/vfs.html, "unix-excl"), for this and all later
    connections of the process to that database, and writes work as soon as there is space.
    """
    uri = Path(path).absolute().as_uri()
    try:
        return opening(uri)
    except sqlite3.Error as error:
        if not says_full(error):
            raise
    return opening(f"{uri}?vfs=unix-excl")
