"""The tags of a set of rows with exact counts, in short steps. Layer: storage.

The tags of each row are counted, block by block. Where the result is more than half of what is outside the trash,
the rows that are *not* in it are counted instead and taken off the counts of all, which are always known. So the
answer is exact by construction, whatever the tags are like, and no result takes longer than half of all rows do.

While a caller lets others change the index between two steps, rows count as they are when their block's turn comes.
"""

from __future__ import annotations

from collections.abc import Generator
from heapq import nsmallest
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagfs.storage.index.labels import Labels
from tagfs.storage.index.rowsets import rows_of
from tagfs.storage.index.state import State
from tagfs.storage.interfaces import Facets

T = TypeVar("T")

Steps = Generator[None, None, Facets]
"""Pauses between steps; returns the facets."""

_Counts = NDArray[np.intp]
"""How many rows have a tag, by the tag's number."""


def facets(state: State, result: BitMap, limit: int, prefix: str, by_name: bool) -> Steps:
    """The ``limit`` most frequent tags of the rows in ``result``, or the first by name: see ICatalog.facets."""
    forgotten = state.tags.forgotten
    counts = yield from _counted_by_the_lesser(state, result)
    if forgotten != state.tags.forgotten:
        # A tag is gone since, and its number may be another's: count again, without a pause.
        counts = at_once(_counted_by_the_lesser(state, result))
    return (_first_by_name if by_name else _most_frequent)(state.tags, counts, limit, prefix)


def at_once(steps: Generator[None, None, T]) -> T:
    """What the steps return in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(T, end.value)


def _counted_by_the_lesser(state: State, result: BitMap) -> Generator[None, None, _Counts]:
    """The counts of the result, by way of it or of the live rows that are not in it."""
    if 2 * len(result) <= len(state.all) - len(state.trash) or result.intersect(state.trash):
        return (yield from _counted(state, result))
    live = np.array(state.tags.live, dtype=np.intp)
    others = yield from _counted(state, state.all - state.trash - result)
    # Rows that got a tag since the first line may be among the others; nothing has fewer than no rows.
    return np.maximum(_added(live, -others), 0)


def _counted(state: State, rows: BitMap) -> Generator[None, None, _Counts]:
    counts = np.zeros(len(state.tags.names), dtype=np.intp)
    for block, _, places in state.blocks.split(rows_of(rows)):
        counts = _added(counts, np.bincount(block.gather_tags(places)))
        yield
    return counts


def _added(one: _Counts, other: _Counts) -> _Counts:
    """The sum of counts; the one made later may know more tags. Takes the longer one's place."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    longer[: len(shorter)] += shorter
    return longer


def _most_frequent(tags: Labels, counts: _Counts, limit: int, prefix: str) -> Facets:
    numbers = np.flatnonzero(counts)
    if prefix:
        fitting = [tags.numbers[name] for name in tags.beginning(prefix)]
        numbers = np.intersect1d(numbers, np.array(fitting, dtype=np.intp))
    total = len(numbers)
    if total > limit:
        # Equal counts are in order of the name, so all that are as frequent as the last one shown come along.
        least = np.partition(counts[numbers], total - limit)[total - limit]
        numbers = numbers[counts[numbers] >= least]
    pairs = [(-int(counts[number]), tags.names[number]) for number in numbers.tolist()]
    return Facets(total, [(name, -count) for count, name in nsmallest(limit, pairs)])


def _first_by_name(tags: Labels, counts: _Counts, limit: int, prefix: str) -> Facets:
    numbers = np.array([tags.numbers[name] for name in tags.beginning(prefix)], dtype=np.intp)
    numbers = numbers[numbers < len(counts)]
    numbers = numbers[counts[numbers] > 0]
    first = numbers[:limit].tolist()
    return Facets(len(numbers), [(tags.names[number], int(counts[number])) for number in first])
