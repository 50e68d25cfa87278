"""A spike: the catalog on PostgreSQL, to prove that the law of the stores mentions no embedded engine.

No part of tagfs. It keeps the contract's core with several doors writing to one engine, in the plainest way: whole
records beside columns to query, tags in an array with a GIN index, locks per record instead of one writer. What a real
one needs besides: a pool of connections, selections that stay on the server, holders of contents, folders by a skip scan.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.rows import tuple_row
from zope.interface import implementer

from tagfs.errors import Corrupt, StorageFull, Unavailable
from tagfs.model.entry import KIND, Entry, compact, digests, entry, home_of, is_gone, is_whole
from tagfs.model.names import name_key, split_tag
from tagfs.model.order import Cursor, Scope, Sort
from tagfs.model.query import (
    And,
    Between,
    Compare,
    Everything,
    HasKey,
    InTrash,
    Not,
    Number,
    Or,
    Query,
    Tag,
    TagGlob,
    Text,
    Untagged,
)
from tagfs.model.query.meaning import glob_pattern, value_test
from tagfs.model.record import Record, Ref, decode, encode, merge
from tagfs.storage.interfaces import (
    MAX_BATCH,
    MAX_PAGE,
    Changes,
    Facets,
    ICatalog,
    ISelection,
    Numbered,
    Page,
    References,
    Watcher,
)
from tagfs.storage.leaves import LEAVES, place, record_hash
from tagfs.storage.vectors import Received, origin

SCHEMA = """
CREATE TABLE records (
    kind text COLLATE "C", key text COLLATE "C", partition int NOT NULL, leaf int NOT NULL, hash bit(128) NOT NULL,
    record bytea NOT NULL, gone boolean NOT NULL,
    whole boolean NOT NULL, name text COLLATE "C", home text COLLATE "C", size bigint, added bigint, modified bigint,
    trashed bigint, type text, digest text COLLATE "C", tags text[], refs bytea[] NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX ON records USING gin (tags) WHERE whole;
CREATE INDEX ON records USING gin (refs);
CREATE INDEX ON records (name, key) WHERE whole;
CREATE INDEX ON records (home) WHERE whole;
CREATE INDEX ON records (added, key) WHERE whole;
CREATE INDEX ON records (partition, leaf);
CREATE TABLE numbers (
    origin text, kind text COLLATE "C", key text COLLATE "C", number bigint NOT NULL, PRIMARY KEY (origin, kind, key)
);
CREATE INDEX ON numbers (origin, number);
CREATE TABLE origins (name text PRIMARY KEY, upto bigint NOT NULL, ranges jsonb NOT NULL);
CREATE TABLE nodes (node text PRIMARY KEY, epoch text NOT NULL, stamp bigint NOT NULL);
CREATE TABLE orphans (digest bytea PRIMARY KEY, since bigint NOT NULL);
"""
COLUMNS = "kind, key, partition, leaf, hash, record, gone, whole, name, home, size, added, modified, trashed, type, digest, tags, refs"
SORTS = {"name": "name", "size": "size", "added": "added", "modified": "modified"}
TEXTS = {"name": "name", "home": "home", "digest": "digest", "id": "key", "type": "type"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@implementer(ICatalog)
class PostgresCatalog:
    """One door to the engine. ``dsn`` names the database, ``schema`` where in it the tables are."""

    def __init__(self, dsn: str, schema: str, node: str) -> None:
        self.node = node
        self._dsn = dsn
        self._schema = schema
        self._local = threading.local()
        self._connections: list[psycopg.Connection] = []
        self._watcher: Watcher | None = None
        self._in_order = threading.Lock()
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (schema,))
            cursor.execute("SELECT to_regclass('records')")
            if cursor.fetchone() == (None,):
                cursor.execute(SCHEMA)
            cursor.execute("INSERT INTO nodes VALUES (%s, %s, 0) ON CONFLICT DO NOTHING", (node, secrets.token_hex(6)))

    @contextmanager
    def _transaction(self, level: str = "READ COMMITTED") -> Iterator[psycopg.Cursor]:
        """A transaction of this thread's connection; faults of the engine in tagfs's words."""
        try:
            connection = getattr(self._local, "connection", None)
            if connection is None or connection.closed:
                connection = psycopg.connect(self._dsn, autocommit=True, row_factory=tuple_row)
                connection.execute(f"SET search_path TO {self._schema}")
                self._local.connection = connection
                self._connections.append(connection)
            with connection.transaction():
                cursor = connection.cursor()
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
                yield cursor
        except psycopg.errors.DiskFull as error:
            raise StorageFull("no space is left for the catalog") from error
        except psycopg.errors.DataCorrupted as error:
            raise Corrupt(f"the catalog is damaged: {error}") from error
        except psycopg.OperationalError as error:
            raise Unavailable(f"PostgreSQL cannot be reached: {error}") from error

    def _all(self, statement: str, values: Sequence[object] = ()) -> list[tuple]:
        with self._transaction() as cursor:
            return cursor.execute(statement, values).fetchall()

    @property
    def epoch(self) -> str:
        return self._all("SELECT epoch FROM nodes WHERE node = %s", (self.node,))[0][0]

    @property
    def greatest_stamp(self) -> int:
        return self._all("SELECT stamp FROM nodes WHERE node = %s", (self.node,))[0][0]

    # Records

    def get(self, refs: Sequence[Ref]) -> Sequence[Record | None]:
        with self._transaction() as cursor:
            found = _read(cursor, refs)
        return [found.get(ref) for ref in refs]

    def records(self, kind: str, after: str, limit: int) -> Sequence[Record]:
        statement = "SELECT record FROM records WHERE kind = %s AND key > %s ORDER BY key LIMIT %s"
        return [decode(data) for (data,) in self._all(statement, (kind, after, limit))]

    def watch(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def merge(
        self,
        changes: Sequence[Record],
        origins: Mapping[Ref, Mapping[str, int]] | None = None,
        covered: Mapping[str, int] | None = None,
        adopted: Collection[Ref] = (),
        ready: Callable[[], None] | None = None,
    ) -> Sequence[Record]:
        if self._watcher is None or (origins is not None and not adopted):
            return self._merge(changes, origins, covered, adopted, ready)[0]
        with self._in_order:  # two commits of this door are told in the order of their numbers
            states, numbered = self._merge(changes, origins, covered, adopted, ready)
            if numbered.records:
                self._watcher(numbered)
        return states

    def _merge(
        self,
        changes: Sequence[Record],
        origins: Mapping[Ref, Mapping[str, int]] | None,
        covered: Mapping[str, int] | None,
        adopted: Collection[Ref],
        ready: Callable[[], None] | None,
    ) -> tuple[Sequence[Record], Numbered]:
        assert len(changes) <= MAX_BATCH
        touched = list(dict.fromkeys(change.ref for change in changes))
        for ref in touched:
            place(ref)
        with self._transaction() as cursor:
            # A lock per record, in one order for all doors: also for records that are not there yet.
            for ref in sorted(touched):
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (f"{ref.kind} {ref.key}",))
            before = _read(cursor, touched)
            states = dict(before)
            for change in changes:
                old = states.get(change.ref)
                states[change.ref] = change if old is None else merge(old, change)
            for ref in touched:
                if ref.kind == KIND:
                    states[ref] = compact(states[ref])
            changed = [ref for ref in touched if states[ref] != before.get(ref)]
            _write(cursor, [states[ref] for ref in changed])
            lost = {digest for ref in changed if ref in before for digest in digests(before[ref])}
            _count_references(cursor, lost, {digest for ref in changed for digest in digests(states[ref])})
            mine = [ref for ref in changed if origins is None or ref in adopted]
            own, upto = self._number(cursor, touched, mine, origins, covered or {})
            stamps = [f.stamp.time for change in changes for f in change.fields.values() if f.stamp.node == self.node]
            if stamps:
                statement = "UPDATE nodes SET stamp = greatest(stamp, %s) WHERE node = %s"
                cursor.execute(statement, (max(stamps), self.node))
            if ready is not None:
                ready()
        numbered = Numbered(own, upto + 1, [(ref, encode(states[ref])) for ref in mine])
        return [states[change.ref] for change in changes], numbered

    def _number(
        self,
        cursor: psycopg.Cursor,
        touched: Sequence[Ref],
        mine: Sequence[Ref],
        origins: Mapping[Ref, Mapping[str, int]] | None,
        covered: Mapping[str, int],
    ) -> tuple[str, int]:
        """Numbers the changes, ``mine`` as own ones, too; returns the own origin, and the last number it had given before."""
        epoch = cursor.execute("SELECT epoch FROM nodes WHERE node = %s FOR UPDATE", (self.node,)).fetchone()
        own = origin(self.node, epoch[0])
        known = _origins(cursor)
        given = {ref: dict(origins[ref]) for ref in touched if ref in origins} if origins is not None else {}
        seen = max([covered.get(own, 0), *(numbers.get(own, 0) for numbers in given.values())])
        if seen > known.get(own, Received()).upto:
            fresh = secrets.token_hex(6)
            cursor.execute("UPDATE nodes SET epoch = %s WHERE node = %s", (fresh, self.node))
            own = origin(self.node, fresh)
        upto = known.get(own, Received()).upto
        for at, ref in enumerate(mine, 1):
            given.setdefault(ref, {})[own] = upto + at
        arrived: dict[str, list[int]] = {name: [] for name in covered}
        for ref, numbers in given.items():
            for name, number in numbers.items():
                arrived.setdefault(name, []).append(number)
                cursor.execute(
                    "INSERT INTO numbers VALUES (%s, %s, %s, %s) ON CONFLICT (origin, kind, key)"
                    " DO UPDATE SET number = greatest(numbers.number, excluded.number)",
                    (name, ref.kind, ref.key, number),
                )
        for name, numbers in arrived.items():
            received = known.get(name, Received()).add(numbers).cover(covered.get(name, 0))
            cursor.execute(
                "INSERT INTO origins VALUES (%s, %s, %s) ON CONFLICT (name) DO UPDATE"
                " SET upto = excluded.upto, ranges = excluded.ranges",
                (name, received.upto, json.dumps(received.ranges)),
            )
        return own, upto

    def drop(self, refs: Sequence[Ref]) -> int:
        with self._transaction() as cursor:
            dropped = 0
            for ref in dict.fromkeys(refs):
                cursor.execute("DELETE FROM records WHERE kind = %s AND key = %s AND gone", ref)
                if cursor.rowcount:
                    dropped += 1
                    cursor.execute("DELETE FROM numbers WHERE kind = %s AND key = %s", ref)
            return dropped

    # Changes

    def vector(self) -> Mapping[str, int]:
        return dict(self._all("SELECT name, upto FROM origins WHERE upto > 0"))

    def changes(self, vector: Mapping[str, int], limit: int) -> Changes:
        found: dict[Ref, dict[str, int]] = {}
        with self._transaction("REPEATABLE READ") as cursor:
            here = {name: received.upto for name, received in _origins(cursor).items() if received.upto}
            ask_on = {name: max(number, here.get(name, 0)) for name, number in vector.items()}
            for name in sorted(here):
                ask_on[name] = _take(cursor, name, vector.get(name, 0), here[name], limit, found)
            states = _read(cursor, list(found))
            for name, kind, key, number in cursor.execute("SELECT * FROM numbers").fetchall():
                if Ref(kind, key) in found:
                    found[Ref(kind, key)][name] = number
        covered = {name: upto for name, upto in here.items() if ask_on[name] >= upto}
        return Changes([states[ref] for ref in found], ask_on, len(covered) < len(here), found, covered)

    def renew_epoch(self) -> str:
        epoch = secrets.token_hex(6)
        with self._transaction() as cursor:
            cursor.execute("UPDATE nodes SET epoch = %s WHERE node = %s", (epoch, self.node))
        return epoch

    def leaves(self, partition: int) -> bytes:
        statement = "SELECT leaf, bit_xor(hash)::text FROM records WHERE partition = %s GROUP BY leaf"
        sums = {leaf: int(bits, 2) for leaf, bits in self._all(statement, (partition,))}
        return b"".join(sums.get(leaf, 0).to_bytes(16, "big") for leaf in range(LEAVES))

    def in_leaves(self, partition: int, leaves: Sequence[int]) -> Mapping[Ref, bytes]:
        statement = "SELECT kind, key, record FROM records WHERE partition = %s AND leaf = ANY(%s)"
        return {
            Ref(kind, key): record_hash(data) for kind, key, data in self._all(statement, (partition, list(leaves)))
        }

    # Queries

    def select(self, query: Query, scope: Scope = Scope.LIVE) -> ISelection:
        with self._transaction("REPEATABLE READ") as cursor:
            condition, values = self._condition(cursor, query, scope)
            cursor.execute(f"SELECT key FROM records WHERE {condition}", values)
            return PostgresSelection(self, [key for (key,) in cursor.fetchall()])

    def count(self, query: Query, scope: Scope = Scope.LIVE) -> int:
        with self._transaction("REPEATABLE READ") as cursor:
            condition, values = self._condition(cursor, query, scope)
            return cursor.execute(f"SELECT count(*) FROM records WHERE {condition}", values).fetchone()[0]

    def _condition(self, cursor: psycopg.Cursor, query: Query, scope: Scope) -> tuple[str, list[object]]:
        condition, values = _Compiler(cursor).condition(query)
        scopes = {Scope.LIVE: " AND trashed IS NULL", Scope.TRASH: " AND trashed IS NOT NULL", Scope.ALL: ""}
        return f"whole AND {condition}{scopes[scope]}", values

    def is_quick(self, query: Query) -> bool:
        return False

    def facets(
        self,
        query: Query,
        limit: int,
        prefix: str = "",
        by_name: bool = False,
        scope: Scope = Scope.LIVE,
        after: str = "",
    ) -> Facets:
        with self._transaction("REPEATABLE READ") as cursor:
            condition, values = self._condition(cursor, query, scope)
            rows = cursor.execute(
                f"SELECT tag, count(*) FROM records, unnest(tags) AS tag WHERE {condition} GROUP BY tag", values
            ).fetchall()
        counts = [(tag, count) for tag, count in rows if tag.startswith(prefix)]
        counts.sort(key=lambda item: item[0] if by_name else (-item[1], item[0]))
        behind = [item for item in counts if item[0] > after] if by_name else counts
        return Facets(len(counts), behind[:limit])

    def named(self, name: str, home: str | None = None) -> Sequence[Entry]:
        where, values = "whole AND name = %s AND trashed IS NULL", [name_key(name)]
        if home is not None:
            where, values = f"{where} AND home = %s", [*values, name_key(home)]
        rows = self._all(f"SELECT record FROM records WHERE {where} ORDER BY added, key LIMIT {MAX_PAGE}", values)
        return [entry(decode(data)) for (data,) in rows]

    def folders(self, home: str, limit: int, after: str = "") -> Sequence[str]:
        prefix = name_key(f"{home}/" if home else "")
        rows = self._all("SELECT DISTINCT home FROM records WHERE whole AND trashed IS NULL")
        below = {row[0][len(prefix) :].split("/")[0] for row in rows if row[0].startswith(prefix) and row[0] != prefix}
        return sorted(name for name in below if name > name_key(after))[:limit]

    # Contents

    def unreferenced(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        with self._transaction() as cursor:
            return [digest for digest in digests if not _is_referenced(cursor, digest)]

    def orphans(self, before_ms: int, limit: int) -> Sequence[bytes]:
        return [row[0] for row in self._all("SELECT digest FROM orphans WHERE since < %s LIMIT %s", (before_ms, limit))]

    def note_orphans(self, digests: Sequence[bytes], now_ms: int) -> None:
        with self._transaction() as cursor:
            for digest in digests:
                if not _is_referenced(cursor, digest):
                    cursor.execute("INSERT INTO orphans VALUES (%s, %s) ON CONFLICT DO NOTHING", (digest, now_ms))

    def forget_orphans(self, digests: Sequence[bytes]) -> None:
        with self._transaction() as cursor:
            cursor.execute("DELETE FROM orphans WHERE digest = ANY(%s)", (list(digests),))

    def expiring(self, trashed_before_ms: int, limit: int) -> Sequence[str]:
        statement = "SELECT key FROM records WHERE whole AND trashed < %s LIMIT %s"
        return [key for (key,) in self._all(statement, (trashed_before_ms, limit))]

    def note_holders(self, node: str, holdings: bytes, held: bool) -> bytes:
        raise NotImplementedError

    def holdings(self, node: str, partition: int) -> bytes:
        raise NotImplementedError

    def new_holdings(self, limit: int) -> tuple[bytes, bytes]:
        raise NotImplementedError

    def references(self, after: bytes, limit: int) -> References:
        raise NotImplementedError

    def note_alive(self, nodes: Sequence[str]) -> None:
        raise NotImplementedError

    def holders(self, id: str) -> Sequence[str]:
        raise NotImplementedError

    def statistics(self) -> Mapping[str, int]:
        (found,) = self._all(
            "SELECT count(*) FILTER (WHERE trashed IS NULL), count(*) FILTER (WHERE trashed IS NOT NULL),"
            " coalesce(sum(size) FILTER (WHERE trashed IS NULL), 0) FROM records WHERE whole"
        )
        (tags,) = self._all(
            "SELECT count(DISTINCT tag) FROM records, unnest(tags) AS tag WHERE whole AND trashed IS NULL"
        )
        return {"entries": found[0], "trash": found[1], "tags": tags[0], "bytes": int(found[2])}

    def checkpoint(self) -> None:
        pass

    def copy_to(self, directory: str) -> None:
        path = os.path.join(directory, "records.copy")
        statement = "COPY records TO STDOUT (FORMAT binary)"
        with self._transaction() as cursor, cursor.copy(statement) as copy, open(path, "wb") as file:
            file.writelines(copy)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@implementer(ISelection)
class PostgresSelection:
    """The ids that matched; kept here, which a real one would not do."""

    def __init__(self, catalog: PostgresCatalog, ids: list[str]) -> None:
        self._catalog = catalog
        self._ids = ids
        self.total = len(ids)

    def page(self, sort: Sort, after: Cursor | None, limit: int) -> Page:
        column, direction = SORTS[sort.key], "DESC" if sort.descending else "ASC"
        where, values = "whole AND kind = %s AND key = ANY(%s)", [KIND, self._ids]
        if after is not None:
            where += f" AND ({column}, key) {'<' if sort.descending else '>'} (%s, %s)"
            values += [after.value, after.id]
        rows = self._catalog._all(
            f"SELECT record, {column} FROM records WHERE {where} ORDER BY {column} {direction}, key {direction} LIMIT %s",
            [*values, limit + 1],
        )
        entries = [entry(decode(data)) for data, _ in rows[:limit]]
        return Page(entries, Cursor(rows[limit - 1][1], entries[-1].id) if len(rows) > limit else None)

    def pages(self, sort: Sort, limit: int) -> Iterator[Sequence[Entry]]:
        after = None
        while True:
            page = self.page(sort, after, limit)
            if page.entries:
                yield page.entries
            after = page.next
            if after is None:
                return

    def ids(self, limit: int) -> Iterator[Sequence[str]]:
        for start in range(0, len(self._ids), limit):
            yield self._ids[start : start + limit]


class _Compiler:
    """Queries to conditions. Tags by pattern or comparison are first resolved to the tags that there are."""

    def __init__(self, cursor: psycopg.Cursor) -> None:
        self._cursor = cursor

    def condition(self, query: Query) -> tuple[str, list[object]]:
        match query:
            case Everything():
                return "true", []
            case Untagged():
                return "tags = '{}'", []
            case InTrash():
                return "trashed IS NOT NULL", []
            case Tag(tag=tag):
                return "tags @> ARRAY[%s]", [tag]
            case TagGlob() | HasKey() | Compare() | Between():
                return "tags && %s", [self._tags(query)]
            case Number(field=field, low=low, high=high) if field != "copies":
                least, greatest = -(1 << 63), (1 << 63) - 1
                return f"{field} BETWEEN %s AND %s", [least if low is None else low, greatest if high is None else high]
            case Text(field=field, pattern=pattern, glob=glob) if field in TEXTS:
                column = "lower(type)" if field == "type" else TEXTS[field]
                return f"{column} {'LIKE' if glob else '='} %s", [_like(pattern) if glob else pattern]
            case Not(item=item):
                condition, values = self.condition(item)
                return f"NOT ({condition})", values
            case And(items=items) | Or(items=items):
                parts = [self.condition(item) for item in items]
                joined = (" AND " if isinstance(query, And) else " OR ").join(
                    f"({condition})" for condition, _ in parts
                )
                return f"({joined})", [value for _, values in parts for value in values]
        raise NotImplementedError(query)

    def _tags(self, query: TagGlob | HasKey | Compare | Between) -> list[str]:
        there = self._cursor.execute("SELECT DISTINCT unnest(tags) FROM records WHERE whole").fetchall()
        tags = [tag for (tag,) in there]
        if isinstance(query, TagGlob):
            return list(filter(glob_pattern(query.pattern).fullmatch, tags))
        pairs = [(tag, pair[1]) for tag in tags if (pair := split_tag(tag)) and pair[0] == query.key]
        fits = (lambda value: True) if isinstance(query, HasKey) else value_test(query)
        return [tag for tag, value in pairs if fits(value)]


def _like(pattern: str) -> str:
    for special in "\\%_":
        pattern = pattern.replace(special, f"\\{special}")
    return pattern.replace("*", "%").replace("?", "_")


def _read(cursor: psycopg.Cursor, refs: Sequence[Ref]) -> dict[Ref, Record]:
    kinds, keys = [ref.kind for ref in refs], [ref.key for ref in refs]
    cursor.execute(
        "SELECT record FROM records JOIN unnest(%s::text[], %s::text[]) AS asked (kind, key) USING (kind, key)",
        (kinds, keys),
    )
    return {record.ref: record for record in (decode(data) for (data,) in cursor.fetchall())}


def _write(cursor: psycopg.Cursor, states: Sequence[Record]) -> None:
    rows = []
    for state in states:
        data = encode(state)
        found = entry(state) if state.kind == KIND and is_whole(state) else None
        shown: tuple[object, ...] = (None,) * 9
        if found is not None:
            shown = (
                name_key(found.name),
                name_key(home_of(found)),
                found.content.size,
                found.added,
                found.content.modified,
                found.trashed,
                found.content.type,
                found.content.digest.hex(),
                list(found.tags),
            )
        bits = f"{int.from_bytes(record_hash(data), 'big'):0128b}"
        referred = list(digests(state)) if state.kind == KIND else []
        gone = state.kind == KIND and is_gone(state)
        rows.append((*state.ref, *place(state.ref), bits, data, gone, found is not None, *shown, referred))
    names = COLUMNS.split(", ")
    updates = ", ".join(f"{name} = excluded.{name}" for name in names[2:])
    cursor.executemany(
        f"INSERT INTO records ({COLUMNS}) VALUES ({', '.join(['%s'] * len(names))})"
        f" ON CONFLICT (kind, key) DO UPDATE SET {updates}",
        rows,
    )


def _count_references(cursor: psycopg.Cursor, lost: set[bytes], held: set[bytes]) -> None:
    cursor.execute("DELETE FROM orphans WHERE digest = ANY(%s)", (list(held),))
    for digest in lost - held:
        if not _is_referenced(cursor, digest):
            cursor.execute(
                "INSERT INTO orphans VALUES (%s, %s) ON CONFLICT (digest) DO UPDATE SET since = excluded.since",
                (digest, now_ms()),
            )


def _is_referenced(cursor: psycopg.Cursor, digest: bytes) -> bool:
    return cursor.execute("SELECT 1 FROM records WHERE refs @> ARRAY[%s] LIMIT 1", (digest,)).fetchone() is not None


def _origins(cursor: psycopg.Cursor) -> dict[str, Received]:
    cursor.execute("SELECT name, upto, ranges FROM origins")
    return {name: Received(upto, tuple(map(tuple, ranges))) for name, upto, ranges in cursor.fetchall()}


def _take(
    cursor: psycopg.Cursor, name: str, after: int, upto: int, limit: int, found: dict[Ref, dict[str, int]]
) -> int:
    cursor.execute(
        "SELECT number, kind, key FROM numbers WHERE origin = %s AND number > %s AND number <= %s ORDER BY number",
        (name, after, upto),
    )
    for number, kind, key in cursor.fetchall():
        ref = Ref(kind, key)
        if ref not in found and len(found) >= limit:
            return after
        found.setdefault(ref, {})
        after = number
    return max(after, upto)
