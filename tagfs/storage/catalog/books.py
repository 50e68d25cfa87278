"""What a catalog keeps in memory beside its database, and the only ways to change both together. Layer: storage.

A change is committed first and entered here after, under the database's lock for writers; whoever is told that it is done
sees it in both.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from tagfs.model.entry import is_gone
from tagfs.model.record import Record, Ref, decode
from tagfs.storage.catalog.batch import Batch, Touched, read_records, store_step
from tagfs.storage.catalog.database import Database
from tagfs.storage.catalog.live import LiveIndex
from tagfs.storage.catalog.origins import Origins
from tagfs.storage.catalog.rows import unpack_numbers
from tagfs.storage.catalog.tree import LeafChanges, Tree, place_number
from tagfs.storage.interfaces import Numbered, Watcher
from tagfs.storage.vectors import origin


def wall_clock_ms() -> int:
    """Milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000


def new_epoch() -> str:
    """The name of an epoch that was never there before."""
    return secrets.token_hex(6)


class State(NamedTuple):
    """The one row of the table ``state``.

    ``stamp`` is the greatest own stamp, ``next_row`` the row of the next new record, ``step`` the number of the last step
    in the journal, ``snapshot`` the token of the index's snapshot, ``copied`` 1 in a back-up that was not opened yet.
    """

    node: str
    epoch: str
    stamp: int
    next_row: int
    step: int
    snapshot: str
    copied: int

    @staticmethod
    def load(connection: sqlite3.Connection) -> State:
        """As stored."""
        return State(*connection.execute("SELECT * FROM state").fetchone())

    def store(self, connection: sqlite3.Connection) -> None:
        """Writes it."""
        names = ", ".join(f"{name} = ?" for name in self._fields)
        connection.execute(f"UPDATE state SET {names}", self)


class Books:
    """State, origins, leaves and index of one database.

    Lock order: ``database.writing``, then the index's lock. Nobody waits for the first while holding the second.
    """

    def __init__(
        self,
        database: Database,
        live: LiveIndex,
        tree: Tree,
        state: State,
        origins: Origins,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.database = database
        self.live = live
        self.tree = tree
        self.state = state
        self.origins = origins
        self.watcher: Watcher | None = None
        self._now_ms = now_ms

    def merge(
        self,
        changes: Sequence[Record],
        origins: Mapping[Ref, Mapping[str, int]] | None,
        covered: Mapping[str, int] | None,
        adopted: Collection[Ref],
        ready: Callable[[], None] | None = None,
    ) -> Sequence[Record]:
        """See :meth:`ICatalog.merge <tagfs.storage.interfaces.ICatalog.merge>`."""
        with self.database.writing:
            try:
                with self.database.transaction() as connection:
                    batch = Batch(self.state.next_row)
                    batch.load(connection, changes)
                    batch.merge(changes)
                    known = self.origins.draft()
                    state, own, numbered = self._number(batch, known, origins, covered or {}, adopted)
                    state = self._advance(state, batch, changes)
                    batch.prepare()
                    batch.store(connection, state.step, self._now_ms())
                    known.store(connection)
                    if state != self.state:
                        state.store(connection)
                    if ready is not None:
                        ready()
                    if batch.rows:
                        self.live.announce(batch.rows)
                with self.database.fatal("a committed change could not be taken into the index"):
                    self.live.apply(batch.new, batch.put, batch.removed, here=origins is None)
                    self.tree.change(batch.leaves.pack())
                first = self.origins.upto(own) + 1
                self.state, self.origins = state, known
                if numbered and self.watcher is not None:
                    self.watcher(Numbered(own, first, [(item.ref, item.data) for item in numbered]))
            finally:
                self.live.settle()
        return batch.states(changes)

    def _number(
        self,
        batch: Batch,
        known: Origins,
        origins: Mapping[Ref, Mapping[str, int]] | None,
        covered: Mapping[str, int],
        adopted: Collection[Ref],
    ) -> tuple[State, str, Sequence[Touched]]:
        """Numbers the changes; the state, with a fresh epoch where it turns out to be a restored back-up's, and what got own
        numbers, of which origin."""
        state = self.state
        own = origin(state.node, state.epoch)
        if origins is None:
            batch.number(known, own, batch.changed)
            return state, own, batch.changed
        seen = max([covered.get(own, 0), *(numbers.get(own, 0) for numbers in origins.values())])
        if seen > known.upto(own):
            state = state._replace(epoch=new_epoch())
        batch.note(known, origins)
        for name, number in covered.items():
            known.cover(name, number)
        own = origin(state.node, state.epoch)
        taken = [item for item in batch.changed if item.ref in adopted] if adopted else []
        batch.number(known, own, taken)
        return state, own, taken

    def _advance(self, state: State, batch: Batch, changes: Sequence[Record]) -> State:
        stamp = max(state.stamp, greatest_stamp(changes, state.node))
        step = state.step + 1 if batch.changed else state.step
        return state._replace(stamp=stamp, next_row=batch.next_row, step=step)

    def drop(self, refs: Sequence[Ref]) -> int:
        """See the interface."""
        with self.database.writing:
            with self.database.transaction() as connection:
                found = read_records(connection, list(dict.fromkeys(refs)))
                gone = [each for each in found if is_gone(decode(each[3]))]
                if not gone:
                    return 0
                leaves = LeafChanges()
                for ref, row, numbers, data in gone:
                    leaves.put(place_number(ref), data)
                    feed = [(*number, row) for number in unpack_numbers(numbers).items()]
                    connection.executemany("DELETE FROM feed WHERE origin = ? AND number = ? AND row = ?", feed)
                rows = [row for _, row, _, _ in gone]
                connection.executemany("DELETE FROM records WHERE row = ?", [(row,) for row in rows])
                state = self.state._replace(step=self.state.step + 1)
                store_step(connection, state.step, rows, leaves.pack())
                state.store(connection)
            self.tree.change(leaves.pack())
            self.state = state
        return len(gone)

    def renew_epoch(self) -> str:
        """See the interface."""
        with self.database.writing:
            state = self.state._replace(epoch=new_epoch(), copied=0)
            with self.database.transaction() as connection:
                state.store(connection)
            self.state = state
        return state.epoch


def greatest_stamp(changes: Sequence[Record], node: str) -> int:
    """The greatest time of the stamps of that node in the changes, 0 where there is none."""
    greatest = 0
    for change in changes:
        for _, (time_, maker) in change.fields.values():
            if time_ > greatest and maker == node:
                greatest = time_
    return greatest
