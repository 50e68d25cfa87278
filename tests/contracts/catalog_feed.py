"""The contract of a catalog, second part: numbered changes, vectors, epochs and the leaves of the hash tree."""

from __future__ import annotations

import random

from tagfs.model.entry import partition
from tagfs.model.record import Ref, encode, merge
from tagfs.storage.interfaces import Numbered
from tagfs.storage.leaves import HASH, LEAVES, NOTHING, place, record_hash
from tagfs.storage.vectors import origin
from tests.contracts.writing import Writer, ref


def own(catalog):
    """The name under which the catalog numbers changes now."""
    return origin(catalog.node, catalog.epoch)


def pull(source, target, limit=1000):
    """Catches ``target`` up with ``source``, page by page; returns the keys that crossed."""
    crossed = []
    vector = target.vector()
    while True:
        page = source.changes(vector, limit)
        assert len(page.records) <= limit
        target.merge(page.records, page.origins, page.covered)
        crossed.extend(record.key for record in page.records)
        vector = page.vector
        if not page.more:
            return crossed


def all_leaves(catalog):
    return b"".join(catalog.leaves(each) for each in range(256))


class FeedContract:
    """What :meth:`ICatalog.vector`, :meth:`changes`, :meth:`renew_epoch` and :meth:`leaves` promise."""

    def test_each_changed_record_gets_the_next_number(self, catalog):
        """Own changes are numbered one by one; a state that does not differ costs none."""
        writer = Writer()
        assert catalog.vector() == {}
        made = [writer.entry(f"f{number}") for number in range(3)]
        catalog.merge(made)
        assert catalog.vector() == {own(catalog): 3}
        catalog.merge(made)
        assert catalog.vector() == {own(catalog): 3}
        catalog.merge([made[0], writer.tag(made[1], "x"), made[2], writer.other("tag", "x", spelling="X")])
        assert catalog.vector() == {own(catalog): 5}

    def test_the_watcher_is_told_of_numbers(self, catalog):
        """Each merge that gave numbers is told once, with the states as they are now; a foreign one, or one that changes
        nothing, never."""
        writer, told = Writer(), []
        before = writer.entry("before")
        catalog.merge([before])
        catalog.watch(lambda numbered: told.append((numbered, catalog.vector())))
        made = writer.entry("a", ["x"])
        catalog.merge([made, writer.other("tag", "x", spelling="X"), writer.tag(made, "y"), writer.tag(before, "y")])
        catalog.merge([made])
        peer = Writer("n2").entry("b")
        catalog.merge([peer], {ref(peer): {"n2/e": 1}})
        refs = [ref(made), Ref("tag", "x"), ref(before)]
        states = [(each, encode(state)) for each, state in zip(refs, catalog.get(refs), strict=True)]
        catalog.merge([writer.purge(made)])
        tombstone = (ref(made), encode(catalog.get([ref(made)])[0]))
        name = own(catalog)
        assert [(n.origin, n.first, list(n.records)) for n, _ in told] == [(name, 2, states), (name, 5, [tombstone])]
        assert [vector[name] for _, vector in told] == [4, 5]

    def test_an_older_stamp_costs_no_number(self, catalog):
        """A change that loses against what is there does not change the state."""
        writer = Writer()
        made = writer.entry("a")
        older, newer = writer.set(made, name="b"), writer.set(made, name="c")
        catalog.merge([made, newer])
        before = catalog.vector()
        assert catalog.merge([older])[0] == merge(made, newer)
        assert catalog.vector() == before

    def test_changes_gives_whole_states_after_the_vector(self, catalog):
        """changes offers exactly the records changed since, as they are now, with the numbers they have."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(4)]
        catalog.merge(made)
        before = catalog.vector()
        tagged = catalog.merge([writer.tag(made[1], "x")])[0]
        page = catalog.changes(before, 10)
        assert list(page.records) == [tagged]
        assert page.origins == {ref(tagged): {own(catalog): 5}}
        assert page.vector == page.covered == catalog.vector()
        assert not page.more
        everything = catalog.changes({}, 10)
        assert [record.key for record in everything.records] == [made[each].key for each in (0, 2, 3, 1)]
        assert list(catalog.changes(catalog.vector(), 10).records) == []

    def test_pages_of_changes(self, catalog):
        """Pages are bounded, follow each other without gap or repeat, and claim coverage only at an origin's end."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(25)]
        catalog.merge(made)
        seen, vector = [], {}
        for _ in range(3):
            page = catalog.changes(vector, 10)
            assert len(page.records) <= 10
            seen.extend(record.key for record in page.records)
            vector = page.vector
            assert page.more == (len(seen) < 25)
            assert page.covered == ({} if page.more else catalog.vector())
        assert seen == [record.key for record in made]

    def test_a_page_that_ends_exactly_at_the_end(self, catalog):
        """more is false where the last record just fits."""
        writer = Writer()
        catalog.merge([writer.entry(f"f{number}") for number in range(10)])
        page = catalog.changes({}, 10)
        assert len(page.records) == 10
        assert not page.more
        assert page.covered == catalog.vector()

    def test_a_cut_page_claims_only_what_it_gave(self, catalog, other_catalog):
        """A change that a later one of the same record superseded is behind the page: the vector stops before it."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(10)]
        catalog.merge(made)
        catalog.merge([writer.tag(made[1], "again")])
        page = catalog.changes({}, 4)
        assert [record.key for record in page.records] == [made[each].key for each in (0, 2, 3, 4)]
        assert page.more
        assert page.covered == {}
        other_catalog.merge(page.records, page.origins, page.covered)
        assert other_catalog.vector() == {own(catalog): 1}
        pull(catalog, other_catalog)
        assert other_catalog.vector() == catalog.vector() == {own(catalog): 11}

    def test_a_change_between_pages_is_not_lost(self, catalog, other_catalog):
        """A record that changes while it is being pulled arrives as it is in the end, and the vectors end equal."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(10)]
        catalog.merge(made)
        vector, more = {}, True
        while more:
            page = catalog.changes(vector, 4)
            other_catalog.merge(page.records, page.origins, page.covered)
            if not vector:
                catalog.merge([writer.tag(made[1], "again"), writer.tag(made[5], "later")])
            vector, more = page.vector, page.more or page.vector != catalog.vector()
        assert other_catalog.vector() == catalog.vector()
        assert all_leaves(other_catalog) == all_leaves(catalog)

    def test_foreign_numbers(self, catalog):
        """Foreign changes keep their origins' numbers, cost none of our own, and raise the vector as far as it is
        without a gap, in whatever order they come."""
        peer = Writer("n2")
        made = [peer.entry(f"f{number}") for number in range(5)]

        def arrive(at):
            catalog.merge([made[at - 1]], {ref(made[at - 1]): {"n2/e": at}})

        arrive(2)
        assert catalog.vector() == {}
        arrive(1)
        assert catalog.vector() == {"n2/e": 2}
        arrive(5)
        arrive(4)
        assert catalog.vector() == {"n2/e": 2}
        arrive(3)
        assert catalog.vector() == {"n2/e": 5}
        arrive(3)
        assert catalog.vector() == {"n2/e": 5}

    def test_changes_behind_a_gap_are_not_offered(self, catalog):
        """What came past a gap is not offered until the gap is closed."""
        peer = Writer("n2")
        made = [peer.entry(f"f{number}") for number in range(3)]
        catalog.merge([made[0], made[2]], {ref(made[0]): {"n2/e": 1}, ref(made[2]): {"n2/e": 3}})
        page = catalog.changes({}, 10)
        assert list(page.records) == [made[0]]
        assert page.covered == {"n2/e": 1}
        catalog.merge([made[1]], {ref(made[1]): {"n2/e": 2}})
        assert {record.key for record in catalog.changes(page.vector, 10).records} == {made[1].key, made[2].key}

    def test_adopted_changes_are_offered_at_once(self, catalog):
        """What came past a gap and is adopted is offered under an own number, too, and the watcher is told; what is known already,
        or not adopted, is not."""
        told = []
        catalog.watch(told.append)
        peer, mine = Writer("n2"), own(catalog)
        made = [peer.entry(f"f{number}") for number in range(4)]
        catalog.merge([made[0]], {ref(made[0]): {"n2/e": 1}})
        origins = {ref(record): {"n2/e": number} for number, record in zip((1, 7, 8), made[:3], strict=True)}
        catalog.merge(made[:3], origins, adopted={ref(made[0]), ref(made[1])})
        assert catalog.vector() == {mine: 1, "n2/e": 1}
        page = catalog.changes({"n2/e": 1}, 10)
        assert list(page.records) == [made[1]]
        assert page.origins == {ref(made[1]): {mine: 1, "n2/e": 7}}
        assert told == [Numbered(mine, 1, [(ref(made[1]), encode(made[1]))])]
        catalog.merge([made[1]], {ref(made[1]): {"n2/e": 7}}, adopted={ref(made[1])})
        assert catalog.vector() == {mine: 1, "n2/e": 1} and len(told) == 1
        catalog.merge([made[3]])
        assert catalog.vector() == {mine: 2, "n2/e": 1}

    def test_covered_closes_gaps(self, catalog):
        """covered raises the vector, over superseded numbers too, and never lowers it."""
        peer = Writer("n2")
        made = peer.entry("a")
        catalog.merge([made], {ref(made): {"n2/e": 9}}, {"n2/e": 8, "n3/e": 4})
        assert catalog.vector() == {"n2/e": 9, "n3/e": 4}
        catalog.merge([], {}, {"n2/e": 3})
        assert catalog.vector() == {"n2/e": 9, "n3/e": 4}
        catalog.merge([], {}, {"n4/e": 1})
        assert catalog.vector() == {"n2/e": 9, "n3/e": 4, "n4/e": 1}
        page = catalog.changes({"n2/e": 9}, 10)
        assert (list(page.records), page.vector, page.covered) == ([], catalog.vector(), catalog.vector())

    def test_numbers_of_a_known_state(self, catalog):
        """A foreign number of a state that is here already counts: nothing has to cross again."""
        peer = Writer("n2")
        made = peer.entry("a")
        catalog.merge([made], {})
        assert catalog.vector() == {}
        catalog.merge([made], {ref(made): {"n2/e": 1}})
        assert catalog.vector() == {"n2/e": 1}
        assert [record.key for record in catalog.changes({}, 10).records] == [made.key]

    def test_numbers_of_other_records_are_ignored(self, catalog):
        """origins may name more than the batch: numbers count only of records that come with it."""
        peer = Writer("n2")
        made = peer.entry("a")
        catalog.merge([made], {ref(made): {"n2/e": 1}, ref(peer.entry("b")): {"n2/e": 2}})
        assert catalog.vector() == {"n2/e": 1}

    def test_a_newer_number_supersedes_the_older(self, catalog):
        """Of one record and origin only the last number counts."""
        writer = Writer()
        made = writer.entry("a")
        catalog.merge([made])
        for number in range(5):
            catalog.merge([writer.tag(made, f"t{number}")])
        page = catalog.changes({}, 10)
        assert len(page.records) == 1
        assert page.origins == {ref(made): {own(catalog): 6}}
        peer = Writer("n2")
        catalog.merge([peer.tag(made, "p")], {ref(made): {"n2/e": 4}}, {"n2/e": 4})
        catalog.merge([made], {ref(made): {"n2/e": 2}})
        assert catalog.changes({}, 10).origins == {ref(made): {own(catalog): 6, "n2/e": 4}}

    def test_a_record_of_two_origins_is_offered_once(self, catalog):
        """A record changed here and elsewhere comes once on a page, to whoever lacks either change."""
        writer, peer = Writer("n1"), Writer("n2")
        made = writer.entry("a")
        catalog.merge([made])
        catalog.merge([peer.tag(made, "x")], {ref(made): {"n2/e": 1}})
        assert len(catalog.changes({}, 10).records) == 1
        assert len(catalog.changes({own(catalog): 1}, 10).records) == 1
        assert len(catalog.changes({"n2/e": 1}, 10).records) == 1
        assert len(catalog.changes({own(catalog): 1, "n2/e": 1}, 10).records) == 0

    def test_a_vector_that_is_ahead(self, catalog):
        """A vector that knows more than we do is answered with nothing, and not taken back."""
        writer = Writer()
        catalog.merge([writer.entry("a")])
        page = catalog.changes({own(catalog): 50, "other/e": 3}, 10)
        assert list(page.records) == []
        assert not page.more
        assert page.vector == {own(catalog): 50, "other/e": 3}

    def test_three_catalogs_converge(self, make_catalog):
        """Random changes and pulls among three nodes end in equal states, vectors and leaves; each change crosses once."""
        chance = random.Random(11)
        catalogs = [make_catalog(node) for node in ("n1", "n2", "n3")]
        writers = [Writer(catalog.node) for catalog in catalogs]
        known = []
        for _ in range(120):
            at = chance.randrange(3)
            if chance.random() < 0.4:
                source, target = chance.sample(catalogs, 2)
                pull(source, target, chance.choice([1, 3, 50]))
            elif known and chance.random() < 0.6:
                catalogs[at].merge([writers[at].tag(chance.choice(known), chance.choice("pqrs"))])
            else:
                known.append(writers[at].entry(f"f{len(known)}"))
                catalogs[at].merge([known[-1]])
        for _ in range(2):
            for source in catalogs:
                for target in catalogs:
                    if source is not target:
                        pull(source, target)
        assert catalogs[0].vector() == catalogs[1].vector() == catalogs[2].vector()
        assert all_leaves(catalogs[0]) == all_leaves(catalogs[1]) == all_leaves(catalogs[2])
        for source in catalogs:
            for target in catalogs:
                assert source is target or pull(source, target) == []

    def test_renew_epoch(self, catalog):
        """A renewed epoch numbers from one again, keeps what was numbered before, and is another each time."""
        writer = Writer()
        catalog.merge([writer.entry("a"), writer.entry("b")])
        before = own(catalog)
        epoch = catalog.renew_epoch()
        assert epoch == catalog.epoch
        assert own(catalog) != before
        assert catalog.vector() == {before: 2}
        catalog.merge([writer.entry("c")])
        assert catalog.vector() == {before: 2, own(catalog): 1}
        assert len(catalog.changes({}, 10).records) == 3
        assert catalog.renew_epoch() not in (epoch, before)

    def test_own_numbers_never_given_renew_the_epoch(self, catalog):
        """Who hears of own numbers that it never gave is a restored back-up, and does not repeat them."""
        writer, later = Writer(), Writer(start_ms=Writer().now_ms + 1000)
        catalog.merge([writer.entry("a")])
        before, epoch = own(catalog), catalog.epoch
        lost = later.entry("lost")
        catalog.merge([lost], {ref(lost): {before: 2}})
        assert catalog.epoch != epoch
        assert catalog.vector() == {before: 2}
        catalog.merge([writer.entry("b")])
        assert catalog.vector() == {before: 2, own(catalog): 1}
        assert len(catalog.changes({}, 10).records) == 3

    def test_own_numbers_covered_beyond_renew_the_epoch(self, catalog):
        """The same where a page only claims them."""
        before, epoch = own(catalog), catalog.epoch
        catalog.merge([], {}, {before: 7})
        assert catalog.epoch != epoch
        assert catalog.vector() == {before: 7}

    def test_own_numbers_that_were_given_are_no_news(self, catalog):
        """A change of ours that comes back keeps the epoch and its number."""
        writer = Writer()
        made = writer.entry("a")
        catalog.merge([made])
        epoch = catalog.epoch
        catalog.merge([made], {ref(made): {own(catalog): 1}}, {own(catalog): 1})
        assert catalog.epoch == epoch
        assert catalog.vector() == {own(catalog): 1}

    def test_leaves_are_the_exclusive_or_of_hashes(self, catalog):
        """A leaf is the exclusive or of its records' hashes; tombstones and other kinds are in it."""
        writer = Writer()
        made = [writer.entry(f"f{number}", id=writer.new_id(partition=7)) for number in range(4)]
        catalog.merge([*made, writer.other("tag", "x", spelling="X")])
        catalog.merge([writer.purge(made[0]), writer.tag(made[1], "x")])
        states = [*catalog.get([ref(record) for record in made]), *catalog.records("tag", "", 10)]
        for each in range(256):
            wanted = [NOTHING] * LEAVES
            for state in states:
                at, leaf = place(state.ref)
                if at == each:
                    added = int.from_bytes(wanted[leaf], "big") ^ int.from_bytes(record_hash(encode(state)), "big")
                    wanted[leaf] = added.to_bytes(HASH, "big")
            assert catalog.leaves(each) == b"".join(wanted)

    def test_leaves_do_not_depend_on_the_way(self, catalog, other_catalog):
        """Equal sets of records have equal leaves, in whatever order and batches they came."""
        writer, chance = Writer(), random.Random(3)
        made = [writer.entry(f"f{number}", ["x"]) for number in range(60)]
        changes = [*made, *(writer.tag(record, "y", absent=["x"]) for record in made[::2])]
        changes += [writer.purge(record) for record in made[::7]]
        catalog.merge(changes)
        chance.shuffle(changes)
        for start in range(0, len(changes), 9):
            other_catalog.merge(changes[start : start + 9], {})
        assert all_leaves(catalog) == all_leaves(other_catalog)
        other_catalog.merge([writer.tag(made[1], "z")])
        assert [each for each in range(256) if catalog.leaves(each) != other_catalog.leaves(each)] == [
            partition(made[1].key)
        ]

    def test_in_leaves(self, catalog):
        """in_leaves gives the records of the leaves asked for, tombstones and other kinds too, with their hashes."""
        writer = Writer()
        made = [writer.entry(f"f{number}", id=writer.new_id(partition=9)) for number in range(50)]
        catalog.merge(made)
        states = {ref(made[0]): catalog.merge([writer.purge(made[0])])[0]}
        states.update((ref(record), record) for record in made[1:])
        other = writer.other("tag", "x", spelling="X")
        catalog.merge([other])
        by_leaf = {}
        for name in states:
            by_leaf.setdefault(place(name)[1], set()).add(name)
        wanted = [place(ref(made[0]))[1], place(ref(made[1]))[1]]
        expected = {name: record_hash(encode(states[name])) for leaf in wanted for name in by_leaf[leaf]}
        if place(other.ref)[0] == 9 and place(other.ref)[1] in wanted:
            expected[other.ref] = record_hash(encode(other))
        assert catalog.in_leaves(9, wanted) == expected
        at, leaf = place(other.ref)
        assert catalog.in_leaves(at, [leaf])[other.ref] == record_hash(encode(other))
        assert catalog.in_leaves(9, []) == {}
        everything = {name: record_hash(encode(record)) for name, record in states.items()}
        if place(other.ref)[0] == 9:
            everything[other.ref] = record_hash(encode(other))
        assert catalog.in_leaves(9, range(LEAVES)) == everything

    def test_dropped_tombstones_leave_their_leaf(self, catalog, other_catalog):
        """After drop the leaves are as if the record had never been, and changes offers it no more."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(2)]
        catalog.merge(made)
        catalog.merge([writer.purge(made[0])])
        catalog.drop([ref(made[0])])
        other_catalog.merge(made[1:])
        assert all_leaves(catalog) == all_leaves(other_catalog)
        assert [record.key for record in catalog.changes({}, 10).records] == [made[1].key]
        assert catalog.vector() == {own(catalog): 3}
