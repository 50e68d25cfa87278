"""The tags of a set of rows with exact counts, in short steps. Layer: storage.

Few rows: the tags of each are counted. Many rows: a tag's count is the cardinality of the intersection of its rows
with the result. It is at most the number of rows that have the tag, so tags are gone through in order of that
bound, the greatest first, until the bound of the next is below the least count that would be shown: then neither
that tag nor any behind it can be shown. How many tags there are at all takes one look per tag whether it meets the
result; a sample of the result answers for most of the frequent ones.

While a caller lets others change the index between two steps, each count is that of the moment it was taken.
"""

from __future__ import annotations

from collections.abc import Generator
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagfs.storage.index.rowsets import Rows, rows_of
from tagfs.storage.index.state import State
from tagfs.storage.interfaces import Facets

Steps = Generator[None, None, Facets]
"""Pauses between steps; returns the facets."""

FEW = 1 << 16
"""So many rows are counted tag by tag, in one step."""
_SAMPLE = 1 << 13
"""Rows of the sample."""
_COUNTED = 64
"""Tags per step that are counted by intersection."""
_MET = 4096
"""Tags per step that are asked whether they meet the result."""

_Counts = NDArray[np.intp]


class _Candidates(NamedTuple):
    """Tags that may be in the result: the greatest count each may have, and whether the sample has it."""

    names: list[str]
    bounds: list[int]
    sampled: list[bool]


def facets(state: State, result: BitMap, limit: int, prefix: str, by_name: bool) -> Steps:
    """The ``limit`` most frequent tags of the rows in ``result``, or the first by name: see ICatalog.facets."""
    if not result.intersect(state.trash) and len(result) == len(state.all) - len(state.trash):
        return _chosen(state, np.array(state.tags.live, dtype=np.intp), limit, prefix, by_name)
    if len(result) <= FEW:
        return _chosen(state, _counts(state, rows_of(result)), limit, prefix, by_name)
    candidates = _candidates(state, result, prefix, by_name)
    return (yield from (_first_by_name if by_name else _most_frequent)(state, result, limit, candidates))


def _counts(state: State, rows: Rows) -> _Counts:
    """By tag number, how many of the rows have the tag."""
    found = [block.gather_tags(places) for block, _, places in state.blocks.split(rows)]
    return np.bincount(np.concatenate(found)) if found else np.zeros(0, dtype=np.intp)


def _chosen(state: State, counts: _Counts, limit: int, prefix: str, by_name: bool) -> Facets:
    """The facets where the counts of all tags are known."""
    tags = state.tags
    numbers = np.flatnonzero(counts)
    if prefix:
        fitting = np.fromiter(map(tags.numbers.__getitem__, tags.beginning(prefix)), dtype=np.intp)
        numbers = np.intersect1d(numbers, fitting)
    total = len(numbers)
    if by_name:
        first = nsmallest(limit, map(tags.names.__getitem__, numbers.tolist()))
        return Facets(total, [(name, int(counts[tags.numbers[name]])) for name in first])
    if total > limit:
        # Equal counts are in order of the name, so all that are as frequent as the last one shown come along.
        least = np.partition(counts[numbers], total - limit)[total - limit]
        numbers = numbers[counts[numbers] >= least]
    pairs = zip((-counts[numbers]).tolist(), map(tags.names.__getitem__, numbers.tolist()), strict=True)
    return Facets(total, [(name, -count) for count, name in nsmallest(limit, pairs)])


def _candidates(state: State, result: BitMap, prefix: str, by_name: bool) -> _Candidates:
    """Tags in the order they are to be looked at."""
    tags = state.tags
    if result.intersect(state.trash):
        bounds = np.fromiter(map(len, tags.rows), dtype=np.intp, count=len(tags.rows))
    else:
        bounds = np.array(tags.live, dtype=np.intp)
    if prefix or by_name:
        numbers = np.fromiter(map(tags.numbers.__getitem__, tags.beginning(prefix)), dtype=np.intp)
        numbers = numbers[bounds[numbers] > 0]
    else:
        numbers = np.flatnonzero(bounds)
    if not by_name:
        numbers = numbers[np.argsort(-bounds[numbers], kind="stable")]
    sample = _counts(state, rows_of(result)[:: len(result) // _SAMPLE + 1])
    sampled = np.zeros(len(bounds), dtype=np.bool_)
    sampled[: len(sample)] = sample > 0
    names = [tags.names[number] for number in numbers.tolist()]
    return _Candidates(names, bounds[numbers].tolist(), sampled[numbers].tolist())


def _most_frequent(state: State, result: BitMap, limit: int, candidates: _Candidates) -> Steps:
    best: list[tuple[int, str]] = []
    present = 0
    at = 0
    while at < len(candidates.names):
        if len(best) == limit and candidates.bounds[at] < -best[-1][0]:
            break
        step = candidates.names[at : at + _COUNTED]
        counted = [(-result.intersection_cardinality(state.tags.rows_of(name)), name) for name in step]
        counted = [pair for pair in counted if pair[0]]
        present += len(counted)
        best = nsmallest(limit, best + counted)
        at += len(step)
        yield
    present += yield from _present(state, result, candidates, at)
    return Facets(present, [(name, -count) for count, name in best])


def _first_by_name(state: State, result: BitMap, limit: int, candidates: _Candidates) -> Steps:
    found: list[tuple[str, int]] = []
    at = 0
    while at < len(candidates.names) and len(found) < limit:
        step = candidates.names[at : at + min(_COUNTED, limit - len(found))]
        counted = [(name, result.intersection_cardinality(state.tags.rows_of(name))) for name in step]
        found += [pair for pair in counted if pair[1]]
        at += len(step)
        yield
    rest = yield from _present(state, result, candidates, at)
    return Facets(len(found) + rest, found)


def _present(state: State, result: BitMap, candidates: _Candidates, at: int) -> Generator[None, None, int]:
    """How many of the candidates from ``at`` on some row of the result has."""
    present = sum(islice(candidates.sampled, at, None))
    pairs = zip(islice(candidates.names, at, None), islice(candidates.sampled, at, None), strict=True)
    unsure = [name for name, sampled in pairs if not sampled]
    for start in range(0, len(unsure), _MET):
        present += sum([result.intersect(state.tags.rows_of(name)) for name in unsure[start : start + _MET]])
        yield
    return present
