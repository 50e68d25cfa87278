"""What the index answers is what a naive scan answers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_samples import BOUNDS, NODE_QUERIES, QUERIES, NaiveLookups, entries, patient
from pyroaring import BitMap

from tagfs.model.entry import Entry, id_bytes, id_from_bytes
from tagfs.model.order import Scope, Sort
from tagfs.model.query import And, Not, Number, Query, Tag
from tagfs.model.query.meaning import in_scope, matches
from tagfs.storage.index import Index, blocks, ranges
from tagfs.storage.index.order import NUMBERS

CHANGES = st.lists(st.tuples(st.integers(0, 3), entries()), min_size=12, max_size=40)
"""Changes of a few rows only."""
STEPS = st.lists(st.tuples(st.integers(0, 12), st.none() | entries()), max_size=40)


def row_at(number: int) -> int:
    """Rows on both sides of the edges of blocks, two in each zone there."""
    return number // 4 * 65_536 + 65_534 + number % 4


def apply(index: Index, table: dict[int, Entry], steps: list[tuple[int, Entry | None]]) -> None:
    """Puts and removes as the steps say, in the index and in a table of what should be there. No two rows have
    the same id, and a row keeps its id."""
    for number, entry in steps:
        row = row_at(number)
        if entry is None:
            index.remove(row)
            table.pop(row, None)
        else:
            identifier = id_from_bytes(id_bytes(entry.id)[:-1] + bytes((number,)))
            table[row] = entry._replace(id=table[row].id if row in table else identifier)
            index.put(row, table[row])


@patient
@given(steps=STEPS, queries=st.lists(QUERIES, min_size=1, max_size=5))
def test_evaluation_is_the_naive_one(steps: list[tuple[int, Entry | None]], queries: list[Query]) -> None:
    """After any changes, each query matches exactly the rows that the model says, and counts are of these."""
    index, table = Index("Here"), {}
    apply(index, table, steps)
    check(index, table, queries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_FEW", -1)
        check(index, table, queries)


def check(index: Index, table: dict[int, Entry], queries: list[Query]) -> None:
    """Asks each query in every way."""
    lookups = NaiveLookups(table)
    for query in queries:
        expected = {row for row, entry in table.items() if matches(query, entry, nodes=("Here",))}
        found = index.evaluate(query, lookups)
        assert set(found) == expected
        for scope in Scope:
            inside = {row for row in expected if in_scope(table[row], scope)}
            assert set(index.scoped(found, scope)) == inside
            assert index.count(query, scope, lookups) == len(inside)


@patient
@given(steps=STEPS, held=st.lists(st.tuples(st.sampled_from(("Here", "there", "third")), st.integers(0, 12), st.booleans())),
       alive=st.sets(st.sampled_from(("Here", "there", "third"))), query=NODE_QUERIES)  # fmt: skip
def test_copies_are_counted_on_live_nodes(
    steps: list[tuple[int, Entry | None]], held: list[tuple[str, int, bool]], alive: set[str], query: Query
) -> None:
    """``node:`` and ``copies:`` follow what was said about holders; copies count on live nodes only."""
    index, table = Index("Here"), {}
    apply(index, table, steps)
    holders = {row: {"Here"} for row in table}
    for node, number, is_held in held:
        row = row_at(number)
        if row in table:
            index.set_held(node, [row], is_held)
            (holders[row].add if is_held else holders[row].discard)(node)
    index.set_alive(alive)
    expected = {
        row
        for row, entry in table.items()
        if matches(query, entry, copies=len(holders[row] & alive), nodes=holders[row])
    }
    assert set(index.evaluate(query, NaiveLookups(table))) == expected
    for row in table:
        assert index.holders(row) == (sorted(holders[row]), len(holders[row] & alive))
        index.remove(row)
    for row, entry in table.items():
        index.put(row, entry)
        assert index.holders(row) == (["Here"], len({"Here"} & alive))


@patient
@given(steps=STEPS, end=st.binary(min_size=1, max_size=2), bits=st.integers(1, 62))
def test_rows_by_the_end_of_their_id(steps: list[tuple[int, Entry | None]], end: bytes, bits: int) -> None:
    """Ids are found by their last bits, such as those that tell the partition."""
    index, table = Index(), {}
    apply(index, table, steps)
    value = int.from_bytes(end, "big") & (1 << bits) - 1
    numbers = {row: int.from_bytes(id_bytes(entry.id), "big") for row, entry in table.items()}
    assert set(index.ending(bits, value)) == {row for row in table if numbers[row] & (1 << bits) - 1 == value}


@patient
@given(first=STEPS, second=STEPS)
def test_a_selection_stays_as_it_is(
    first: list[tuple[int, Entry | None]], second: list[tuple[int, Entry | None]]
) -> None:
    """A bitmap that was handed out does not change with the index."""
    index, table = Index(), {}
    apply(index, table, first)
    found = index.evaluate(Tag("beach"), NaiveLookups(table))
    before = set(found)
    apply(index, table, second)
    assert set(found) == before


@patient
@given(st.lists(entries(), max_size=30), st.integers(1, 5))
def test_bulk_is_the_same_as_one_by_one(made: list[Entry], parts: int) -> None:
    """put_many in any portions leaves the index as put does."""
    rows = [row_at(number) for number in range(len(made))]
    one, many = Index(), Index()
    for row, entry in zip(rows, made, strict=True):
        one.put(row, entry)
    size = len(made) // parts + 1
    for start in range(0, len(made), size):
        many.put_many(rows[start : start + size], made[start : start + size])
    assert contents(many) == contents(one)


@patient
@given(
    made=st.lists(entries(), min_size=2, max_size=12),
    changes=CHANGES,
    field=st.sampled_from(NUMBERS),
    low=BOUNDS,
    high=BOUNDS,
    few=st.sampled_from((-1, 1 << 16)),
)
def test_ranges(
    made: list[Entry], changes: list[tuple[int, Entry]], field: str, low: int | None, high: int | None, few: int
) -> None:
    """Ranges are right for rows that share a zone, whether looked at one by one or zone by zone, and as they change."""
    index, table = Index("Here"), {}
    query = Number(field, low, high)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_FEW", few)
        apply(index, table, list(enumerate(made)))
        check(index, table, [query, Not(query)])
        apply(index, table, list(changes))
        check(index, table, [query, And((Tag("beach"), query))])


@patient
@given(steps=CHANGES, query=QUERIES, part=st.sets(st.integers(0, 3)))
def test_pools_that_are_compacted(steps: list[tuple[int, Entry | None]], query: Query, part: set[int]) -> None:
    """Where tags change so often that pools are written anew, nothing is lost or mixed up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_SLACK", 1)
        index, table = Index("Here"), {}
        for number, entry in steps:
            apply(index, table, [(number, entry)])
        check(index, table, [query])
        rows = BitMap(row_at(number) for number in part) & BitMap(table)
        counted = Counter(tag for row in rows for tag in table[row].tags)
        assert dict(index.facets(rows, 20).tags) == counted


@patient
@given(STEPS)
def test_changes_leave_what_a_rebuild_makes(steps: list[tuple[int, Entry | None]]) -> None:
    """After any puts and removes the index equals a fresh one: nothing is left behind, no count drifts."""
    index, table = Index(), {}
    apply(index, table, steps)
    fresh = Index()
    fresh.put_many(sorted(table), [table[row] for row in sorted(table)])
    assert contents(index) == contents(fresh)


def contents(index: Index) -> object:
    """All that an index tells about its rows, apart from the numbers it gave to labels."""
    state = index._state
    rows = list(state.all)
    tags = state.tags
    return (
        rows,
        index.ids(rows),
        [index.ordered(state.all, Sort(key)).tolist() for key in NUMBERS],
        [state.blocks.gather(key, np.array(rows, dtype=np.uint32)).tolist() for key in NUMBERS],
        set(state.trash),
        set(state.untagged),
        {name: (set(tags.postings.rows(number)), tags.live[number]) for name, number in tags.numbers.items()},
        {key: {tags.names[number] for number in numbers} for key, numbers in tags.keys.items()},
        {name: set(state.types.rows_of(name)) for name in state.types.numbers},
        list(tags.ordered.beginning("")),
        index.statistics(),
    )
