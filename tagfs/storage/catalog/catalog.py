"""The catalog of one node in SQLite: the facade. Layer: storage."""

from __future__ import annotations

import heapq
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from zope.interface import implementer

from tagfs.errors import StorageFull
from tagfs.model.entry import KIND, Entry
from tagfs.model.names import name_key
from tagfs.model.order import Scope
from tagfs.model.query import Query
from tagfs.model.record import Record, Ref, decode
from tagfs.storage.catalog.batch import read_records
from tagfs.storage.catalog.books import Books
from tagfs.storage.catalog.feed import read_changes
from tagfs.storage.catalog.folders import read_folders
from tagfs.storage.catalog.rows import entry_of, in_chunks
from tagfs.storage.catalog.selection import Selection
from tagfs.storage.catalog.upkeep import Upkeep
from tagfs.storage.holdings import HOLDING, ID, entry_ids
from tagfs.storage.interfaces import (
    DIGEST,
    MAX_BATCH,
    MAX_PAGE,
    Changes,
    Facets,
    ICatalog,
    ISelection,
    Reference,
    References,
    Watcher,
)
from tagfs.storage.leaves import LEAVES, record_hash

_MANY_HOLDINGS = 256
"""So many of one partition are quicker found in the index than in the database."""
_FEW_LEAVES = 16
"""So many are sought one by one; for more, all entries of the partition are read."""
_LOG = logging.getLogger(__name__)


