"""Where each small content lies: a derived database that may lag behind the segments, or be deleted. Layer: storage.

Changes are gathered in memory and written in batches, each one transaction together with the offsets up to
which the segments are covered by it. So whatever state of it survives a crash, looking at the segments from those
offsets on brings it up to date. It is not made durable itself (``synchronous=NORMAL``): losing its last
transactions costs a longer look, nothing else.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from tagfs.errors import Corrupt, StartError, StorageFull, TagfsError, Unavailable
from tagfs.storage.blobs.packs import OVERHEAD, Place
from tagfs.storage.full import open_even_full, says_full
from tagfs.storage.many_rows import insert_rows

FORMAT = 1
"""``user_version`` of the database; another one is made anew."""
SYNCHRONOUS = "NORMAL"
"""How the database is made durable: never torn, but its last transactions may be lost in a power cut."""
BATCH = 16_384
"""Changes that are gathered before they are written."""
BATCH_BYTES = 64 << 20
"""Bytes of contents after which they are written earlier, so that the look at the next start is short."""
MAX_WAITING = 8 * BATCH
"""Changes in memory, where they cannot be written, after which the store takes no more."""

_LOG = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE items (digest BLOB PRIMARY KEY, segment INTEGER NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (number INTEGER PRIMARY KEY, covered_to INTEGER NOT NULL, count INTEGER NOT NULL,
    bytes INTEGER NOT NULL);
"""
_ROWS = 64
"""Contents that one statement asks for."""
_CACHE_KIB = 16 << 10
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass
class Live:
    """What of a segment is still wanted: how many contents, and the bytes they take there, headers included."""

    count: int = 0
    bytes: int = 0


