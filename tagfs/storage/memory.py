"""The catalog in memory, the reference: every answer by a naive scan, nothing durable. Layer: storage.

It says by example what the docstrings of :class:`~tagfs.storage.interfaces.ICatalog` mean; the contract suite holds the others to the
same answers. Good for tests and simulations of some thousands of records.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache

import msgpack
from zope.interface import implementer

from tagfs.model.entry import (
    KIND,
    Entry,
    compact,
    digests,
    entry,
    home_of,
    id_bytes,
    id_from_bytes,
    is_gone,
    is_whole,
)
from tagfs.model.names import name_key
from tagfs.model.order import Scope
from tagfs.model.paths import child_folder
from tagfs.model.query import Query
from tagfs.model.query.meaning import in_scope, matches
from tagfs.model.record import Record, Ref, encode, merge
from tagfs.storage.holdings import HOLDING, entry_ids, holding, joined, split
from tagfs.storage.interfaces import (
    DIGEST,
    MAX_BATCH,
    MAX_PAGE,
    Changes,
    Facets,
    ICatalog,
    ISelection,
    Numbered,
    Reference,
    References,
    Watcher,
)
from tagfs.storage.leaves import LEAVES, NOTHING, place, record_hash, xor
from tagfs.storage.memory_selection import MemorySelection
from tagfs.storage.vectors import Received, origin


def open_catalog(url: str, node: str) -> MemoryCatalog:
    """A new, empty catalog; ``url`` (``memory:``) says nothing more."""
    return MemoryCatalog(node)


def wall_clock_ms() -> int:
    """Milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000


@lru_cache(1 << 16)
def _partition(entry_id: str) -> int:
    # Simulations ask for the holdings of all partitions again and again.
    return place(Ref(KIND, entry_id))[0]


