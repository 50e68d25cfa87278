"""Pages, whole orders and facets of the index are those of a sorted list and of a counter."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_samples import SAMPLE, NaiveLookups, entries, patient
from pyroaring import BitMap
from test_index_queries import STEPS, apply, row_at

from tagfs.model.entry import Content, Entry, entry_id, id_bytes
from tagfs.model.order import Cursor, Scope, Sort
from tagfs.model.query import EVERYTHING
from tagfs.storage.index import Index, order
from tagfs.storage.index.ids import decode, encode, halves
from tagfs.storage.index.steps import at_once

SORTS = st.builds(Sort, st.sampled_from(order.NUMBERS), st.booleans())


def value_of(entry: Entry, key: str) -> int:
    """The sort key's value of an entry."""
    return entry.added if key == "added" else getattr(entry.content, key)


def in_order(table: dict[int, Entry], sort: Sort) -> list[int]:
    """The rows of a table as they must be listed."""
    return sorted(table, key=lambda row: (value_of(table[row], sort.key), table[row].id), reverse=sort.descending)


@pytest.fixture(params=["few", "zones", "zones and rest"])
def small_steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets small tables take the paths of large ones."""
    if request.param != "few":
        monkeypatch.setattr(order, "_FEW", 0)
    if request.param == "zones and rest":
        monkeypatch.setattr(order, "_BATCHES", (1, 1))
        monkeypatch.setattr(order, "_SLICE", 3)
        monkeypatch.setattr(order, "_TIES", 2)


@pytest.mark.usefixtures("small_steps")
def test_paging_equals_the_sorted_list() -> None:
    """Pages of any length, each begun at the cursor of the one before, give every row once and in order."""

    @patient
    @given(steps=STEPS, sort=SORTS, limit=st.integers(1, 7))
    def check(steps: list[tuple[int, Entry | None]], sort: Sort, limit: int) -> None:
        index, table = Index(), {}
        apply(index, table, steps)
        found = index.evaluate(EVERYTHING, NaiveLookups(table))
        expected = in_order(table, sort)
        assert index.ordered(found, sort).tolist() == expected
        after = None
        paged: list[int] = []
        while page := index.first(found, sort, after, limit):
            assert len(page) <= limit
            paged += page
            last = table[page[-1]]
            after = Cursor(value_of(last, sort.key), last.id)
        assert paged == expected

    check()


@patient
@given(steps=STEPS, sort=SORTS, cursor=entries(), limit=st.integers(1, 5))
def test_a_cursor_need_not_be_of_an_entry(
    steps: list[tuple[int, Entry | None]], sort: Sort, cursor: Entry, limit: int
) -> None:
    """A page goes on right behind the cursor although its entry is gone."""
    index, table = Index(), {}
    apply(index, table, steps)
    after = Cursor(value_of(cursor, sort.key), cursor.id)
    expected = in_order({**table, -1: cursor}, sort)
    expected = expected[expected.index(-1) + 1 :][:limit]
    found = index.evaluate(EVERYTHING, NaiveLookups(table))
    assert index.first(found, sort, after, limit) == expected


@pytest.mark.parametrize("ties", [1, 100, 1 << 16])
def test_thousands_of_equal_values(ties: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all have the same size, pages are by id alone, also past what is looked at in one go."""
    monkeypatch.setattr(order, "_TIES", ties)
    index = Index()
    content = Content(bytes(32), 5, "text/plain", 0)
    made = [
        Entry(entry_id(n * 7919 % 20_011, bytes(10)), "n", content, n % 3, (), None, None, ()) for n in range(20_000)
    ]
    index.put_many(range(len(made)), made)
    found = index.evaluate(EVERYTHING, NaiveLookups({}))
    for sort in (Sort("size"), Sort("size", True), Sort("added"), Sort("added", True)):
        expected = in_order(dict(enumerate(made)), sort)
        assert index.ordered(found, sort).tolist() == expected
        assert index.first(found, sort, None, 150) == expected[:150]
        last = made[expected[12_344]]
        after = Cursor(value_of(last, sort.key), last.id)
        assert index.first(found, sort, after, 100) == expected[12_345:12_445]


