"""How long a query takes, guessed before it is asked, within a fraction of that time. Layer: storage."""

from __future__ import annotations

from tagfs.model.query.meaning import parts
from tagfs.model.query.syntax import Between, Compare, HasKey, InTrash, Number, Query, Tag, TagGlob, Text, Untagged
from tagfs.storage.index.matching import Tags
from tagfs.storage.index.state import State

QUICK_US = 1000.0
"""What counts as quick, in microseconds."""
# Measured at a million rows: a bitmap in a combination costs 40 µs when dense, and 2.5 ns per row when sparse; to compare
# the numbers of all rows and to make a bitmap of the result 5 ms; to test the name of a tag 2 µs, to join its rows 1 µs.
_DENSE_ROWS_PER_US = 25_000
_SPARSE_ROWS_PER_US = 400
_COMPARED_ROWS_PER_US = 200
_TEST_US = 2.0
_JOIN_US = 1.0
_NEVER = float("inf")


def is_quick(state: State, query: Query) -> bool:
    """Whether counting what matches needs no lookups and takes less than about :data:`QUICK_US`."""
    total = 0.0
    for part in parts(query):
        total += _cost(state, part)
        if total > QUICK_US:
            return False
    return True


def _cost(state: State, query: Query) -> float:
    """Microseconds that one part of a query takes, without the parts in it."""
    match query:
        case Tag(tag=tag):
            return _combining(state, len(state.tags.rows_of(tag)))
        case Untagged():
            return _combining(state, len(state.untagged))
        case InTrash():
            return _combining(state, len(state.trash))
        case Number(field="copies"):
            return _combining(state, len(state.all)) * (1 + len(state.holders.nodes()) * 4)
        case Number():
            return len(state.all) / _COMPARED_ROWS_PER_US
        case Text(field="type", glob=False, pattern=pattern):
            return _combining(state, len(state.types.rows_of(pattern)))
        case Text(field="type"):
            return len(state.types.numbers) * (_TEST_US + _JOIN_US) + _combining(state, len(state.all))
        case Text(field="node"):
            return _combining(state, len(state.all)) * len(state.holders.nodes())
        case Text():
            return _NEVER
        case TagGlob() | HasKey() | Compare() | Between():
            return _joining(state, query) + _combining(state, len(state.all))
    return _combining(state, len(state.all))


def _joining(state: State, query: Tags) -> float:
    """What it costs to find the tags that a query is about, and to join their rows."""
    testing = state.matching.left(query) * _TEST_US
    if testing > QUICK_US / 4:
        return _NEVER
    found = state.matching.numbers(query)
    if len(found) * _JOIN_US > QUICK_US:
        return _NEVER
    # The tests are done now and need not be done again, but they took their time.
    return testing + sum([_JOIN_US + _combining(state, state.tags.postings.count(number)) for number in found])


def _combining(state: State, rows: int) -> float:
    """What a bitmap of so many rows costs in an intersection, union or difference."""
    return 1 + min(rows / _SPARSE_ROWS_PER_US, len(state.all) / _DENSE_ROWS_PER_US)
