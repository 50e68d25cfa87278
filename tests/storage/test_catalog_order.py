"""Orders by name come in two ways, by sorting and by a walk through all names; both are right whatever the sizes."""

from __future__ import annotations

import random

import pytest

from tagfs.model.order import Sort
from tagfs.model.query import Tag
from tagfs.storage.catalog import open_catalog, selection
from tests.contracts.writing import Writer

SORTS = [Sort("name"), Sort("name", descending=True)]


@pytest.fixture
def catalog(tmp_path):
    catalog = open_catalog(f"sqlite://{tmp_path}", "n1")
    yield catalog
    catalog.close()


@pytest.mark.parametrize("sort", SORTS, ids=str)
@pytest.mark.parametrize(("cost", "walk"), [(0, 1), (10**9, 1), (10**9, 3), (10**9, 7), (10**9, 1000)])
def test_both_ways(catalog, monkeypatch, sort, cost, walk):
    """However many names a walk reads at once, and where all are sorted, pages and streams are the same list."""
    monkeypatch.setattr(selection, "_READ", cost)
    monkeypatch.setattr(selection, "_WALK", walk)
    writer, chance = Writer(), random.Random(1)
    catalog.merge([writer.entry(f"n{chance.randrange(9)}", chance.choice([["x"], ["y"]])) for _ in range(60)])
    selected = catalog.select(Tag("x"))
    everything = [entry for page in selected.pages(sort, 4) for entry in page]
    assert everything == sorted(everything, key=lambda entry: (entry.name, entry.id), reverse=sort.descending)
    assert len(everything) == selected.total
    for limit in (1, 5, 60):
        paged, after = [], None
        while True:
            page = selected.page(sort, after, limit)
            paged.extend(page.entries)
            after = page.next
            if after is None:
                break
        assert paged == everything


def test_the_cheaper_way(catalog, monkeypatch):
    """Few of many are sorted; a page of many is walked to; a stream of many is never held in memory whole."""
    writer = Writer()
    catalog.merge(
        [writer.entry(f"n{number}", ["all", *(["few"] if number % 100 == 0 else [])]) for number in range(400)]
    )
    monkeypatch.setattr(selection, "_MOST_SORTED", 100)
    few, many = catalog.select(Tag("few")), catalog.select(Tag("all"))
    assert isinstance(few._named(10), selection._SortedNames)
    assert isinstance(many._named(10), selection._WalkedNames)
    monkeypatch.setattr(selection, "_READ", 0)
    assert isinstance(many._named(400), selection._WalkedNames)
