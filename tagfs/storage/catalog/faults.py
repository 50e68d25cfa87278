"""What goes wrong in SQLite, said in the errors of tagfs. Layer: storage.

=================================  ==========================================================================
SQLITE_FULL, _IOERR_SHMSIZE        StorageFull; the next write may succeed
SQLITE_IOERR, _READONLY, _CANTOPEN  while writing: ReadOnly, from then on; while reading: Corrupt
SQLITE_CORRUPT, _NOTADB            Corrupt
SQLITE_BUSY, _LOCKED, _NOMEM       Unavailable: another program holds the file, or memory is short
=================================  ==========================================================================

An fsync that failed is never tried again: the kernel may have dropped the pages and call the next one a success
(Rebello et al.: *Can Applications Recover from fsync Failures?*, 2020). Everything else is a mistake of our own and is raised as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from tagfs.errors import Corrupt, ReadOnly, StorageFull, TagfsError, Unavailable
from tagfs.storage.full import says_full

_BROKEN = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SHORT = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}


def fault(error: sqlite3.Error, *, writing: bool) -> TagfsError | None:
    """The error to raise instead, or None where it is no outside fault."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF
    reason = f"{error} ({error.sqlite_errorname})"
    if says_full(error):
        return StorageFull("no space is left for the catalog; nothing was changed: give the device more space")
    if primary in _DAMAGED:
        return Corrupt(f"the catalog is damaged: {reason}; restore a back-up, or let the node copy everything anew")
    if primary in _BROKEN and writing:
        return ReadOnly(f"the catalog could not be written and is read-only until the node is restarted: {reason}")
    if primary in _BROKEN:
        return Corrupt(f"the catalog cannot be read: {reason}")
    if primary in _SHORT:
        return Unavailable(f"the catalog is not available at the moment: {reason}")
    return None


@contextmanager
def reading() -> Iterator[None]:
    """Translates what goes wrong while reading."""
    try:
        yield
    except sqlite3.Error as error:
        found = fault(error, writing=False)
        if found is None:
            raise
        raise found from error