@implementer(ICatalog)
class MemoryCatalog:
    """Records in a dictionary. ``now_ms`` is the wall clock, for the times at which contents lose their last reference."""

    def __init__(self, node: str, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.node = node
        self.epoch = secrets.token_hex(6)
        self.greatest_stamp = 0
        self._now_ms = now_ms
        self._lock = threading.RLock()
        self._records: dict[Ref, Record] = {}
        self._entries: dict[str, Entry] = {}
        self._references: Counter[bytes] = Counter()
        self._orphans: dict[bytes, int] = {}
        self._held: dict[str, dict[str, bool]] = {node: {}}
        self._news: set[str] = set()
        self._alive = frozenset((node,))
        self._received: dict[str, Received] = {}
        self._numbers: dict[str, dict[Ref, int]] = {}
        self._watcher: Watcher | None = None

    def get(self, refs: Sequence[Ref]) -> Sequence[Record | None]:
        assert len(refs) <= MAX_PAGE
        with self._lock:
            return [self._records.get(ref) for ref in refs]

    def merge(
        self,
        changes: Sequence[Record],
        origins: Mapping[Ref, Mapping[str, int]] | None = None,
        covered: Mapping[str, int] | None = None,
        adopted: Collection[Ref] = (),
        ready: Callable[[], None] | None = None,
    ) -> Sequence[Record]:
        assert len(changes) <= MAX_BATCH
        with self._lock:
            for change in changes:
                place(change.ref)  # refuses a malformed key before anything changed
            if ready is not None:
                ready()
            touched = dict.fromkeys(change.ref for change in changes)
            before = {ref: self._records.get(ref) for ref in touched}
            for change in changes:
                old = self._records.get(change.ref)
                self._records[change.ref] = change if old is None else merge(old, change)
                self._see_stamps(change)
            for ref, old in before.items():
                if ref.kind == KIND:
                    self._settle(ref, old, here=origins is None)
            changed = [ref for ref in touched if self._records[ref] != before[ref]]
            if origins is None:
                self._number(changed)
            else:
                self._note_origins({ref: origins[ref] for ref in touched if ref in origins}, covered or {})
                self._number([ref for ref in changed if ref in adopted])
            return [self._records[change.ref] for change in changes]

    def _see_stamps(self, change: Record) -> None:
        own = (field.stamp.time for field in change.fields.values() if field.stamp.node == self.node)
        self.greatest_stamp = max(self.greatest_stamp, *own, 0)

    def _settle(self, ref: Ref, old: Record | None, here: bool) -> None:
        """Makes of an entry's record, which was ``old`` before the batch, what follows from it."""
        new = self._records[ref] = compact(self._records[ref])
        self._count_references(digests(old) if old else set(), digests(new))
        shown = self._entries.get(ref.key)
        if is_whole(new):
            self._entries[ref.key] = entry(new)
            if shown is None or shown.content.digest != self._entries[ref.key].content.digest:
                self._forget_holders(ref.key)
                self._held[self.node][ref.key] = here
                self._news.add(ref.key)
        elif self._entries.pop(ref.key, None):
            self._forget_holders(ref.key)

    def _forget_holders(self, key: str) -> None:
        self._news.discard(key)
        for noted in self._held.values():
            noted.pop(key, None)

    def _count_references(self, before: set[bytes], after: set[bytes]) -> None:
        self._references.update(after - before)
        self._references.subtract(before - after)
        for digest in after:
            self._orphans.pop(digest, None)
        for digest in before - after:
            if not self._references[digest]:
                self._orphans[digest] = self._now_ms()

    def watch(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def _number(self, changed: Sequence[Ref]) -> None:
        name = origin(self.node, self.epoch)
        received = self._received.setdefault(name, Received())
        first = received.upto + 1
        for number, ref in enumerate(changed, received.upto + 1):
            self._numbers.setdefault(name, {})[ref] = number
            received = received.cover(number)
        self._received[name] = received
        if changed and self._watcher is not None:
            self._watcher(Numbered(name, first, [(ref, encode(self._records[ref])) for ref in changed]))

    def _note_origins(self, origins: Mapping[Ref, Mapping[str, int]], covered: Mapping[str, int]) -> None:
        own = origin(self.node, self.epoch)
        foreseen = max([covered.get(own, 0), *(numbers.get(own, 0) for numbers in origins.values())])
        if foreseen > self._received.get(own, Received()).upto:
            self.renew_epoch()
        for ref, numbers in origins.items():
            for name, number in numbers.items():
                known = self._numbers.setdefault(name, {})
                known[ref] = max(number, known.get(ref, 0))
                self._received[name] = self._received.get(name, Received()).add([number])
        for name, number in covered.items():
            self._received[name] = self._received.get(name, Received()).cover(number)

    def records(self, kind: str, after: str, limit: int) -> Sequence[Record]:
        with self._lock:
            keys = sorted(ref.key for ref in self._records if ref.kind == kind and ref.key > after)
            return [self._records[Ref(kind, key)] for key in keys[:limit]]

    def select(self, query: Query, scope: Scope = Scope.LIVE) -> ISelection:
        with self._lock:
            return MemorySelection(self.entries, [found.id for found in self._matching(query, scope)])

    def _matching(self, query: Query, scope: Scope) -> list[Entry]:
        return [found for found in self._entries.values() if in_scope(found, scope) and self._matches(query, found)]

    def _matches(self, query: Query, found: Entry) -> bool:
        nodes = self.holders(found.id)
        return matches(query, found, copies=len(self._alive.intersection(nodes)), nodes=nodes)

    def entries(self, ids: Iterable[str]) -> list[Entry]:
        """Those of the entries that are still here, as they are now."""
        with self._lock:
            return [self._entries[identifier] for identifier in ids if identifier in self._entries]

    def count(self, query: Query, scope: Scope = Scope.LIVE) -> int:
        with self._lock:
            return len(self._matching(query, scope))

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
        with self._lock:
            tags = [tag for found in self._matching(query, scope) for tag in found.tags]
        counts = Counter(tag for tag in tags if tag.startswith(prefix))
        ranked = sorted(counts.items(), key=lambda item: item[0] if by_name else (-item[1], item[0]))
        return Facets(len(ranked), [item for item in ranked if not by_name or item[0] > after][:limit])

    def named(self, name: str, home: str | None = None) -> Sequence[Entry]:
        with self._lock:
            live = [each for each in self._entries.values() if each.trashed is None]
        found = [each for each in live if name_key(each.name) == name_key(name)]
        if home is not None:
            found = [each for each in found if name_key(home_of(each)) == name_key(home)]
        return sorted(found, key=lambda each: (each.added, each.id))[:MAX_PAGE]

    def folders(self, home: str, limit: int, after: str = "") -> Sequence[str]:
        with self._lock:
            homes = {name_key(home_of(each)) for each in self._entries.values() if each.trashed is None}
        names = {child_folder(name_key(home), each) for each in homes}
        return sorted(name for name in names if name is not None and name > name_key(after))[:limit]

    def vector(self) -> Mapping[str, int]:
        with self._lock:
            return {name: received.upto for name, received in self._received.items() if received.upto}

    def changes(self, vector: Mapping[str, int], limit: int) -> Changes:
        with self._lock:
            here = self.vector()
            asked_on = {name: max(number, here.get(name, 0)) for name, number in vector.items()}
            found: dict[Ref, dict[str, int]] = {}
            covered = {}
            for name in sorted(here):
                asked_on[name] = self._take(name, vector.get(name, 0), here[name], limit, found)
                if asked_on[name] >= here[name]:
                    covered[name] = here[name]
            more = any(asked_on[name] < here[name] for name in here)
            return Changes([self._records[ref] for ref in found], asked_on, more, found, covered)

    def _take(self, name: str, after: int, upto: int, limit: int, found: dict[Ref, dict[str, int]]) -> int:
        """Puts the records of one origin into ``found`` while there is room; returns the number reached."""
        news = sorted((number, ref) for ref, number in self._numbers.get(name, {}).items() if after < number <= upto)
        for number, ref in news:
            if ref not in found and len(found) >= limit:
                return after
            found[ref] = {each: numbers[ref] for each, numbers in self._numbers.items() if ref in numbers}
            after = number
        return max(after, upto)

    def renew_epoch(self) -> str:
        with self._lock:
            self.epoch = secrets.token_hex(6)
            return self.epoch

    def drop(self, refs: Sequence[Ref]) -> int:
        with self._lock:
            gone = [ref for ref in dict.fromkeys(refs) if ref in self._records and is_gone(self._records[ref])]
            for ref in gone:
                del self._records[ref]
                for numbers in self._numbers.values():
                    numbers.pop(ref, None)
            return len(gone)

    def leaves(self, partition: int) -> bytes:
        with self._lock:
            made = [NOTHING] * LEAVES
            for ref, record in self._records.items():
                at, leaf = place(ref)
                if at == partition:
                    made[leaf] = xor(made[leaf], record_hash(encode(record)))
            return b"".join(made)

    def in_leaves(self, partition: int, leaves: Sequence[int]) -> Mapping[Ref, bytes]:
        with self._lock:
            wanted = {(partition, leaf) for leaf in leaves}
            return {ref: record_hash(encode(record)) for ref, record in self._records.items() if place(ref) in wanted}

    def unreferenced(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        with self._lock:
            return [digest for digest in digests if not self._references[digest]]

    def orphans(self, before_ms: int, limit: int) -> Sequence[bytes]:
        with self._lock:
            return [digest for digest, since in self._orphans.items() if since < before_ms][:limit]

    def note_orphans(self, digests: Sequence[bytes], now_ms: int) -> None:
        with self._lock:
            for digest in self.unreferenced(digests):
                self._orphans.setdefault(digest, now_ms)

    def forget_orphans(self, digests: Sequence[bytes]) -> None:
        with self._lock:
            for digest in digests:
                self._orphans.pop(digest, None)

    def expiring(self, trashed_before_ms: int, limit: int) -> Sequence[str]:
        with self._lock:
            trash = (found for found in self._entries.values() if found.trashed is not None)
            return [found.id for found in trash if (found.trashed or 0) < trashed_before_ms][:limit]

    def note_holders(self, node: str, holdings: bytes, held: bool) -> bytes:
        assert len(holdings) <= MAX_PAGE * HOLDING
        others = []
        with self._lock:
            for item in split(holdings):
                (key,) = entry_ids(item)
                if key not in self._entries or self._holding(key) != item:
                    others.append(item)
                    continue
                if node == self.node and self._held[node].get(key, True) != held:
                    self._news.add(key)
                self._held.setdefault(node, {})[key] = held
        return b"".join(others)

    def _holding(self, key: str) -> bytes:
        return holding(key, self._entries[key].content.digest)

    def holdings(self, node: str, partition: int) -> bytes:
        with self._lock:
            keys = [key for key in self._entries if _partition(key) == partition]
            noted = self._held.get(node, {})
            return joined(self._holding(key) for key in keys if noted.get(key, node == self.node))

    def new_holdings(self, limit: int) -> tuple[bytes, bytes]:
        with self._lock:
            taken = [key for key in self._entries if key in self._news][:limit]
            self._news.difference_update(taken)
            held = {key for key in taken if self._held[self.node].get(key, True)}
            return joined(map(self._holding, held)), joined(self._holding(key) for key in taken if key not in held)

    def references(self, after: bytes, limit: int) -> References:
        assert 1 <= limit <= MAX_PAGE
        found = []
        with self._lock:
            for ref, record in self._records.items():
                for digest in digests(record) if ref.kind == KIND else ():
                    at = digest + id_bytes(ref.key)
                    if at > after:
                        shown = self._entries.get(ref.key)
                        found.append((at, shown is not None and shown.content.digest == digest))
        found.sort()
        items = [Reference(at[:DIGEST], id_from_bytes(at[DIGEST:]), current) for at, current in found[:limit]]
        return References(items, found[limit - 1][0] if len(found) >= limit else None)

    def note_alive(self, nodes: Collection[str]) -> None:
        with self._lock:
            self._alive = frozenset(nodes)

    def holders(self, id: str) -> Sequence[str]:
        with self._lock:
            if id not in self._entries:
                return []
            return sorted(node for node, noted in self._held.items() if noted.get(id, node == self.node))

    def statistics(self) -> Mapping[str, int]:
        with self._lock:
            live = [found for found in self._entries.values() if found.trashed is None]
            return {
                "entries": len(live),
                "trash": len(self._entries) - len(live),
                "tags": len({tag for found in live for tag in found.tags}),
                "bytes": sum(found.content.size for found in live),
            }

    def checkpoint(self) -> None:
        pass

    def copy_to(self, directory: str) -> None:
        """Writes all records, encoded, to the file ``records`` there."""
        with self._lock:
            encoded = [encode(record) for record in self._records.values()]
        with open(os.path.join(directory, "records"), "wb") as file:
            file.writelines(msgpack.packb(data) for data in encoded)

    def close(self) -> None:
        pass
