"""How long a query takes, guessed before it is asked. Layer: storage."""

from __future__ import annotations

from tagfs.model.query.meaning import parts
from tagfs.model.query.syntax import Between, Compare, HasKey, InTrash, Number, Query, Tag, TagGlob, Text, Untagged
from tagfs.storage.index.evaluation import tags_to_test
from tagfs.storage.index.state import State

QUICK_US = 1000.0
"""What counts as quick, in microseconds."""
# Measured at a million rows: a bitmap in a combination costs 40 µs when dense, and 2.5 ns per row when sparse;
# to compare the numbers of all rows and to make a bitmap of the result 5 ms; to test a tag and to join its rows 3 µs.
_DENSE_ROWS_PER_US = 25_000
_SPARSE_ROWS_PER_US = 400
_COMPARED_ROWS_PER_US = 200
_TAG_US = 3.0
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
            return len(state.types.numbers) * _TAG_US + _combining(state, len(state.all))
        case Text(field="node"):
            return _combining(state, len(state.all)) * len(state.holders.nodes())
        case Text():
            return _NEVER
        case TagGlob() | HasKey() | Compare() | Between():
            return tags_to_test(state, query) * _TAG_US + _combining(state, len(state.all))
    return _combining(state, len(state.all))


def _combining(state: State, rows: int) -> float:
    """What a bitmap of so many rows costs in an intersection, union or difference."""
    return 1 + min(rows / _SPARSE_ROWS_PER_US, len(state.all) / _DENSE_ROWS_PER_US)
