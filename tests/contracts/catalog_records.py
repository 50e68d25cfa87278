"""The contract of a catalog, first part: records, merge, and what is kept of them."""

from __future__ import annotations

import random
import threading

import pytest

from tagfs.errors import BadRequest, StorageFull
from tagfs.model.order import Scope
from tagfs.model.query import EVERYTHING, Tag
from tagfs.model.record import Ref, merge
from tests.contracts.writing import Writer, content, entry_ref, ref


class RecordsContract:
    """What :meth:`ICatalog.get`, :meth:`merge` and :meth:`records` promise."""

    def test_get_answers_in_order(self, catalog):
        """get gives the present states in the order asked, None where there is none, repeated where asked twice."""
        writer = Writer()
        first, second = writer.entry("a"), writer.other("tag", "beach", spelling="Beach")
        catalog.merge([first, second])
        absent = entry_ref(writer.new_id())
        asked = [ref(second), absent, ref(first), Ref("tag", "none"), ref(second)]
        assert list(catalog.get(asked)) == [second, None, first, None, second]
        assert list(catalog.get([])) == []

    def test_get_of_many(self, catalog):
        """A thousand refs, some unknown, are answered in order."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(700)]
        catalog.merge(made)
        asked = [each for record in made for each in (ref(record), entry_ref(writer.new_id()))]
        assert list(catalog.get(asked)) == [each for record in made for each in (record, None)]

    def test_merge_returns_the_state_after_all(self, catalog):
        """merge returns one state per change, in their order; each is the state after the whole batch."""
        writer = Writer()
        first = writer.entry("a", ["x"])
        other = writer.entry("b")
        second = writer.tag(first, "y")
        third = writer.tag(first, absent=["x"])
        states = catalog.merge([first, other, second, third])
        whole = merge(merge(first, second), third)
        assert list(states) == [whole, other, whole, whole]
        assert list(catalog.get([ref(first)])) == [whole]
        assert list(catalog.merge([])) == []

    def test_merge_asks_whether_it_may(self, catalog):
        """merge calls ready once; then all is as without it."""
        made = Writer().entry("a")
        asked = []
        states = catalog.merge([made], ready=lambda: asked.append(made))
        assert asked == [made]
        assert list(states) == list(catalog.get([ref(made)])) == [made]

    def test_what_is_not_ready_never_happened(self, catalog):
        """Where ready raises, so does merge: no record, no number, nothing in answers; the catalog goes on."""
        writer = Writer()
        first, second = writer.entry("a", ["x"]), writer.entry("b", ["x"])

        def refuse() -> None:
            raise StorageFull("no room for the content")

        vector = catalog.vector()
        with pytest.raises(StorageFull, match="no room"):
            catalog.merge([first], ready=refuse)
        assert list(catalog.get([ref(first)])) == [None]
        assert catalog.count(Tag("x")) == 0
        assert catalog.vector() == vector
        catalog.merge([second])
        assert catalog.count(Tag("x")) == 1

    def test_order_of_changes_does_not_matter(self, catalog, other_catalog):
        """The same changes in another order and other batches, some twice, give the same states."""
        writer, peer = Writer("n1"), Writer("n2")
        first = writer.entry("a", ["x"])
        changes = [first, peer.tag(first, "y"), writer.tag(first, absent=["y"]), peer.set(first, name="b")]
        catalog.merge(changes)
        shuffled = changes * 2
        random.Random(7).shuffle(shuffled)
        for change in shuffled:
            other_catalog.merge([change], {})
        assert list(catalog.get([ref(first)])) == list(other_catalog.get([ref(first)]))

    def test_equal_stamps_do_not_depend_on_order(self, catalog, other_catalog):
        """Even two values with one stamp (which no node makes) end equal everywhere."""
        record = Writer().entry("a")
        stamp = record.fields["name"].stamp
        one, two = (record._replace(fields={"name": record.fields["name"]._replace(value=name)}) for name in "pq")
        catalog.merge([record, one, two])
        other_catalog.merge([record, two])
        other_catalog.merge([one])
        assert list(catalog.get([ref(record)])) == list(other_catalog.get([ref(record)]))
        assert catalog.get([ref(record)])[0].fields["name"].stamp == stamp

    def test_a_batch_is_all_or_none(self, catalog):
        """A change that is refused leaves nothing of its batch."""
        writer = Writer()
        good = writer.entry("a")
        bad = writer.entry("b", id="not an entry id")
        with pytest.raises(BadRequest):
            catalog.merge([good, bad])
        assert list(catalog.get([ref(good)])) == [None]
        assert catalog.count(EVERYTHING) == 0
        assert catalog.vector() == {}
        assert catalog.greatest_stamp == 0

    def test_seen_by_every_later_call(self, catalog):
        """When merge returns, other threads see the change by every way."""
        writer = Writer()
        seen = []

        def look(record):
            seen.append(
                catalog.get([ref(record)])[0] == record
                and [found.id for found in catalog.named(record.value("name"))] == [record.key]
                and catalog.count(Tag(record.value("name"))) == 1
            )

        for number in range(20):
            record = writer.entry(f"f{number}", [f"f{number}"])
            catalog.merge([record])
            thread = threading.Thread(target=look, args=(record,))
            thread.start()
            thread.join()
        assert seen == [True] * 20

    def test_merges_from_several_threads(self, catalog):
        """Writers that work at once lose nothing, and each change has its own number."""
        made = {}
        for node in ("a", "b", "c", "d"):
            maker = Writer(node)
            made[node] = [maker.entry(f"{node}-{each}") for each in range(30)]
        tagged = Writer("e").entry("shared")
        catalog.merge([tagged])

        def work(node):
            writer = Writer(node)
            for number, record in enumerate(made[node]):
                catalog.merge([record, writer.tag(tagged, f"{node}{number}")])

        threads = [threading.Thread(target=work, args=(node,)) for node in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert catalog.count(EVERYTHING) == 121
        assert sum(catalog.vector().values()) == 1 + 2 * 120
        assert len(catalog.get([ref(tagged)])[0].fields) == 4 + 120

    def test_greatest_stamp(self, catalog):
        """greatest_stamp is the greatest of the node's own stamps, wherever the change came from and whatever became
        of it; other nodes' stamps do not count."""
        own, peer = Writer("n1"), Writer("n2", Writer().now_ms + 1_000_000)
        assert catalog.greatest_stamp == 0
        first = own.entry("a")
        catalog.merge([first])
        assert catalog.greatest_stamp == first.greatest().time
        catalog.merge([peer.tag(first, "x")])
        assert catalog.greatest_stamp == first.greatest().time
        own.now_ms += 5_000
        returned = own.tag(first, "y")
        catalog.merge([returned], {ref(returned): {"n2/e": 1}})
        assert catalog.greatest_stamp == returned.greatest().time
        catalog.merge([peer.purge(first)])
        own.now_ms += 5_000
        lost = own.tag(first, "z")
        catalog.merge([lost], {})
        assert catalog.greatest_stamp == lost.greatest().time

    def test_records_by_kind(self, catalog):
        """records lists one kind in order of the keys (code points), behind a key, at most so many, tombstones too."""
        writer = Writer()
        keys = ["b", "a", "é", "Z", "a b", "a\U0001f600", "a\uffee"]
        catalog.merge([writer.other("tag", key, spelling=key) for key in keys])
        catalog.merge([writer.other("search", "a", query="x"), writer.entry("f")])
        assert [record.key for record in catalog.records("tag", "", 100)] == sorted(keys)
        assert [record.key for record in catalog.records("tag", "a", 2)] == sorted(keys)[2:4]
        assert list(catalog.records("user", "", 10)) == []
        assert [record.value("query") for record in catalog.records("search", "", 10)] == ["x"]

    def test_records_lists_entries_too(self, catalog):
        """Entries are a kind like others: in order of their ids, with tombstones."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(5)]
        catalog.merge(made)
        catalog.merge([writer.purge(made[2])])
        listed = catalog.records("entry", made[0].key, 3)
        assert [record.key for record in listed] == [record.key for record in made[1:4]]
        assert set(listed[1].fields) == {"purged"}

    def test_a_purged_entry_is_a_tombstone(self, catalog):
        """What is purged is seen nowhere, and only its tombstone is kept; what comes later changes nothing."""
        writer = Writer()
        made = writer.entry("a", ["x"])
        catalog.merge([made])
        tombstone = catalog.merge([writer.purge(made)])[0]
        assert set(tombstone.fields) == {"purged"}
        before = catalog.vector()
        assert list(catalog.merge([writer.tag(made, "y"), made])) == [tombstone, tombstone]
        assert catalog.vector() == before
        assert catalog.count(EVERYTHING, Scope.ALL) == 0
        assert list(catalog.named("a")) == []

    def test_an_expired_entry_comes_back_by_a_later_restore(self, catalog):
        """An automatic purge names the trash stamp it ends: a whole state with a later restore defeats it."""
        writer, peer = Writer("n1"), Writer("n2")
        made = writer.entry("a", ["x"])
        trashed = merge(made, writer.trash(made))
        restored = merge(trashed, peer.set(trashed, trash=False))
        catalog.merge([trashed])
        tombstone = catalog.merge([writer.expire(trashed)])[0]
        assert set(tombstone.fields) == {"trash", "expired"}
        assert catalog.count(EVERYTHING, Scope.ALL) == 0
        catalog.merge([restored], {ref(made): {"n2/e": 4}})
        assert [found.id for found in catalog.named("a")] == [made.key]
        assert catalog.count(Tag("x")) == 1

    def test_a_purge_before_the_entry(self, catalog):
        """A tombstone that arrives first stays the answer when the entry's first state comes late."""
        writer = Writer()
        made = writer.entry("a", ["x"])
        catalog.merge([writer.purge(made)], {})
        catalog.merge([made], {})
        assert catalog.count(EVERYTHING, Scope.ALL) == 0
        assert set(catalog.get([ref(made)])[0].fields) == {"purged"}

    def test_parts_are_not_entries(self, catalog):
        """A record without a name or a content is kept, but shown nowhere until the rest came."""
        writer = Writer()
        made = writer.entry("a", ["x"])
        early = writer.tag(made, "y")
        catalog.merge([early], {})
        assert catalog.count(EVERYTHING, Scope.ALL) == 0
        assert list(catalog.get([ref(made)])) == [early]
        catalog.merge([made], {})
        assert catalog.count(Tag("y")) == 1
        assert catalog.named("a")[0].tags == ("x", "y")

    def test_drop(self, catalog):
        """drop forgets tombstones for good and leaves all else; a dropped id may come again."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(3)]
        catalog.merge(made)
        catalog.merge([writer.purge(made[0]), writer.purge(made[1])])
        absent = entry_ref(writer.new_id())
        assert catalog.drop([ref(made[0]), ref(made[2]), absent, ref(made[0])]) == 1
        assert [record is None for record in catalog.get([ref(each) for each in made])] == [True, False, False]
        assert catalog.drop([ref(made[0])]) == 0
        assert catalog.drop([]) == 0
        catalog.merge([made[0]])
        assert [found.id for found in catalog.named("f0")] == [made[0].key]
        assert catalog.count(EVERYTHING) == 2

    def test_values_come_back_as_they_were(self, catalog):
        """Every kind of value survives: signed 64-bit integers, bytes, text beyond the BMP, nested tuples, None."""
        writer = Writer()
        values = {
            "least": -(1 << 63),
            "greatest": (1 << 63) - 1,
            "bytes": bytes(range(256)),
            "text": "\U0001f600 ñ ñ",
            "nested": (1, (b"x", ("y", None, True)), ()),
            "none": None,
            "no": False,
        }
        made = writer.other("user", "Ада", **values)
        catalog.merge([made])
        (found,) = catalog.get([ref(made)])
        assert {name: found.value(name) for name in values} == values
        assert found == made

    def test_content_survives(self, catalog):
        """Contents and versions are handed back as they were written."""
        writer = Writer()
        made = writer.entry("a", text="one", size=(1 << 62), type="image/png")
        catalog.merge([made])
        (found,) = catalog.named("a")
        assert found.content == content("one", 1 << 62, type="image/png")
        assert found.versions == ()