@implementer(ICatalog)
class SqliteCatalog:
    """See :class:`~tagfs.storage.interfaces.ICatalog`. Made by :func:`tagfs.storage.catalog.open_catalog`."""

    def __init__(self, books: Books, upkeep: Upkeep) -> None:
        self._books = books
        self._live = books.live
        self._database = books.database
        self._upkeep = upkeep

    @property
    def node(self) -> str:
        """See the interface."""
        return self._books.state.node

    @property
    def epoch(self) -> str:
        """See the interface."""
        return self._books.state.epoch

    @property
    def greatest_stamp(self) -> int:
        """See the interface."""
        return self._books.state.stamp

    def get(self, refs: Sequence[Ref]) -> Sequence[Record | None]:
        """See the interface."""
        assert len(refs) <= MAX_PAGE
        with self._database.reading() as connection:
            records = {ref: decode(data) for ref, _, _, data in read_records(connection, refs)}
        return [records.get(ref) for ref in refs]

    def merge(
        self,
        changes: Sequence[Record],
        origins: Mapping[Ref, Mapping[str, int]] | None = None,
        covered: Mapping[str, int] | None = None,
        adopted: Collection[Ref] = (),
        ready: Callable[[], None] | None = None,
    ) -> Sequence[Record]:
        """See the interface."""
        assert len(changes) <= MAX_BATCH
        return self._books.merge(changes, origins, covered, adopted, ready)

    def watch(self, watcher: Watcher) -> None:
        """See the interface."""
        self._books.watcher = watcher

    def records(self, kind: str, after: str, limit: int) -> Sequence[Record]:
        """See the interface."""
        statement = "SELECT record FROM records WHERE kind = ? AND key > ? ORDER BY key LIMIT ?"
        with self._database.reading() as connection:
            return [decode(data) for (data,) in connection.execute(statement, (kind, after, limit))]

    def select(self, query: Query, scope: Scope = Scope.LIVE) -> ISelection:
        """See the interface."""
        return Selection(self._live, self._database, self._live.select(query, scope))

    def count(self, query: Query, scope: Scope = Scope.LIVE) -> int:
        """See the interface."""
        return self._live.count(query, scope)

    def is_quick(self, query: Query) -> bool:
        """See the interface."""
        return self._live.is_quick(query)

    def facets(
        self,
        query: Query,
        limit: int,
        prefix: str = "",
        by_name: bool = False,
        scope: Scope = Scope.LIVE,
        after: str = "",
    ) -> Facets:
        """See the interface."""
        assert 1 <= limit <= MAX_PAGE
        return self._live.facets(query, scope, limit, prefix, by_name, after)

    def named(self, name: str, home: str | None = None) -> Sequence[Entry]:
        """See the interface."""
        statement = "SELECT record FROM records WHERE name = ? AND trashed IS NULL"
        values = [name_key(name)]
        if home is not None:
            statement += " AND home = ?"
            values.append(name_key(home))
        with self._database.reading() as connection:
            found = (entry_of(data) for (data,) in connection.execute(statement, values))
            return heapq.nsmallest(MAX_PAGE, found, key=lambda each: (each.added, each.id))

    def folders(self, home: str, limit: int, after: str = "") -> Sequence[str]:
        """See the interface."""
        assert 1 <= limit <= MAX_PAGE
        with self._database.snapshot() as connection:
            return read_folders(connection, name_key(home), limit, name_key(after))

    def vector(self) -> Mapping[str, int]:
        """See the interface."""
        return self._books.origins.vector()

    def changes(self, vector: Mapping[str, int], limit: int) -> Changes:
        """See the interface."""
        assert 1 <= limit <= MAX_PAGE
        with self._database.snapshot() as connection:
            return read_changes(connection, vector, limit)

    def renew_epoch(self) -> str:
        """See the interface."""
        return self._books.renew_epoch()

    def drop(self, refs: Sequence[Ref]) -> int:
        """See the interface."""
        assert len(refs) <= MAX_PAGE
        return self._books.drop(refs)

    def leaves(self, partition: int) -> bytes:
        """See the interface."""
        assert 0 <= partition < 256
        return self._books.tree.partition(partition)

    def in_leaves(self, partition: int, leaves: Sequence[int]) -> Mapping[Ref, bytes]:
        """See the interface."""
        places = {partition * LEAVES + leaf for leaf in leaves}
        ends = [(16, leaf << 8 | partition) for leaf in leaves] if len(leaves) <= _FEW_LEAVES else [(8, partition)]
        rows: list[int] = []
        for bits, end in ends:
            with self._live.lock:
                rows += self._live.index.ending(bits, end)
        # Entries by the ends of their ids; what is no entry has an index in the database.
        conditions = [f"name IS NULL AND place IN ({','.join(map(str, places))})"]
        conditions += [f"row IN ({chunk})" for chunk in in_chunks(rows)]
        found = {}
        with self._database.snapshot() as connection:
            for condition in conditions:
                statement = f"SELECT kind, key, place, record FROM records WHERE {condition}"
                for kind, key, place, data in connection.execute(statement):
                    if place in places:
                        found[Ref(kind, key)] = record_hash(data)
        return found

    def unreferenced(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """See the interface."""
        statement = "SELECT 1 FROM refs WHERE digest = ? LIMIT 1"
        with self._database.snapshot() as connection:
            return [digest for digest in digests if connection.execute(statement, (digest,)).fetchone() is None]

    def orphans(self, before_ms: int, limit: int) -> Sequence[bytes]:
        """See the interface."""
        statement = "SELECT digest FROM orphans WHERE since < ? LIMIT ?"
        with self._database.reading() as connection:
            return [digest for (digest,) in connection.execute(statement, (before_ms, limit))]

    def note_orphans(self, digests: Sequence[bytes], now_ms: int) -> None:
        """See the interface."""
        statement = (
            "INSERT OR IGNORE INTO orphans SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM refs WHERE digest = ?1)"
        )
        with self._database.transaction() as connection:
            connection.executemany(statement, [(digest, now_ms) for digest in digests])

    def forget_orphans(self, digests: Sequence[bytes]) -> None:
        """See the interface."""
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM orphans WHERE digest = ?", [(digest,) for digest in digests])

    def expiring(self, trashed_before_ms: int, limit: int) -> Sequence[str]:
        """See the interface."""
        statement = "SELECT key FROM records WHERE trashed < ? LIMIT ?"
        with self._database.reading() as connection:
            return [key for (key,) in connection.execute(statement, (trashed_before_ms, limit))]

    def note_holders(self, node: str, holdings: bytes, held: bool) -> bytes:
        """See the interface."""
        assert len(holdings) <= MAX_PAGE * HOLDING
        one_partition = len(set(holdings[ID - 1 :: HOLDING])) == 1 and len(holdings) >= _MANY_HOLDINGS * HOLDING
        rows = None if one_partition else self._rows(entry_ids(holdings))
        with self._live.lock:
            found, others = self._live.index.find(holdings, rows)
            self._live.index.set_held(node, found, held)
        return others

    def holdings(self, node: str, partition: int) -> bytes:
        """See the interface."""
        assert 0 <= partition < 256
        with self._live.lock:
            return self._live.index.holdings(node, partition)

    def new_holdings(self, limit: int) -> tuple[bytes, bytes]:
        """See the interface."""
        with self._live.lock:
            return self._live.index.take_news(limit)

    def references(self, after: bytes, limit: int) -> References:
        """See the interface."""
        assert 1 <= limit <= MAX_PAGE
        statement = "SELECT * FROM refs WHERE (digest, row) > (?, ?) ORDER BY digest, row LIMIT ?"
        place = after[:DIGEST], int.from_bytes(after[DIGEST:], "big")
        with self._database.reading() as connection:
            rows = connection.execute(statement, (*place, limit)).fetchall()
        last = rows[-1][0] + rows[-1][1].to_bytes(8, "big") if len(rows) == limit else None
        # Most ids are in the index: to read the records for them would take five times as long.
        ids = self._live.known(row for _, row, _ in rows)
        hidden = [row for _, row, _ in rows if row not in ids]
        with self._database.reading() as connection:
            for chunk in in_chunks(hidden):
                ids.update(connection.execute(f"SELECT row, key FROM records WHERE row IN ({chunk})").fetchall())
        found = [Reference(digest, ids[row], bool(current)) for digest, row, current in rows if row in ids]
        return References(found, last)

    def note_alive(self, nodes: Collection[str]) -> None:
        """See the interface."""
        with self._live.lock:
            self._live.index.set_alive(nodes)

    def holders(self, id: str) -> Sequence[str]:
        """See the interface."""
        rows = self._rows([id])
        with self._live.lock:
            return self._live.index.holders(rows[0])[0] if rows else []

    def _rows(self, ids: Sequence[str]) -> list[int]:
        """The rows of those ids that name entries."""
        statement = (
            "SELECT row FROM records WHERE kind = ? AND key IN (SELECT value FROM json_each(?)) AND name IS NOT NULL"
        )
        with self._database.reading() as connection:
            return [row for (row,) in connection.execute(statement, (KIND, json.dumps(ids)))]

    def statistics(self) -> Mapping[str, int]:
        """See the interface."""
        with self._live.lock:
            return self._live.index.statistics()

    def checkpoint(self) -> None:
        """See the interface."""
        self._upkeep.checkpoint()

    def copy_to(self, directory: str) -> None:
        """See the interface."""
        self._upkeep.copy_to(directory)

    def close(self) -> None:
        """See the interface."""
        try:
            if self._database.is_writable:
                self._upkeep.checkpoint()
        except StorageFull as error:
            _LOG.warning("%s", error)
        finally:
            self._database.close()
