"""From a database to the index and the leaves of its records, and back to a file that makes the next start quick. Layer: storage.

A snapshot is named by a random token, which the database repeats, and holds the number of the last step that is in it.
So one that is not of this very database (a restored back-up beside a newer snapshot, say) is not even looked for, and what
was committed since is in the journal.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

import msgpack

from tagfs.storage.catalog.rows import entry_of, fetch_entries
from tagfs.storage.catalog.tree import Tree
from tagfs.storage.index import Index

_MANY = 5_000
"""Rows taken into the index at once."""
_ROW = 8
_FORMAT = 1
"""Of what a snapshot says beside the index; one of another format is not read."""
_PREFIX, _SUFFIX = "index-", ".snapshot"


def snapshot_path(directory: str, token: str) -> str:
    """Where the snapshot with that token is."""
    return os.path.join(directory, f"{_PREFIX}{token}{_SUFFIX}")


def remove_snapshots(directory: str, kept: str) -> None:
    """Removes every snapshot but the one with the token ``kept``."""
    for name in os.listdir(directory):
        if name.startswith(_PREFIX) and name != f"{_PREFIX}{kept}{_SUFFIX}":
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))


def pack_position(token: str, step: int, next_row: int, tree: bytes) -> bytes:
    """What a snapshot says beside the index: the last step in it, the first row not in it, and the packed tree."""
    return msgpack.packb((_FORMAT, token, step, next_row, tree))  # type: ignore[no-any-return]


def open_index(connection: sqlite3.Connection, directory: str, node: str, token: str) -> tuple[Index, Tree, bool]:
    """The index and leaves of all that is in the database: from the snapshot and the journal, else from the records.

    The last item tells whether the snapshot has it all.
    """
    loaded = Index.load(snapshot_path(directory, token), node) if token else None
    if loaded is not None:
        index, position = loaded
        version, *about = msgpack.unpackb(position)
        if version == _FORMAT and about[0] == token:
            _, step, next_row, packed = about
            tree = Tree(packed)
            return index, tree, not _replay(connection, step, next_row, index, tree)
    return *rebuild(connection, node), False


def _replay(connection: sqlite3.Connection, step: int, next_row: int, index: Index, tree: Tree) -> bool:
    """Takes in what was committed after that step; whether there was anything. Rows from ``next_row`` on are new."""
    touched: set[int] = set()
    for rows, leaves in connection.execute("SELECT rows, leaves FROM journal WHERE step > ? ORDER BY step", (step,)):
        touched.update(int.from_bytes(rows[start : start + _ROW], "big") for start in range(0, len(rows), _ROW))
        tree.change(leaves)
    known = sorted(row for row in touched if row < next_row)
    for start in range(0, len(known), _MANY):
        part = known[start : start + _MANY]
        entries = fetch_entries(connection, part)
        for row in part:
            if row in entries:
                index.put(row, entries[row])
            else:
                index.remove(row)
    new = sorted(row for row in touched if row >= next_row)
    for start in range(0, len(new), _MANY):
        entries = fetch_entries(connection, new[start : start + _MANY])
        rows = sorted(entries)
        index.put_many(rows, [entries[row] for row in rows])
    return bool(touched)


def rebuild(connection: sqlite3.Connection, node: str) -> tuple[Index, Tree]:
    """The index and leaves made anew from all records."""
    index = Index(node)
    tree = Tree()
    cursor = connection.execute("SELECT row, place, name IS NOT NULL, record FROM records ORDER BY row")
    while part := cursor.fetchmany(_MANY):
        tree.put_many([place for _, place, _, _ in part], [data for _, _, _, data in part])
        whole = [(row, entry_of(data)) for row, _, is_entry, data in part if is_entry]
        index.put_many([row for row, _ in whole], [entry for _, entry in whole])
    return index, tree
