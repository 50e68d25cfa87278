"""Opens the catalog in a directory, making it where there is none. Layer: storage."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote, urlsplit

from tagfs.errors import StartError, TagfsError
from tagfs.model.entry import Entry
from tagfs.storage.catalog.books import Books, State, new_epoch, wall_clock_ms
from tagfs.storage.catalog.catalog import SqliteCatalog
from tagfs.storage.catalog.database import Database
from tagfs.storage.catalog.faults import reading
from tagfs.storage.catalog.live import LiveIndex
from tagfs.storage.catalog.lookups import DatabaseLookups
from tagfs.storage.catalog.migrations import format_of, migrate
from tagfs.storage.catalog.opening import open_index, remove_snapshots
from tagfs.storage.catalog.origins import Origins
from tagfs.storage.catalog.rows import fetch_entries
from tagfs.storage.catalog.schema import FILE, connect, create, sync_directory
from tagfs.storage.catalog.upkeep import Upkeep

Connect = Callable[[str, bool], sqlite3.Connection]


def open_catalog(url: str, node: str) -> SqliteCatalog:
    """The catalog in the directory that ``url`` (``sqlite:///absolute/path`` or ``sqlite:relative/path``) names.

    Raises :class:`~tagfs.errors.StartError` where the directory cannot be used, the catalog is another node's, or of a
    format that this version does not know.
    """
    parts = urlsplit(url)
    directory = unquote(parts.netloc + parts.path)
    if not directory:
        raise StartError(f"{url!r} names no directory; write sqlite:///path/of/it")
    return open_directory(directory, node)


def open_directory(
    directory: str,
    node: str,
    *,
    now_ms: Callable[[], int] = wall_clock_ms,
    connecting: Connect = lambda path, write: connect(path, write=write),
) -> SqliteCatalog:
    """The catalog in that directory. ``now_ms`` is the wall clock; ``connecting`` opens connections (tests make them fail)."""
    path = os.path.join(directory, FILE)
    try:
        os.makedirs(directory, exist_ok=True)
        writer = connecting(path, True)
    except (OSError, sqlite3.Error) as error:
        raise StartError(f"the catalog {path} cannot be opened: {error}") from error
    try:
        with reading():
            state = _prepare(writer, path, node)
            return _start(
                directory, Database(path, lambda write: connecting(path, write), writer), writer, state, now_ms
            )
    except StartError:
        writer.close()
        raise
    except TagfsError as error:
        writer.close()
        raise StartError(f"the catalog {path} cannot be opened: {error}") from error


def _prepare(writer: sqlite3.Connection, path: str, node: str) -> State:
    """Makes the tables, or brings them to the present format."""
    if format_of(writer) is None:
        create(writer, node, new_epoch())
        sync_directory(os.path.dirname(path))
    migrated = migrate(writer, path)
    state = State.load(writer)
    if migrated:
        # What a step changed is not in the journal.
        state = state._replace(snapshot="")
    if state.node != node:
        raise StartError(f"the catalog {path} belongs to the node {state.node}, not to {node}")
    return state


def _start(
    directory: str, database: Database, writer: sqlite3.Connection, state: State, now_ms: Callable[[], int]
) -> SqliteCatalog:
    def fetch(rows: Iterable[int]) -> Mapping[int, Entry]:
        with database.reading() as connection:
            return fetch_entries(connection, rows)

    index, tree, saved = open_index(writer, directory, state.node, state.snapshot)
    remove_snapshots(directory, state.snapshot)
    index.forget_news()
    live = LiveIndex(index, DatabaseLookups(database), fetch)
    books = Books(database, live, tree, state, Origins.load(writer), now_ms)
    if state.copied:
        # A restored back-up must not repeat the numbers that were given after it was made.
        books.renew_epoch()
    return SqliteCatalog(books, Upkeep(directory, books, state.step if saved else None))