class Index:
    """Digest to :class:`Place`, for many threads at once.

    Look-ups see ``_waiting`` (gathered changes, None for a removal), then ``_writing`` (the batch being written),
    then the database. A batch is put into ``_writing`` before it leaves ``_waiting`` and leaves that only once
    it is committed, so that a look-up in this order needs no lock and misses nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = Lock()
        self._flush_lock = Lock()
        self._read_lock = Lock()
        self._waiting: dict[bytes, Place | None] = {}
        self._waiting_bytes = 0
        self._writing: dict[bytes, Place | None] = {}
        self._writer = _open_or_renew(path)
        self._reader = _connect(path)
        self._covered: dict[int, int] = {}
        self._live: dict[int, Live] = {}
        for number, covered, count, size in self._writer.execute("SELECT * FROM segments"):
            self._covered[number] = covered
            self._live[number] = Live(count, size)

    def covered_to(self) -> Mapping[int, int]:
        """By segment, the offset up to which every item was taken in, as of the last batch."""
        return self._covered

    def live(self, number: int) -> Live:
        """What is wanted of a segment."""
        return self._live.get(number, Live())

    def totals(self) -> Live:
        """How many contents there are, and the sum of their sizes."""
        with self._lock:
            count = sum(live.count for live in self._live.values())
            taken = sum(live.bytes for live in self._live.values())
        return Live(count, taken - OVERHEAD * count)

    def find(self, digest: bytes) -> Place | None:
        """Where the content lies, or None."""
        for changes in (self._waiting, self._writing):
            if digest in changes:
                return changes[digest]
        rows = self._select("SELECT segment, offset, length FROM items WHERE digest = ?", (digest,))
        return Place(*rows[0]) if rows else None

    def find_many(self, digests: Sequence[bytes]) -> Mapping[bytes, Place]:
        """Where those contents lie that are here."""
        found: dict[bytes, Place | None] = {}
        asked = []
        for digest in digests:
            for changes in (self._waiting, self._writing):
                if digest in changes:
                    found[digest] = changes[digest]
                    break
            else:
                asked.append(digest)
        for start in range(0, len(asked), _ROWS):
            part = asked[start : start + _ROWS]
            marks = ",".join("?" * len(part))
            for digest, *place in self._select(f"SELECT * FROM items WHERE digest IN ({marks})", part):
                found[digest] = Place(*place)
        return {digest: place for digest, place in found.items() if place is not None}

    def add(self, places: Mapping[bytes, Place]) -> None:
        """Takes in contents of one segment that are not here yet (the caller holds their claims)."""
        size = sum([place.length for place in places.values()])
        segment = next(iter(places.values())).segment
        with self._lock:
            self._waiting.update(places)
            self._waiting_bytes += size
            live = self._live.setdefault(segment, Live())
            live.count += len(places)
            live.bytes += size + OVERHEAD * len(places)

    def remove(self, digest: bytes) -> Place | None:
        """Forgets a content; where it lay, or None where it was not here."""
        with self._lock:
            place = self.find(digest)
            if place is not None:
                self._waiting[digest] = None
                self._count(place, -1)
            return place

    def move(self, digest: bytes, old: Place, new: Place) -> bool:
        """The content lies at ``new``, unless it is not at ``old`` any more."""
        with self._lock:
            if self.find(digest) != old:
                return False
            self._waiting[digest] = new
            self._count(old, -1)
            self._count(new, 1)
            return True

    def digests(self, after: bytes, limit: int) -> Sequence[bytes]:
        """Digests behind ``after``, ascending, at most ``limit``."""
        changes = {**self._writing, **self._waiting}
        enough = limit + len(changes)
        rows = self._select("SELECT digest FROM items WHERE digest > ? ORDER BY digest LIMIT ?", (after, enough))
        found = {row[0] for row in rows}
        bound = rows[-1][0] if len(rows) == enough else None
        for digest, place in changes.items():
            if place is None:
                found.discard(digest)
            elif digest > after and (bound is None or digest <= bound):
                found.add(digest)
        return sorted(found)[:limit]

    def in_segment(self, number: int) -> Sequence[bytes]:
        """Digests that lie in a segment; reads the whole database, on a connection of its own: look-ups must not wait."""
        try:
            with closing(_connect(self._path)) as reader:
                rows = reader.execute("SELECT digest FROM items WHERE segment = ?", (number,)).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        found = {row[0] for row in rows}
        found.update({**self._writing, **self._waiting})
        return [digest for digest in found if (place := self.find(digest)) is not None and place.segment == number]

    def forget_segment(self, number: int) -> None:
        """Forgets a segment, and all that the database still has in it: for that it is read whole."""
        has_items = self.live(number).count > 0
        with self._flush_lock:
            with self._transaction() as database:
                if has_items:
                    database.execute("DELETE FROM items WHERE segment = ?", (number,))
                database.execute("DELETE FROM segments WHERE number = ?", (number,))
            with self._lock:
                self._covered.pop(number, None)
                self._live.pop(number, None)

    def has_changes(self) -> bool:
        """Whether anything is gathered for :meth:`flush`."""
        return bool(self._waiting)

    def is_due(self) -> bool:
        """Whether enough changes are gathered for :meth:`flush`."""
        return len(self._waiting) >= BATCH or self._waiting_bytes >= BATCH_BYTES

    def is_overdue(self) -> bool:
        """Whether so many changes wait that no more can be taken."""
        return len(self._waiting) >= MAX_WAITING

    def flush(self, covered: Mapping[int, int]) -> None:
        """Writes what is gathered. ``covered`` was taken before the call: every item below those offsets was added
        (or is not wanted)."""
        with self._flush_lock:
            with self._lock:
                batch = self._writing = self._waiting
                self._waiting = {}
                self._waiting_bytes = 0
                offsets = {**dict.fromkeys(self._live, 0), **self._covered, **covered}
                segments = [
                    (number, offset, self.live(number).count, self.live(number).bytes)
                    for number, offset in offsets.items()
                ]
            try:
                self._write(batch, segments)
            except TagfsError:
                with self._lock:
                    self._waiting = {**batch, **self._waiting}
                    self._writing = {}
                raise
            self._covered.update(covered)
            self._writing = {}

    def size_on_disk(self) -> int:
        """Bytes of the database and its log."""
        return sum(os.stat(path).st_size for path in _paths(self._path) if os.path.exists(path))

    def close(self) -> None:
        """Lets go, without :meth:`flush`."""
        with self._flush_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def _write(self, batch: Mapping[bytes, Place | None], segments: Iterable[tuple[int, int, int, int]]) -> None:
        added = sorted((digest, *place) for digest, place in batch.items() if place is not None)
        removed = ((digest,) for digest, place in batch.items() if place is None)
        with self._transaction() as database:
            insert_rows(database, "INSERT OR REPLACE INTO items", added)
            database.executemany("DELETE FROM items WHERE digest = ?", removed)
            database.executemany("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?)", segments)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        writer = self._writer
        try:
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _count(self, place: Place, sign: int) -> None:
        live = self._live.setdefault(place.segment, Live())
        live.count += sign
        live.bytes += sign * (OVERHEAD + place.length)

    def _select(self, statement: str, arguments: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            with self._read_lock:
                return self._reader.execute(statement, arguments).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> TagfsError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if says_full(error):
            return StorageFull("no space is left for the index of small contents: give the device more space")
        if code in _BROKEN:
            return Corrupt(f"{self._path} is damaged ({error}): stop the node, delete the file, start again")
        return Unavailable(f"the index {self._path} cannot be used: {error}")


def _open_or_renew(path: str) -> sqlite3.Connection:
    """The database at ``path``; made anew where there is none, or one that cannot be used."""
    try:
        database = _connect(path)
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == FORMAT:
                database.execute("SELECT * FROM segments, items LIMIT 1").fetchall()
                return database
            found = f"has format {version}"
        except sqlite3.Error:
            database.close()
            raise
        database.close()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BROKEN | {sqlite3.SQLITE_ERROR}:
            raise StartError(f"the index {path} cannot be opened: {error}") from error
        found = str(error)
    if found != "has format 0":
        _LOG.warning("%s %s; it is made anew from the packs", path, found)
    return _renew(path)


def _renew(path: str) -> sqlite3.Connection:
    for name in _paths(path):
        if os.path.exists(name):
            os.unlink(name)
    try:
        database = _connect(path)
        database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
    except sqlite3.Error as error:
        raise StartError(f"the index {path} cannot be made: {error}") from error
    return database


def _connect(path: str) -> sqlite3.Connection:
    return open_even_full(path, _connect_to)


def _connect_to(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=60)
    try:
        database.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        database.close()
        raise
    return database


def _paths(path: str) -> Sequence[str]:
    return (path, f"{path}-wal", f"{path}-shm")
