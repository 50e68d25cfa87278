"""The index in use by many threads: short turns for everybody, and answers that see whole records. Layer: storage.

Changes enter the index after they were committed, some rows at a time, so that a count on a thread that may not
wait waits for one short turn. A query about names, digests, ids or homes is looked up in the database
first; rows that change meanwhile are decided by their record alone, so that no entry is judged by its old name
and its new tags together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TypeVar, cast

from pyroaring import BitMap

from tagfs.model.entry import Entry
from tagfs.model.order import Cursor, Scope, Sort
from tagfs.model.query import EVERYTHING, Query, Text
from tagfs.model.query.meaning import glob_pattern, in_scope, matches
from tagfs.storage.catalog.lookups import end_of_id
from tagfs.storage.index import Index, Lookups, texts
from tagfs.storage.interfaces import Facets

TURN = 128
"""Changed rows that enter the index in one turn: about a millisecond and a half."""
_MANY = 64
"""So many new rows are quicker taken in together than one by one."""

T = TypeVar("T")
Fetch = Callable[[Iterable[int]], Mapping[int, Entry]]
"""Reads the entries of rows as they are now."""


class FairLock:
    """A lock that is given to those who wait in turn: whoever lets it go and wants it again waits behind them.

    (``threading.Lock`` mostly goes back to the one that runs, so that a loop of turns would keep all others out.)
    """

    def __init__(self) -> None:
        self._next = threading.Lock()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._next:
            self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def is_free(self) -> bool:
        """Whether nobody has it or waits for it at this moment."""
        return not (self._next.locked() or self._lock.locked())


class _LookedUp:
    """Answers to lookups made before."""

    def __init__(self, answers: Mapping[Text, BitMap]) -> None:
        self._answers = answers

    def rows(self, field: str, pattern: str, glob: bool) -> Iterable[int]:
        return self._answers[Text(field, pattern, glob)]


NO_LOOKUPS = _LookedUp({})


class LiveIndex:
    """An :class:`Index` and its lock. ``lookups`` and ``fetch`` ask the database; they are called without the lock."""

    def __init__(self, index: Index, lookups: Lookups, fetch: Fetch) -> None:
        self.index = index
        self.lock = FairLock()
        self._lookups = lookups
        self._fetch = fetch
        self._pending = BitMap()
        self._watching: list[BitMap] = []

    def __len__(self) -> int:
        """How many rows there are."""
        return self.count(EVERYTHING, Scope.ALL)

    def announce(self, rows: Iterable[int]) -> None:
        """Says which rows are about to be committed; :meth:`settle` ends it, whatever became of them."""
        with self.lock:
            self._pending.update(rows)
            for watched in self._watching:
                watched |= self._pending

    def settle(self) -> None:
        """The rows announced are in the index, or were not committed."""
        with self.lock:
            self._pending.clear()

    def apply(
        self,
        new: Sequence[tuple[int, Entry]],
        put: Sequence[tuple[int, Entry]],
        removed: Sequence[int],
        here: bool,
    ) -> None:
        """Takes in committed rows: those of new entries (ascending), of changed ones, and of those that are gone. ``here``
        says whether this node holds the contents that are new."""
        for part in _turns(new):
            with self.lock:
                if len(part) >= _MANY:
                    self.index.put_many([row for row, _ in part], [entry for _, entry in part], here)
                else:
                    for row, entry in part:
                        self.index.put(row, entry, here)
        for part in _turns(put):
            with self.lock:
                for row, entry in part:
                    self.index.put(row, entry, here)
        for rows in _turns(removed):
            with self.lock:
                for row in rows:
                    self.index.remove(row)

    def select(self, query: Query, scope: Scope) -> BitMap:
        """The rows that match now."""
        self._in_turns(self.index.prepare(query))
        wanted = list(texts(query))
        if wanted:
            return self._select_looked_up(query, scope, wanted)
        with self.lock:
            return self.index.scoped(self.index.evaluate(query, NO_LOOKUPS), scope)

    def _select_looked_up(self, query: Query, scope: Scope, wanted: Sequence[Text]) -> BitMap:
        watched = self._watch()
        try:
            answers = {text: self._look_up(text) for text in wanted}
            with self.lock:
                found = self.index.scoped(self.index.evaluate(query, _LookedUp(answers)), scope)
                changed = watched & self.index.evaluate(EVERYTHING, NO_LOOKUPS)
        finally:
            with self.lock:
                self._watching = [other for other in self._watching if other is not watched]
        if changed:
            found -= changed
            found |= self._judge(query, scope, changed)
        return found

    def _look_up(self, text: Text) -> BitMap:
        end = end_of_id(text.pattern) if text.field == "id" and text.glob else None
        if end is None:
            return BitMap(self._lookups.rows(text.field, text.pattern, text.glob))
        with self.lock:
            rows = list(self.index.ending(*end))
            ids = self.index.ids(rows)
        fits = glob_pattern(text.pattern).fullmatch
        return BitMap([row for row, identifier in zip(rows, ids, strict=True) if fits(identifier)])

    def _watch(self) -> BitMap:
        """A bitmap to which every row that changes from now on is added."""
        with self.lock:
            watched = self._pending.copy()
            self._watching.append(watched)
        return watched

    def _judge(self, query: Query, scope: Scope, rows: BitMap) -> BitMap:
        """Those rows whose entries match, each by its record as it is now."""
        found = BitMap()
        for row, entry in self._fetch(rows).items():
            if in_scope(entry, scope):
                with self.lock:
                    nodes, copies = self.index.holders(row)
                if matches(query, entry, copies=copies, nodes=nodes):
                    found.add(row)
        return found

    def count(self, query: Query, scope: Scope) -> int:
        """How many rows match now."""
        if any(texts(query)):
            return len(self.select(query, scope))
        self._in_turns(self.index.prepare(query))
        with self.lock:
            return self.index.count(query, scope, NO_LOOKUPS)

    def is_quick(self, query: Query) -> bool:
        """As :meth:`Index.is_quick`; False, too, where somebody is at the index: one must wait, and who asks may not."""
        if not self.lock.is_free():
            return False
        with self.lock:
            return self.index.is_quick(query)

    def facets(self, query: Query, scope: Scope, limit: int, prefix: str, by_name: bool, after: str) -> Facets:
        """The tags of what matches; in turns, since very many may."""
        rows = self.select(query, scope)
        with self.lock:
            steps = self.index.facet_steps(rows, limit, prefix, by_name, after)
        return self._in_turns(steps)

    def _in_turns(self, steps: Generator[None, None, T]) -> T:
        """What comes of steps, each of which is a turn with the lock."""
        while True:
            try:
                with self.lock:
                    next(steps)
            except StopIteration as end:
                return cast(T, end.value)

    def first(self, rows: BitMap, sort: Sort, after: Cursor | None, limit: int) -> list[int]:
        """The first of those of ``rows`` that are still there."""
        with self.lock:
            there = rows & self.index.evaluate(EVERYTHING, NO_LOOKUPS)
            return self.index.first(there, sort, after, limit)

    def known(self, rows: Iterable[int]) -> dict[int, str]:
        """The entry ids of those of the rows that are there."""
        wanted = BitMap(rows)
        with self.lock:
            there = list(wanted & self.index.evaluate(EVERYTHING, NO_LOOKUPS))
            return dict(zip(there, self.index.ids(there), strict=True))

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The entry ids of rows."""
        with self.lock:
            return self.index.ids(rows)


def _turns(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + TURN] for start in range(0, len(items), TURN))
