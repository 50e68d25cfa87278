"""Queries and merges at the same time: every entry is judged as a whole, and nobody waits long."""

from __future__ import annotations

import random
import threading

import pytest

from tagfs.model.query import And, Not, Or, Tag, Text
from tagfs.storage.catalog import feed, open_catalog
from tagfs.storage.catalog.live import FairLock
from tests.contracts.writing import Writer

PAIRS = (("a", "x"), ("b", "y"))
"""Names and tags that always change together."""


@pytest.fixture
def catalog(tmp_path):
    catalog = open_catalog(f"sqlite://{tmp_path}", "n1")
    yield catalog
    catalog.close()


def test_whole_records_only(catalog):
    """No entry is ever found by its old name together with its new tags, or missed for having neither."""
    writer = Writer()
    made = [writer.entry("a", ["x"]) for _ in range(40)]
    catalog.merge(made)
    stop = threading.Event()

    def work():
        chance = random.Random(1)
        while not stop.is_set():
            changes = []
            for record in chance.sample(made, 20):
                (name, tag), (_, other) = chance.sample(PAIRS, 2)
                change = writer.tag(record, tag, absent=[other])
                changes.append(change._replace(fields={**change.fields, **_named(name, change).fields}))
            catalog.merge(changes)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(150):
            for name, tag in PAIRS:
                assert catalog.count(And((Text("name", name), Not(Tag(tag))))) == 0
                assert catalog.count(And((Not(Text("name", name)), Tag(tag)))) == 0
            both = [And((Text("name", name), Tag(tag))) for name, tag in PAIRS]
            assert catalog.count(Or(tuple(both))) == 40
    finally:
        stop.set()
        thread.join()


def _named(name, change):
    stamp = next(iter(change.fields.values())).stamp
    return change._replace(fields={"name": next(iter(change.fields.values()))._replace(value=name, stamp=stamp)})


def test_between_commit_and_index(catalog, monkeypatch):
    """A query that comes when a change is committed, but not in the index yet, sees it in both or in neither."""
    writer = Writer()
    made = writer.entry("a", ["x"])
    catalog.merge([made])
    real, asked = catalog._live.apply, []

    def apply(*arguments, here):
        for name, _ in PAIRS:
            for _, tag in PAIRS:
                asked.append((name, tag, catalog.count(And((Text("name", name), Tag(tag))))))
        real(*arguments, here=here)

    monkeypatch.setattr(catalog._live, "apply", apply)
    change = writer.tag(made, "y", absent=["x"])
    catalog.merge([change._replace(fields={**change.fields, **_named("b", change).fields}), writer.entry("b", ["y"])])
    assert asked == [("a", "x", 0), ("a", "y", 0), ("b", "x", 0), ("b", "y", 1)]
    assert catalog.count(And((Text("name", "b"), Tag("y")))) == 2


def test_a_page_of_changes_is_of_one_moment(catalog, monkeypatch):
    """A record that changes while a page of changes is being read is on it, or the page does not claim its old number."""
    writer = Writer()
    made = [writer.entry(f"f{number}") for number in range(3)]
    catalog.merge(made)
    real = feed.Origins.load

    def load(connection):
        loaded = real(connection)
        monkeypatch.undo()
        catalog.merge([writer.tag(made[0], "again")])
        return loaded

    monkeypatch.setattr(feed.Origins, "load", load)
    page = catalog.changes({}, 10)
    assert [record.key for record in page.records] == [record.key for record in made]
    assert list(page.covered.values()) == [3]
    assert [record.key for record in catalog.changes(page.vector, 10).records] == [made[0].key]


def test_a_fair_lock_goes_to_who_waits():
    """Whoever lets the lock go and takes it again in a loop does not keep another out."""
    lock = FairLock()
    turns = []
    waiting, done = threading.Event(), threading.Event()

    def other():
        waiting.set()
        with lock:
            turns.append("other")
        done.set()

    thread = threading.Thread(target=other)
    with lock:
        thread.start()
        waiting.wait()
    for _ in range(100_000):
        with lock:
            turns.append("loop")
        if done.is_set():
            break
    thread.join()
    assert turns.index("other") < 50_000
    assert len(turns) < 100_000


def test_a_count_is_not_quick_while_somebody_is_at_the_index(catalog):
    """Who may not wait is not sent where it must wait."""
    catalog.merge([Writer().entry("a", ["x"])])
    assert catalog.is_quick(Tag("x"))
    with catalog._live.lock:
        assert not catalog.is_quick(Tag("x"))
    assert catalog.is_quick(Tag("x"))
