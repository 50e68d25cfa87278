"""Tag-queries to sets of rows. Layer: storage.

Every step may be given the rows that matter (``within``): what it returns is right for these, and may hold any
others. So the costly parts of an *and* look only at what its cheap parts left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pyroaring import BitMap

from tagfs.model.names import fold
from tagfs.model.query.meaning import glob_pattern, parts
from tagfs.model.query.syntax import (
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
from tagfs.storage.index.ranges import in_range
from tagfs.storage.index.rowsets import union
from tagfs.storage.index.state import State

_KNOWN_TEXTS = ("type", "node")
_SCAN = 1 << 50
"""Weights of what is best done last: above any number of rows."""
_LOOKUP = 1 << 60


class Lookups(Protocol):
    """Answers what the index does not know: the catalog does."""

    def rows(self, field: str, pattern: str, glob: bool) -> Iterable[int]:
        """Rows whose name, digest, id or home is as :class:`~tagfs.model.query.Text` says, in any order."""


def texts(query: Query) -> list[Text]:
    """The parts of a query that are looked up in the catalog, which may want to do so before it takes its lock."""
    return [part for part in parts(query) if isinstance(part, Text) and part.field not in _KNOWN_TEXTS]


class Evaluation:
    """One query's evaluation on the index as it is. Bitmaps that it returns may be the index's own: not to be changed."""

    def __init__(self, state: State, lookups: Lookups) -> None:
        self._state = state
        self._lookups = lookups
        self._known: dict[Query, BitMap] = {}
        """What was found whatever is ``within``, and took more than a look: a count may need it twice."""

    def rows(self, query: Query, within: BitMap) -> BitMap:
        """The rows that match, right for those of ``within``; other rows may be among them."""
        state = self._state
        match query:
            case Tag(tag=tag):
                return state.tags.rows_of(tag)
            case And(items=items):
                return self._all_of(items, within)
            case Or(items=items):
                return BitMap.union(*[self.rows(item, within) for item in items])
            case Not(item=item):
                return within - self.rows(item, within)
            case Everything():
                return within
            case Untagged():
                return state.untagged
            case InTrash():
                return state.trash
            case Number(field="copies", low=low, high=high):
                return state.holders.with_copies(low, high, within)
            case Number(field=field, low=low, high=high):
                return in_range(state.blocks, field, low, high, within)
            case Text():
                return self._text(query, within)
            case TagGlob() | HasKey() | Compare() | Between():
                if query not in self._known:
                    self._known[query] = state.tags.postings.union(state.matching.numbers(query))
                return self._known[query]
        raise AssertionError(query)

    def count(self, query: Query, within: BitMap) -> int:
        """How many rows of ``within`` match; counts without making the last set where that can be."""
        match query:
            case And(items=items):
                *others, last = self._in_order(items)
                first = self._all_of(others, within)
                if isinstance(last, Not):
                    return first.difference_cardinality(self.rows(last.item, first))
                return first.intersection_cardinality(self.rows(last, first))
            case Not(item=item):
                return len(within) - self.count(item, within)
            case Tag(tag=tag) if within is self._state.all:
                return len(self._state.tags.rows_of(tag))
            case _:
                return within.intersection_cardinality(self.rows(query, within))

    def count_live(self, query: Query) -> int:
        """How many rows outside the trash match."""
        state = self._state
        if isinstance(query, Tag):
            number = state.tags.numbers.get(query.tag)
            return 0 if number is None else state.tags.live[number]
        matching = self.count(query, state.all)
        return matching - self.count(query, state.trash) if state.trash else matching

    def _all_of(self, items: Iterable[Query], within: BitMap) -> BitMap:
        result = within
        for item in self._in_order(items):
            if not result:
                break
            match item:
                case Not(item=unwanted):
                    result = result - self.rows(unwanted, result)
                case _:
                    result = result & self.rows(item, result)
        return result

    def _in_order(self, items: Iterable[Query]) -> list[Query]:
        return sorted(items, key=self._weight)

    def _weight(self, query: Query) -> int:
        """About how many rows match, and more for what is better looked at late."""
        state = self._state
        match query:
            case Tag(tag=tag):
                return len(state.tags.rows_of(tag))
            case And(items=items):
                return min(map(self._weight, items))
            case Or(items=items):
                return sum(map(self._weight, items))
            case Not(item=item):
                # Taking away costs as much as intersecting, but rarely leaves as little.
                return len(state.all) + self._weight(item)
            case Untagged():
                return len(state.untagged)
            case InTrash():
                return len(state.trash)
            case Number():
                return _SCAN
            case Text(field=field) if field not in _KNOWN_TEXTS:
                return _LOOKUP
            case _:
                return len(state.all)

    def _text(self, query: Text, within: BitMap) -> BitMap:
        state = self._state
        if query.field not in _KNOWN_TEXTS:
            if query not in self._known:
                self._known[query] = BitMap(self._lookups.rows(query.field, query.pattern, query.glob))
            return self._known[query]
        fits = glob_pattern(query.pattern).fullmatch if query.glob else query.pattern.__eq__
        if query.field == "node":
            return union([state.holders.rows(node, within) for node in state.holders.nodes() if fits(fold(node))])
        if query.glob:
            return union([state.types.rows_of(name) for name in state.types.numbers if fits(name)])
        return state.types.rows_of(query.pattern)
