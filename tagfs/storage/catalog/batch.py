"""One batch of changes on its way into the database: what becomes of each record, and the rows that say so. Layer: storage.

Pure but for :meth:`Batch.load` and :meth:`Batch.store`: all is decided in memory between reading the present states and
writing the new ones.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from tagfs.model.entry import KIND, Entry, compact
from tagfs.model.record import Record, Ref, decode, encode, merge
from tagfs.storage.catalog.origins import Origins
from tagfs.storage.catalog.rows import HIDDEN, Shape, pack_numbers, shape, unpack_numbers
from tagfs.storage.catalog.tree import LeafChanges, place_number
from tagfs.storage.many_rows import insert_rows


class Touched:
    """One record of a batch: as it was, and as it becomes. Raises BadRequest for an entry whose key is no entry id."""

    __slots__ = ("before", "data", "is_new", "numbers", "old_numbers", "original", "place", "ref", "row", "state")

    def __init__(self, ref: Ref, row: int, before: bytes, numbers: bytes) -> None:
        self.ref = ref
        self.place = place_number(ref)
        self.row = row
        self.is_new = not before
        self.before = before
        self.data = before
        self.original = decode(before) if before else None
        self.state = self.original
        self.old_numbers = unpack_numbers(numbers) if numbers else {}
        self.numbers = dict(self.old_numbers)

    def settle(self) -> bool:
        """Ends the merging; whether the state differs from what was there."""
        assert self.state is not None
        if self.state is self.original:
            return False
        if self.ref.kind == KIND:
            self.state = compact(self.state)
        self.data = encode(self.state)
        return self.data != self.before


class Batch:
    """Changes to merge, and everything that one transaction writes for them."""

    def __init__(self, next_row: int) -> None:
        self.next_row = next_row
        self._present: dict[Ref, Touched] = {}
        self.touched: dict[Ref, Touched] = {}
        """In order of their first change, so that numbers follow the order of the changes."""
        self.changed: list[Touched] = []
        self.rows: list[int] = []
        self.leaves = LeafChanges()
        self.put: list[tuple[int, Entry]] = []
        """Rows of entries that are, or may once have been, in the index."""
        self.new: list[tuple[int, Entry]] = []
        self.removed: list[int] = []
        self._inserted: list[tuple[object, ...]] = []
        self._updated: list[tuple[object, ...]] = []
        self._repacked: list[tuple[object, ...]] = []
        self._superseded: list[tuple[int, int, int]] = []
        self._fed: list[tuple[int, int, int]] = []
        self._referring: list[tuple[bytes, int, int]] = []
        self._unreferring: list[tuple[bytes, int]] = []

    def load(self, connection: sqlite3.Connection, changes: Sequence[Record]) -> None:
        """Reads the present states of all records concerned."""
        for ref, row, numbers, data in read_records(connection, [(change.kind, change.key) for change in changes]):
            self._present[ref] = Touched(ref, row, data, numbers)

    def merge(self, changes: Sequence[Record]) -> None:
        """Merges all changes into the states. Raises BadRequest for an entry whose key is no entry id."""
        touched = self.touched
        for change in changes:
            ref = Ref(change.kind, change.key)
            item = touched.get(ref)
            if item is None:
                item = touched[ref] = self._present.get(ref) or Touched(ref, 0, b"", b"")
            item.state = change if item.state is None else merge(item.state, change)
        self.changed = [item for item in touched.values() if item.settle()]
        for item in self.changed:
            if item.is_new:
                item.row = self.next_row
                self.next_row += 1

    def states(self, changes: Sequence[Record]) -> list[Record]:
        """For each change, the state of its record after all of them."""
        return [self.touched[Ref(change.kind, change.key)].state for change in changes]  # type: ignore[misc]

    def number(self, origins: Origins, name: str, items: Sequence[Touched]) -> None:
        """Gives each of these records the next number of an origin."""
        number = origins.upto(name)
        for item in items:
            number += 1
            item.numbers[origins.number(name)] = number
        if items:
            origins.cover(name, number)

    def note(self, origins: Origins, known: Mapping[Ref, Mapping[str, int]]) -> None:
        """Notes the numbers under which others know the records."""
        arrived: dict[str, list[int]] = {}
        for ref, numbers in known.items():
            item = self.touched.get(ref)
            if item is None:
                continue
            for name, number in numbers.items():
                short = origins.number(name)
                item.numbers[short] = max(number, item.numbers.get(short, 0))
                arrived.setdefault(name, []).append(number)
        for name, here in arrived.items():
            origins.add(name, here)

    def prepare(self) -> None:
        """Makes the rows that :meth:`store` writes."""
        for item in self.changed:
            self._pack(item)
        for item in self.touched.values():
            if item.numbers != item.old_numbers:
                self._feed(item)
                if item.data == item.before:
                    self._repacked.append((pack_numbers(item.numbers), item.data, item.row))

    def _pack(self, item: Touched) -> None:
        assert item.state is not None
        now = shape(item.state)
        was = shape(item.original) if item.original else HIDDEN
        if item.before:
            self.leaves.put(item.place, item.before)
        self.leaves.put(item.place, item.data)
        numbers = pack_numbers(item.numbers)
        if item.is_new:
            kind, key = item.ref
            self._inserted.append(
                (item.row, kind, key, item.place, now.name, now.home, now.trashed, numbers, item.data)
            )
        elif now[1:4] == was[1:4]:
            self._repacked.append((numbers, item.data, item.row))
        else:
            self._updated.append((now.name, now.home, now.trashed, numbers, item.data, item.row))
        self.rows.append(item.row)
        self._refer(item.row, was, now)
        self._index(item, was, now)

    def _refer(self, row: int, was: Shape, now: Shape) -> None:
        if was.references == now.references:
            return
        self._referring.extend(
            (digest, row, current)
            for digest, current in now.references.items()
            if was.references.get(digest) != current
        )
        self._unreferring.extend((digest, row) for digest in was.references if digest not in now.references)

    def _index(self, item: Touched, was: Shape, now: Shape) -> None:
        if now.entry is not None:
            (self.new if item.is_new else self.put).append((item.row, now.entry))
        elif was.entry is not None:
            self.removed.append(item.row)

    def _feed(self, item: Touched) -> None:
        for origin, number in item.numbers.items():
            old = item.old_numbers.get(origin)
            if number != old:
                self._fed.append((origin, number, item.row))
                if old is not None:
                    self._superseded.append((origin, old, item.row))

    def store(self, connection: sqlite3.Connection, step: int, now_ms: int) -> None:
        """Writes everything as one step of the journal."""
        many = connection.executemany
        # A row that is there already ends the transaction anyhow, so the statement need not be able to undo itself alone.
        insert_rows(connection, "INSERT OR ROLLBACK INTO records", self._inserted)
        if self._updated:
            many(
                "UPDATE records SET name = ?, home = ?, trashed = ?, numbers = ?, record = ? WHERE row = ?",
                self._updated,
            )
        if self._repacked:
            many("UPDATE records SET numbers = ?, record = ? WHERE row = ?", self._repacked)
        if self._superseded:
            many("DELETE FROM feed WHERE origin = ? AND number = ? AND row = ?", self._superseded)
        insert_rows(connection, "INSERT OR REPLACE INTO feed", self._fed)
        self._store_references(connection, now_ms)
        if self.rows:
            store_step(connection, step, self.rows, self.leaves.pack())

    def _store_references(self, connection: sqlite3.Connection, now_ms: int) -> None:
        if self._referring:
            insert_rows(connection, "INSERT OR REPLACE INTO refs", self._referring)
            if connection.execute("SELECT 1 FROM orphans LIMIT 1").fetchone():
                wanted = [(digest,) for digest, _, _ in self._referring]
                connection.executemany("DELETE FROM orphans WHERE digest = ?", wanted)
        if self._unreferring:
            drop_references(connection, self._unreferring, now_ms)


def drop_references(connection: sqlite3.Connection, gone: Sequence[tuple[bytes, int]], now_ms: int) -> None:
    """Deletes references; contents without any other are orphans from now on."""
    connection.executemany("DELETE FROM refs WHERE digest = ? AND row = ?", gone)
    connection.executemany(
        "INSERT OR REPLACE INTO orphans SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM refs WHERE digest = ?1)",
        [(digest, now_ms) for digest in {digest for digest, _ in gone}],
    )


def store_step(connection: sqlite3.Connection, step: int, rows: Sequence[int], leaves: bytes) -> None:
    """Writes into the journal which rows a step touched, and how it changed the leaves (packed)."""
    packed_rows = b"".join([row.to_bytes(8, "big") for row in rows])
    connection.execute("INSERT INTO journal VALUES (?, ?, ?)", (step, packed_rows, leaves))


def read_records(
    connection: sqlite3.Connection, refs: Sequence[tuple[str, str]]
) -> list[tuple[Ref, int, bytes, bytes]]:
    """Of those records that are here: ref, row, packed numbers, packed record; in any order."""
    by_kind: dict[str, list[str]] = {}
    for kind, key in refs:
        by_kind.setdefault(kind, []).append(key)
    found: list[tuple[Ref, int, bytes, bytes]] = []
    for kind, keys in by_kind.items():
        # One prepared statement for any number of keys; json_each costs less than it saves from two keys on.
        which, value = ("= ?", keys[0]) if len(keys) == 1 else ("IN (SELECT value FROM json_each(?))", json.dumps(keys))
        cursor = connection.execute(
            f"SELECT key, row, numbers, record FROM records WHERE kind = ? AND key {which}", (kind, value)
        )
        found.extend((Ref(kind, key), row, numbers, record) for key, row, numbers, record in cursor)
    return found