@patient
@given(
    steps=STEPS,
    chosen=st.sets(st.integers(0, 12)),
    limit=st.integers(1, 12),
    prefix=st.sampled_from(("", "b", "year=", "x", "zz")),
    by_name=st.booleans(),
)
def test_facets_equal_a_counter(
    steps: list[tuple[int, Entry | None]], chosen: set[int], limit: int, prefix: str, by_name: bool
) -> None:
    """Counts, total and order of tags are those of counting one by one, for any part of the rows."""
    index, table = Index(), {}
    apply(index, table, steps)
    everything = index.evaluate(EVERYTHING, NaiveLookups(table))
    some = everything & BitMap(row_at(number) for number in chosen)
    for result in (some, everything - some, index.scoped(everything, Scope.LIVE), everything):
        counted = Counter(tag for row in result for tag in table[row].tags if tag.startswith(prefix))
        expected = sorted(counted.items(), key=lambda pair: pair[0] if by_name else (-pair[1], pair[0]))
        found = index.facets(result, limit, prefix, by_name)
        assert list(found.tags) == expected[:limit]
        assert found.total == len(expected)


@patient
@given(before=STEPS, between=st.lists(STEPS, min_size=1, max_size=4))
def test_changes_between_steps_of_facets(
    before: list[tuple[int, Entry | None]], between: list[list[tuple[int, Entry | None]]]
) -> None:
    """Changes between the steps neither break them nor give a count to a tag that never had such a row."""
    index, table = Index(), {}
    apply(index, table, before)
    ever = {tag for entry in table.values() for tag in entry.tags}
    pauses = index.facet_steps(index.evaluate(EVERYTHING, NaiveLookups(table)), 20)
    for changes in between:
        if next(pauses, "end") == "end":
            return
        apply(index, table, changes)
        ever |= {tag for _, entry in changes if entry for tag in entry.tags}
    found = at_once(pauses)
    names = [tag for tag, _ in found.tags]
    assert len(names) == len(set(names)) == found.total
    assert ever.issuperset(names)
    assert all(count > 0 for _, count in found.tags)


OTHER_BLOCK = 70_000


def test_a_number_given_again_between_steps_of_facets() -> None:
    """A tag that takes over the number of one that was forgotten does not take over its count."""
    index = Index()
    for row, tag in ((0, "old"), (OTHER_BLOCK, "kept"), (OTHER_BLOCK + 1, "kept"), (OTHER_BLOCK + 2, "kept")):
        index.put(row, SAMPLE._replace(tags=(tag,)))
    pauses = index.facet_steps(BitMap((0, OTHER_BLOCK)), 20)
    next(pauses)
    index.remove(0)
    index.put(OTHER_BLOCK + 1, SAMPLE._replace(tags=("kept", "new")))
    assert at_once(pauses) == (1, [("kept", 1)])


def test_a_new_tag_outside_the_result_between_steps_of_facets() -> None:
    """A tag that only a row outside the result has is not in it, although that row came to it while others were counted."""
    index = Index()
    rows = (0, 1, 2, 3, OTHER_BLOCK)
    for row in rows:
        index.put(row, SAMPLE)
    pauses = index.facet_steps(BitMap((1, 2, 3)), 20)
    next(pauses)
    index.put(OTHER_BLOCK, SAMPLE._replace(tags=("beach", "new")))
    assert at_once(pauses) == (1, [("beach", 3)])


@patient
@given(st.lists(st.binary(min_size=16, max_size=16)))
def test_ids_as_numbers(raw: list[bytes]) -> None:
    """Ids go through their halves and back, and halves are ordered as the ids are."""
    ids = [entry_id(int.from_bytes(data[:6], "big"), data[6:]) for data in raw]
    assert [id_bytes(identifier) for identifier in ids] == raw
    assert encode(*decode(ids)) == ids
    assert list(zip(*(half.tolist() for half in decode(ids)), strict=True)) == [
        halves(identifier) for identifier in ids
    ]
    assert sorted(ids, key=halves) == sorted(ids)
