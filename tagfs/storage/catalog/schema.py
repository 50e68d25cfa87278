"""The tables of a catalog's database, and the connections to it. Layer: storage.

docs/architecture/storage.md tells what each table is for.
"""

from __future__ import annotations

import os
import sqlite3

from tagfs.storage.full import open_even_full

FORMAT = 1
"""Version of the tables (``PRAGMA user_version``); :mod:`~tagfs.storage.catalog.migrations` raises older ones to it."""
APPLICATION = 0x74616766
"""``PRAGMA application_id``: the letters "tagf"."""
FILE = "catalog.sqlite"

BUSY_MS = 60_000
"""How long to wait where another program (a person's sqlite3 shell) has the database locked."""
WAL_PAGES = 8_192
"""Pages (4 KiB) in the write-ahead log after which they are moved into the database: what a crash costs to read again."""
WAL_MOST = 4
"""By how many times as many the log grows where moving them takes long; then a commit does it, and takes long itself."""
WAL_SHARE = 32
"""On a small file system the log takes at most one part in this many of it."""
_MIN_WAL_PAGES = 64
_PAGE = 4096
WRITER_CACHE_KIB = 32_768
READER_CACHE_KIB = 4_096

TABLES = """
CREATE TABLE state (
    node TEXT NOT NULL,
    epoch TEXT NOT NULL,
    stamp INTEGER NOT NULL,
    next_row INTEGER NOT NULL,
    step INTEGER NOT NULL,
    snapshot TEXT NOT NULL,
    copied INTEGER NOT NULL
);
CREATE TABLE records (
    row INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    place INTEGER NOT NULL,
    name TEXT,
    home TEXT,
    trashed INTEGER,
    numbers BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE (kind, key)
);
CREATE INDEX records_by_name ON records (name, key) WHERE name IS NOT NULL;
CREATE INDEX records_by_home ON records (home) WHERE home IS NOT NULL;
CREATE INDEX records_by_trash ON records (trashed) WHERE trashed IS NOT NULL;
CREATE INDEX records_hidden ON records (place) WHERE name IS NULL;
CREATE TABLE refs (
    digest BLOB NOT NULL,
    row INTEGER NOT NULL,
    current INTEGER NOT NULL,
    PRIMARY KEY (digest, row)
) WITHOUT ROWID;
CREATE TABLE orphans (
    digest BLOB PRIMARY KEY,
    since INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX orphans_by_time ON orphans (since);
CREATE TABLE origins (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    upto INTEGER NOT NULL,
    ranges BLOB NOT NULL
);
CREATE TABLE feed (
    origin INTEGER NOT NULL,
    number INTEGER NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (origin, number)
) WITHOUT ROWID;
CREATE TABLE journal (
    step INTEGER PRIMARY KEY,
    rows BLOB NOT NULL,
    leaves BLOB NOT NULL
);
"""


def connect(path: str, *, write: bool) -> sqlite3.Connection:
    """A connection whose transactions are begun and ended by hand. Usable by any one thread at a time. One that
    writes can be opened on a full disk too."""
    return open_even_full(path, lambda uri: _connect(uri, path, write))


def _connect(uri: str, path: str, write: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        cache = WRITER_CACHE_KIB if write else READER_CACHE_KIB
        connection.execute(f"PRAGMA cache_size = -{cache}")
        if write:
            # FULL syncs the log at every commit: without it a power cut takes back what was acknowledged.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # What a statement for many rows keeps to undo itself is a page per row: not through a file.
            connection.execute("PRAGMA temp_store = MEMORY")
            pages = log_pages(path)
            connection.execute(f"PRAGMA wal_autocheckpoint = {pages * WAL_MOST}")
            connection.execute(f"PRAGMA journal_size_limit = {pages * _PAGE * 2}")
        else:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def log_pages(path: str) -> int:
    """:data:`WAL_PAGES`, or fewer on a small file system."""
    state = os.statvfs(os.path.dirname(path) or ".")
    return min(WAL_PAGES, max(_MIN_WAL_PAGES, state.f_blocks * state.f_frsize // _PAGE // WAL_SHARE))


def create(connection: sqlite3.Connection, node: str, epoch: str) -> None:
    """Makes the tables of an empty database, all or none."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in filter(str.strip, TABLES.split(";")):
        connection.execute(statement)
    connection.execute("INSERT INTO state VALUES (?, ?, 0, 1, 0, '', 0)", (node, epoch))
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def sync_directory(directory: str) -> None:
    """Makes the directory's names durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
