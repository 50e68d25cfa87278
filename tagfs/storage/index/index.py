"""The index as the catalog uses it. Layer: storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext

import numpy as np
from pyroaring import BitMap

from tagfs.model.entry import Entry
from tagfs.model.order import Cursor, Scope, Sort
from tagfs.model.query import Between, Compare, HasKey, Query, TagGlob
from tagfs.model.query.meaning import parts
from tagfs.storage.index import copies, order
from tagfs.storage.index.blocks import BLOCK_BITS
from tagfs.storage.index.cost import is_quick
from tagfs.storage.index.evaluation import Evaluation, Lookups
from tagfs.storage.index.facets import facets
from tagfs.storage.index.ids import encode
from tagfs.storage.index.rowsets import Rows, bitmap_of
from tagfs.storage.index.saving import Saving, load
from tagfs.storage.index.state import State
from tagfs.storage.index.steps import Steps, at_once
from tagfs.storage.interfaces import Facets


class Index:
    """Answers tag-queries about entries, each named by a row: a number (32 bits) that its owner gives, ascending as
    entries are first stored, and never gives again.

    Not safe for threads: the owner calls it under a lock. Nothing here takes long: what looks at very many things
    comes in steps, between which the lock may be let go. Bitmaps it returns belong to the caller and stay as they
    are, so that they are a selection that later changes do not touch.
    """

    def __init__(self, node: str = "", state: State | None = None) -> None:
        """``node`` is the id of this node, which holds every content unless :meth:`set_held` says otherwise."""
        self._state = state or State(node)

    def put(self, row: int, entry: Entry, here: bool = True) -> None:
        """Makes a row what the entry is now: a new one, or one that changed (the index knows what it was before).

        Where its content is new, no other node holds it until :meth:`set_held` says so; ``here`` says whether this one does.
        """
        self._state.put(row, entry, here)

    def put_many(self, rows: Sequence[int], entries: Sequence[Entry], here: bool = True) -> None:
        """:meth:`put` of many rows that are new, ascending; ten thousand at a time are best."""
        self._state.put_many(rows, entries, here)

    def remove(self, row: int) -> None:
        """Forgets a row: its entry was purged. Harmless where it is not there."""
        self._state.remove(row)

    def set_held(self, node: str, rows: Iterable[int], held: bool) -> None:
        """Notes that a node holds, or does not hold, the contents of these rows: what ``node:`` and ``copies:`` ask."""
        self._state.holders.put(node, rows, held)

    def set_alive(self, nodes: Iterable[str]) -> None:
        """Says on which nodes copies count, this one included if it is among them."""
        self._state.holders.alive = frozenset(nodes)

    def find(self, holdings: bytes, rows: Iterable[int] | None = None) -> tuple[BitMap, bytes]:
        """The rows that these holdings name, among ``rows`` or else those of the partition that all of them are in; and
        the holdings that name none."""
        last = holdings[copies.LAST_OF_ID] if holdings else 0
        candidates = copies.of_partition(self._state, last) if rows is None else BitMap(rows)
        return copies.find(self._state, holdings, candidates)

    def holdings(self, node: str, partition: int) -> bytes:
        """The holdings of the rows of a partition whose content a node holds, sorted."""
        rows = self._state.holders.rows(node, copies.of_partition(self._state, partition))
        return copies.holdings(self._state, rows)

    def take_news(self, limit: int) -> tuple[bytes, bytes]:
        """Takes at most ``limit`` rows with something new about this node's copy: holdings that it has, and that it lacks."""
        holders = self._state.holders
        taken = holders.take_news(limit)
        held = holders.rows(holders.node, taken)
        return copies.holdings(self._state, held), copies.holdings(self._state, taken - held)

    def forget_news(self) -> None:
        """Nothing is new any more."""
        self._state.holders.news.clear()

    def prepare(self, query: Query) -> Steps[None]:
        """Makes :meth:`evaluate` and :meth:`count` of this query short, where it is about more tags than can be looked
        at in one turn; a generator that pauses every few milliseconds. They are right without it, too."""
        for part in parts(query):
            if isinstance(part, TagGlob | HasKey | Compare | Between):
                yield from self._state.matching.prepare(part)

    def evaluate(self, query: Query, lookups: Lookups) -> BitMap:
        """All rows that match, in the trash or not. ``lookups`` is asked for what
        :func:`~tagfs.storage.index.evaluation.texts` lists."""
        everything = self._state.all
        return everything & Evaluation(self._state, lookups).rows(query, everything)

    def scoped(self, bitmap: BitMap, scope: Scope) -> BitMap:
        """Those rows of a bitmap that a query of that scope ranges over."""
        if scope is Scope.ALL:
            return bitmap
        return bitmap - self._state.trash if scope is Scope.LIVE else bitmap & self._state.trash

    def count(self, query: Query, scope: Scope, lookups: Lookups) -> int:
        """How many rows of that scope match."""
        evaluation = Evaluation(self._state, lookups)
        if scope is Scope.LIVE:
            return evaluation.count_live(query)
        return evaluation.count(query, self._state.trash if scope is Scope.TRASH else self._state.all)

    def is_quick(self, query: Query) -> bool:
        """Whether :meth:`count` of this query needs no lookups and takes less than about a millisecond."""
        return is_quick(self._state, query)

    def first(self, bitmap: BitMap, sort: Sort, after: Cursor | None, limit: int) -> list[int]:
        """At most ``limit`` rows of a bitmap, in order, behind ``after`` or from the start where it is None.

        ``sort.key`` is one of :data:`tagfs.storage.index.order.NUMBERS`. Rows removed since are among them.
        """
        return order.first(self._state.blocks, bitmap, sort, after, limit)

    def ordered(self, bitmap: BitMap, sort: Sort) -> Rows:
        """All rows of a bitmap in order, as :meth:`first`; a million take some tenths of a second."""
        return order.ordered(self._state.blocks, bitmap, sort)

    def facets(self, bitmap: BitMap, limit: int, prefix: str = "", by_name: bool = False, after: str = "") -> Facets:
        """The ``limit`` most frequent tags of these rows, or the first by name, as ICatalog.facets says; exact."""
        return at_once(self.facet_steps(bitmap, limit, prefix, by_name, after))

    def facet_steps(
        self, bitmap: BitMap, limit: int, prefix: str = "", by_name: bool = False, after: str = ""
    ) -> Steps[Facets]:
        """:meth:`facets` as a generator that pauses every few milliseconds, and returns them in the end."""
        return facets(self._state, bitmap, limit, prefix, by_name, after)

    def ids(self, rows: Sequence[int] | Rows) -> list[str]:
        """The entry ids of these rows, in the order given."""
        wanted = np.asarray(rows, dtype=np.uint32)
        ascending = np.argsort(wanted, kind="stable")
        blocks = self._state.blocks
        ids = np.empty((2, len(wanted)), dtype=np.int64)
        for half, column in enumerate(("high", "low")):
            ids[half, ascending] = blocks.gather(column, wanted[ascending])
        return encode(ids[0], ids[1])

    def ending(self, bits: int, value: int) -> BitMap:
        """Rows whose entry id, read as a number of 128 bits, ends with ``value`` in its last ``bits`` (1 to 62) bits."""
        found = BitMap()
        mask = (1 << bits) - 1
        for number, block in enumerate(self._state.blocks.items):
            places = np.flatnonzero((block.columns["low"] & mask) == value)
            found |= bitmap_of((places + (number << BLOCK_BITS)).astype(np.uint32))
        return found & self._state.all

    def holders(self, row: int) -> tuple[list[str], int]:
        """The nodes that hold the content of a row, in order, and how many of them are alive."""
        holders = self._state.holders
        one = BitMap((row,))
        nodes = sorted(node for node in holders.nodes() if holders.rows(node, one))
        return nodes, len(holders.alive.intersection(nodes))

    def begin_save(self) -> Saving:
        """Fixes the present moment, to be saved by the :meth:`~tagfs.storage.index.saving.Saving.write` of what is returned.
        One begun before and not written is given up."""
        return Saving(self._state)

    def save(self, path: str, position: bytes) -> None:
        """Saves at once; ``position`` tells the owner up to which change the index had come. Raises OSError."""
        self.begin_save().write(path, position, nullcontext())

    @classmethod
    def load(cls, path: str, node: str = "") -> tuple[Index, bytes] | None:
        """The index that was saved at ``path``, and its position; None where there is none, it is damaged, or was saved
        by another version: it is then to be made anew. A damaged one is never taken for whole."""
        loaded = load(path, node)
        return loaded and (cls(node, loaded[0]), loaded[1])

    def statistics(self) -> Mapping[str, int]:
        """``entries`` outside the trash, ``trash``, ``tags`` in use by entries outside the trash, and ``bytes``, the sum
        of the sizes of these."""
        state = self._state
        return {
            "entries": len(state.all) - len(state.trash),
            "trash": len(state.trash),
            "tags": state.tags.in_use,
            "bytes": state.live_bytes,
        }
