"""Random operations on the reference and on the catalog in SQLite, in lock step, give equal answers at every step."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from tagfs.model.record import merge
from tagfs.storage.catalog import books, start
from tagfs.storage.catalog.start import open_directory
from tagfs.storage.holdings import holding
from tagfs.storage.leaves import place
from tagfs.storage.memory import MemoryCatalog
from tests.contracts.writing import START_MS, Writer, content
from tests.storage.catalog_chance import (
    NAMES,
    SCOPES,
    SORTS,
    TAGS,
    TEXTS,
    some_change,
    some_entry,
    some_query,
)

FAR = 1 << 52
STEPS = 60


class Pair:
    """Two catalogs that are told the same."""

    def __init__(self, directory, seed):
        self.chance = random.Random(seed)
        self.now = START_MS
        self.directory = str(directory)
        self.reference = MemoryCatalog("n1", self.clock)
        self.sqlite = self.opened()
        self.reference.epoch = self.sqlite.epoch
        self.writers = [Writer(node) for node in ("n1", "n2", "n3")]
        self.refs = []
        self.foreign = {"n2/e": 0, "n3/e": 0}

    def clock(self):
        return self.now

    def opened(self):
        return open_directory(self.directory, "n1", now_ms=self.clock)

    def both(self, call):
        """The answer of both, which must be one."""
        expected, answer = call(self.reference), call(self.sqlite)
        assert answer == expected
        return expected

    def act(self):
        """One random thing happens."""
        self.now += self.chance.randrange(3)
        actions = [
            (12, self.merge),
            (4, self.merge_foreign),
            (2, self.reopen),
            (1, self.drop),
            (1, self.note_orphans),
            (1, self.note_holders),
            (1, self.renew),
            (1, self.checkpoint),
        ]
        weights, choices = zip(*actions, strict=True)
        self.chance.choices(choices, weights)[0]()

    def changes(self):
        """Some changes, some of one record."""
        made = []
        states = dict(zip(self.refs, self.reference.get(self.refs), strict=True))
        for _ in range(self.chance.choice([1, 1, 2, 5, 20])):
            writer = self.chance.choice(self.writers)
            known = [state for state in states.values() if state is not None]
            if not known or self.chance.random() < 0.3:
                change = some_entry(self.chance, writer)
                self.refs.append(change.ref)
            elif self.chance.random() < 0.1:
                change = writer.other("tag", self.chance.choice(TAGS), spelling=self.chance.choice(TAGS))
                if change.ref not in self.refs:
                    self.refs.append(change.ref)
            else:
                old = self.chance.choice(known)
                if old.kind != "entry":
                    continue
                change = some_change(self.chance, writer, old)
            old = states.get(change.ref)
            states[change.ref] = change if old is None else merge(old, change)
            made.append(change)
        return made

    def merge(self):
        made = self.changes()
        self.both(lambda catalog: list(catalog.merge(made)))

    def merge_foreign(self):
        """Changes with numbers, some of them past a gap, some covering it; now and then our own come back."""
        made = self.changes()
        origins = {}
        for change in made:
            name = self.chance.choice(list(self.foreign))
            self.foreign[name] += self.chance.choice([1, 1, 1, 2])
            origins[change.ref] = {name: self.foreign[name]}
        covered = {}
        if self.chance.random() < 0.4:
            name = self.chance.choice(list(self.foreign))
            covered[name] = self.foreign[name]
        if self.chance.random() < 0.1:
            own = f"n1/{self.sqlite.epoch}"
            covered[own] = self.sqlite.vector().get(own, 0) + self.chance.randrange(2)
        self.both(lambda catalog: list(catalog.merge(made, origins, covered)))
        self.reference.epoch = self.sqlite.epoch

    def reopen(self):
        self.sqlite.close()
        self.sqlite = self.opened()
        # Who holds what, and who is alive, is told anew after a start.
        self.reference._held = {"n1": {}}
        self.reference._news.clear()
        self.reference.note_alive(["n1"])

    def checkpoint(self):
        self.sqlite.checkpoint()

    def drop(self):
        refs = self.chance.sample(self.refs, min(4, len(self.refs)))
        self.both(lambda catalog: catalog.drop(refs))

    def note_orphans(self):
        digests = [content(text).digest for text in self.chance.sample([*TEXTS, "never"], 3)]
        if self.chance.random() < 0.5:
            self.both(lambda catalog: catalog.note_orphans(digests, self.now))
        else:
            self.both(lambda catalog: catalog.forget_orphans(digests[:1]))

    def note_holders(self):
        chosen = [each for each in self.chance.sample(self.refs, min(6, len(self.refs))) if each.kind == "entry"]
        states = [state for state in self.reference.get(chosen) if state is not None and "content" in state.fields]
        digests = [self.chance.choice([state.value("content")[0]] * 4 + [content("other").digest]) for state in states]
        items = b"".join(holding(state.key, digest) for state, digest in zip(states, digests, strict=True))
        node, held = self.chance.choice(["n1", "n2", "n3"]), self.chance.random() < 0.6
        self.both(lambda catalog: catalog.note_holders(node, items, held))
        self.both(lambda catalog: catalog.new_holdings(10_000))
        self.both(
            lambda catalog: [catalog.holdings(each, int(place(ref)[0])) for ref in chosen for each in ("n1", "n2")]
        )
        alive = self.chance.sample(["n1", "n2", "n3"], 2)
        self.both(lambda catalog: catalog.note_alive(alive))

    def renew(self):
        self.sqlite.renew_epoch()
        self.reference.epoch = self.sqlite.epoch

    def compare(self):
        """All that can be asked is answered alike."""
        chance = self.chance
        self.both(lambda catalog: list(catalog.get(self.refs)))
        self.both(lambda catalog: dict(catalog.vector()))
        self.both(lambda catalog: catalog.greatest_stamp)
        self.both(lambda catalog: dict(catalog.statistics()))
        self.both(lambda catalog: b"".join(map(catalog.leaves, range(256))))
        self.both(lambda catalog: list(catalog.records("entry", "", 1000)))
        self.both(lambda catalog: list(catalog.records("tag", "b", 3)))
        partition = chance.randrange(256)
        self.both(lambda catalog: dict(catalog.in_leaves(partition, range(256))))
        digests = [content(text).digest for text in TEXTS]
        self.both(lambda catalog: list(catalog.unreferenced(digests)))
        before = chance.choice([FAR, self.now, self.now - 2])
        self.both(lambda catalog: sorted(catalog.orphans(before, 100)))
        self.both(lambda catalog: sorted(catalog.expiring(chance.choice([FAR]), 100)))
        name, home = chance.choice(NAMES), chance.choice([None, "", "beach", "\u00e9"])
        self.both(lambda catalog: list(catalog.named(name, home)))
        self.compare_changes()
        for _ in range(6):
            self.compare_query()

    def compare_changes(self):
        vector = {name: self.chance.randrange(number + 2) for name, number in self.reference.vector().items()}
        limit = self.chance.choice([1, 3, 1000])
        page = self.both(lambda catalog: catalog.changes(vector, limit))
        self.both(lambda catalog: catalog.changes(page.vector, limit))

    def compare_query(self):
        chance = self.chance
        query = some_query(chance, [each.key for each in self.refs if each.kind == "entry"])
        scope, sort, limit = chance.choice(SCOPES), chance.choice(SORTS), chance.choice([1, 4, 1000])
        self.both(lambda catalog: catalog.count(query, scope))
        selected = [catalog.select(query, scope) for catalog in (self.reference, self.sqlite)]
        reference, sqlite = selected
        page = reference.page(sort, None, limit)
        assert sqlite.page(sort, None, limit) == page, query
        if page.next:
            assert sqlite.page(sort, page.next, limit) == reference.page(sort, page.next, limit)
        assert list(sqlite.pages(sort, limit)) == list(reference.pages(sort, limit))
        assert sorted(chain(*sqlite.ids(3))) == sorted(chain(*reference.ids(1000)))
        by_name, prefix, most = chance.random() < 0.5, chance.choice(["", "year", "b"]), chance.choice([1, 100])
        facets = [catalog.facets(query, most, prefix, by_name, scope) for catalog in (self.reference, self.sqlite)]
        assert (facets[1].total, list(facets[1].tags)) == (facets[0].total, list(facets[0].tags))


@pytest.mark.parametrize("seed", range(8))
def test_lock_step(tmp_path, seed, monkeypatch):
    """Whatever happens, restarts included, SQLite and the reference give equal answers."""
    epochs = random.Random(seed)
    for module in (books, start):
        monkeypatch.setattr(module, "new_epoch", lambda: f"{epochs.getrandbits(48):012x}")
    pair = Pair(tmp_path / "catalog", seed)
    for step in range(STEPS):
        pair.act()
        if step % 3 == 0:
            pair.compare()
    pair.sqlite.close()
