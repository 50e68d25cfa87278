"""The tags of a set of rows with exact counts, in short steps. Layer: storage.

The tags of each row are counted, block by block. Where the result is more than half of what is outside the trash,
the rows that are *not* in it are counted instead and taken off the counts of all, which are always known. So the
answer is exact by construction, whatever the tags are like, and no result takes longer than half of all rows do.

While a caller lets others change the index between two steps, rows count as they are when their block's turn comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagfs.storage.index.blocks import TagNumbers
from tagfs.storage.index.labels import Labels
from tagfs.storage.index.rowsets import rows_of
from tagfs.storage.index.state import State
from tagfs.storage.index.steps import Steps, at_once
from tagfs.storage.interfaces import Facets

_SPARSE = 8
"""Where fewer than one in so many names is in the result, its names are sorted; else all are gone through in order."""

_Counts = NDArray[np.intp]
"""How many rows have a tag, by the tag's number."""


def facets(state: State, result: BitMap, limit: int, prefix: str, by_name: bool, after: str) -> Steps[Facets]:
    """The ``limit`` most frequent tags of the rows in ``result``, or the first by name behind ``after``: see ICatalog.facets."""
    forgotten = state.tags.forgotten
    counts = yield from _counted_by_the_lesser(state, result)
    if forgotten != state.tags.forgotten:
        # A tag is gone since, and its number may be another's: count again, without a pause.
        counts = at_once(_counted_by_the_lesser(state, result))
    if by_name:
        return _first_by_name(state.tags, counts, limit, prefix, after)
    return _most_frequent(state.tags, counts, limit, prefix)


def _counted_by_the_lesser(state: State, result: BitMap) -> Steps[_Counts]:
    """The counts of the result, by way of it or of the live rows that are not in it."""
    if 2 * len(result) <= len(state.all) - len(state.trash) or result.intersect(state.trash):
        return (yield from _counted(state, result))
    live = np.array(state.tags.live, dtype=np.intp)
    others = yield from _counted(state, state.all - state.trash - result)
    # Rows that got a tag since the first line may be among the others; nothing has fewer than no rows.
    return np.maximum(_added(live, -others), 0)


def _counted(state: State, rows: BitMap) -> Steps[_Counts]:
    counts = np.zeros(len(state.tags.names), dtype=np.intp)
    found: list[TagNumbers] = []
    for block, _, places in state.blocks.split(rows_of(rows)):
        found.append(block.gather_tags(places))
        # Where there are very many tags, to add up all of them for each block would be most of the work.
        if sum(map(len, found)) > len(counts):
            counts = _added(counts, np.bincount(np.concatenate(found)))
            found = []
        yield
    return _added(counts, np.bincount(np.concatenate(found))) if found else counts


def _added(one: _Counts, other: _Counts) -> _Counts:
    """The sum of counts; the one made later may know more tags. Takes the longer one's place."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    longer[: len(shorter)] += shorter
    return longer


def _most_frequent(tags: Labels, counts: _Counts, limit: int, prefix: str) -> Facets:
    numbers = _present(tags, counts, prefix)
    values = counts[numbers]
    least = _kth_greatest(values, limit) if len(values) > limit else 0
    pairs = [(-int(counts[number]), tags.names[number]) for number in numbers[values > least].tolist()]
    found = [(name, -count) for count, name in sorted(pairs)]
    # Of those that are as frequent as the last one shown, the first by name.
    equal = np.where(counts == least, counts, 0) if least else counts[:0]
    found += [
        (name, int(least)) for name in _first_names(tags, equal, numbers[values == least], limit - len(found), prefix)
    ]
    return Facets(len(numbers), found)


def _kth_greatest(values: _Counts, k: int) -> int:
    """The k-th greatest of at least ``k`` numbers."""
    # Most tags are rare: without them, partition takes a hundredth of the time.
    while len(above := values[values > values.mean()]) >= k:
        values = above
    return int(np.partition(values, len(values) - k)[len(values) - k])


def _first_by_name(tags: Labels, counts: _Counts, limit: int, prefix: str, after: str) -> Facets:
    numbers = _present(tags, counts, prefix)
    names = _first_names(tags, counts, numbers, limit, prefix, after)
    return Facets(len(numbers), [(name, _count(tags, counts, name)) for name in names])


def _first_names(
    tags: Labels, counts: _Counts, numbers: NDArray[np.intp], limit: int, prefix: str, after: str = ""
) -> Iterable[str]:
    """The first names behind ``after`` of the tags that have a count, which are those of the numbers."""
    if len(numbers) * _SPARSE < tags.ordered.count(prefix):
        return nsmallest(limit, (name for name in map(tags.names.__getitem__, numbers.tolist()) if name > after))
    return islice((name for name in tags.ordered.beginning(prefix, after) if _count(tags, counts, name)), limit)


def _present(tags: Labels, counts: _Counts, prefix: str) -> NDArray[np.intp]:
    """The numbers of the tags that begin so and that some row has."""
    numbers = np.flatnonzero(counts)
    if not prefix:
        return numbers
    if len(numbers) < tags.ordered.count(prefix):
        return np.array([n for n in numbers.tolist() if tags.names[n].startswith(prefix)], dtype=np.intp)
    fitting = [tags.numbers[name] for name in tags.ordered.beginning(prefix) if _count(tags, counts, name)]
    return np.array(fitting, dtype=np.intp)


def _count(tags: Labels, counts: _Counts, name: str) -> int:
    """A tag's count; there is none yet for one that came since."""
    number = tags.numbers[name]
    return int(counts[number]) if number < len(counts) else 0
