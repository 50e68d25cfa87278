"""Tags by name, by number and by what they mean, however many there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_samples import LEAVES, SAMPLE, NaiveLookups, entries, patient
from pyroaring import BitMap
from test_index_queries import STEPS, apply

from tagfs.model.entry import Entry
from tagfs.model.order import Scope
from tagfs.model.query import And, Compare, HasKey, Query, TagGlob
from tagfs.model.query.meaning import matches
from tagfs.storage.index import Index, labels, matching, sorted_names
from tagfs.storage.index.rowsets import union
from tagfs.storage.index.sorted_names import SortedNames

NAMES = st.text("ab=\U0010ffff", min_size=1, max_size=3)


@patient
@given(
    first=st.sets(NAMES), changes=st.lists(st.tuples(st.booleans(), NAMES)), prefix=st.text("ab\U0010ffff", max_size=2)
)
def test_sorted_names(first: set[str], changes: list[tuple[bool, str]], prefix: str) -> None:
    """Names come out in order, whatever came and went, and those that begin so are all those."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_names, "_LENGTH", 2)
        names, known = SortedNames(first), set(first)
        for add, name in changes:
            if add and name not in known:
                names.add(name)
                known.add(name)
            elif not add and name in known:
                names.remove(name)
                known.discard(name)
            expected = sorted(name for name in known if name.startswith(prefix))
            assert list(names.beginning(prefix)) == expected
            assert names.count(prefix) == len(expected)
        assert list(names.beginning("")) == sorted(known)


@patient
@given(
    before=STEPS,
    between=st.lists(STEPS, max_size=6),
    query=LEAVES,
    log=st.integers(0, 6),
    step=st.integers(1, 3),
    kept=st.integers(1, 3),
    others=st.lists(LEAVES, max_size=4),
)
def test_tags_found_in_steps_while_they_change(
    before: list[tuple[int, Entry | None]],
    between: list[list[tuple[int, Entry | None]]],
    query: Query,
    log: int,
    step: int,
    kept: int,
    others: list[Query],
) -> None:
    """What was found before, or between changes, never leads to another answer than a naive one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "_LOG", log)
        patch.setattr(matching, "_STEP", step)
        patch.setattr(matching, "_KEPT", kept)
        index, table = Index("Here"), {}
        lookups = NaiveLookups(table)
        apply(index, table, before)
        index.count(query, Scope.ALL, lookups)
        for changes in between:
            pauses = index.prepare(query)
            while next(pauses, "end") != "end":
                apply(index, table, changes[:2])
                changes = changes[2:]
            apply(index, table, changes)
            for other in (*others, query):
                expected = {row for row, entry in table.items() if matches(other, entry, nodes=("Here",))}
                assert set(index.evaluate(other, lookups)) == expected


@patient
@given(st.lists(entries(), min_size=1, max_size=12))
def test_one_row_and_more_rows(made: list[Entry]) -> None:
    """A tag of a single row is as good as one of many, while rows come and go."""
    index = Index()
    for row, entry in enumerate(made):
        index.put(row, entry._replace(tags=("one",) if row == 0 else ("many", "one") if row % 2 else ("many",)))
    for row in range(len(made) - 1, 0, -1):
        index.remove(row)
    lookups = NaiveLookups({})
    assert set(index.evaluate(TagGlob("*"), lookups)) == {0}
    assert set(index.evaluate(TagGlob("m*"), lookups)) == set()
    assert index.statistics()["tags"] == (made[0].trashed is None)


def test_an_exact_value_is_found_at_once() -> None:
    """To ask for one title among many is quick from the first time on; to ask for all of them is not."""
    index = Index()
    index.put_many(range(5000), [SAMPLE._replace(tags=(f"title=song {row}",)) for row in range(5000)])
    exact = Compare("title", "=", "song 77")
    assert index.is_quick(exact)
    assert index.count(exact, Scope.LIVE, NaiveLookups({})) == 1
    assert not index.is_quick(HasKey("title"))
    assert not index.is_quick(TagGlob("*7"))
    assert index.is_quick(TagGlob("title=song 77*"))
    assert index.count(TagGlob("title=song 77*"), Scope.LIVE, NaiveLookups({})) == 11
    assert index.is_quick(And((exact, TagGlob("b*"))))


def test_what_was_found_is_quick_the_next_time() -> None:
    """A comparison with many values is quick once it was made, and stays right as values come."""
    index = Index()
    index.put_many(range(2000), [SAMPLE._replace(tags=(f"n={row}",)) for row in range(2000)])
    above = Compare("n", ">", "1990")
    lookups = NaiveLookups({})
    assert not index.is_quick(above)
    assert index.count(above, Scope.LIVE, lookups) == 9
    assert index.is_quick(above)
    index.put(2000, SAMPLE._replace(tags=("n=2000",)))
    assert index.is_quick(above)
    assert index.count(above, Scope.LIVE, lookups) == 10


def test_tags_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are used again, and what a query found before thousands of changes does not mislead it afterwards."""
    monkeypatch.setattr(labels, "_LOG", 0)
    index = Index()
    index.put(0, SAMPLE._replace(tags=("n=5",)))
    above = Compare("n", ">", "3")
    lookups = NaiveLookups({})
    assert index.count(above, Scope.LIVE, lookups) == 1
    index.put(1, SAMPLE._replace(tags=("n=6",)))
    for turn in range(20):
        index.put(2, SAMPLE._replace(tags=(f"passing {turn}",)))
    assert index._state.tags.era > 0
    assert index.count(above, Scope.LIVE, lookups) == 2
    assert len(index._state.tags.names) <= 4


def test_what_is_equal_without_being_the_same() -> None:
    """A number equals itself in any spelling, and a year every day in it; a text only itself."""
    index = Index()
    values = ("9", "9.0", "09", "2024", "2024-05-03", "nine")
    index.put_many(range(len(values)), [SAMPLE._replace(tags=(f"x={value}",)) for value in values])
    lookups = NaiveLookups({})
    found = {value: set(index.evaluate(Compare("x", "=", value), lookups)) for value in values}
    assert found["9"] == found["9.0"] == found["09"] == {0, 1, 2}
    assert found["2024"] == {3, 4}
    assert found["nine"] == {5}


@pytest.mark.parametrize("number", [0, 1, 128, 129, 300, 128 * 128 + 1])
def test_a_union_of_any_number_of_sets(number: int) -> None:
    """All rows of all sets, however many are joined at once, and none of the sets is changed."""
    sets = [BitMap((index, index // 2)) for index in range(number)]
    assert set(union(sets)) == {row for index in range(number) for row in (index, index // 2)}
    assert all(set(rows) == {index, index // 2} for index, rows in enumerate(sets))
