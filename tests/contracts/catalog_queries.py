"""The contract of a catalog, third part: queries, pages, facets and names."""

from __future__ import annotations

import random
import threading

import pytest

from tagfs.model.entry import replacement
from tagfs.model.order import NEWEST, Cursor, Scope, Sort
from tagfs.model.query import (
    EVERYTHING,
    And,
    Between,
    Compare,
    HasKey,
    InTrash,
    Not,
    Number,
    Or,
    Tag,
    TagGlob,
    Text,
    Untagged,
)
from tagfs.storage.holdings import holding, joined
from tests.contracts.writing import START_MS, Writer, content, ref

ORDERS = [Sort(key, descending) for key in ("name", "size", "added", "modified") for descending in (False, True)]


def found(catalog, query, scope=Scope.LIVE):
    """Ids of the entries that match, by every way there is to ask."""
    selection = catalog.select(query, scope)
    ids = {identifier for page in selection.ids(7) for identifier in page}
    assert selection.total == len(ids) == catalog.count(query, scope)
    assert {each.id for page in selection.pages(NEWEST, 5) for each in page} == ids
    return ids


def names(catalog, query, scope=Scope.LIVE):
    """Names of the entries that match."""
    return {each.name for page in catalog.select(query, scope).pages(NEWEST, 100) for each in page}


def by_pages(selection, sort, limit):
    """All entries of a selection, asked for page by page."""
    shown, after = [], None
    while True:
        page = selection.page(sort, after, limit)
        shown.extend(page.entries)
        if page.next is None:
            return shown
        assert len(page.entries) == limit
        after = page.next


def key_of(sort):
    """The key that a sort stands for, with the id that settles ties."""
    reads = {
        "name": lambda each: each.name,
        "size": lambda each: each.content.size,
        "added": lambda each: each.added,
        "modified": lambda each: each.content.modified,
    }
    return lambda each: (reads[sort.key](each), each.id)


class QueriesContract:
    """What :meth:`ICatalog.select`, :meth:`count`, :meth:`facets` and :meth:`named` promise."""

    @pytest.fixture
    def filled(self, catalog):
        """A catalog of a few entries with every trait that a query can name."""
        writer = Writer()
        catalog.merge(
            [
                writer.entry("a.jpg", ["beach", "year=2023"], size=10, modified=START_MS, type="image/jpeg"),
                writer.entry("b.jpg", ["beach", "year=2024", "holiday"], size=200, home="photos/2024"),
                writer.entry("c[1].txt", ["holiday"], size=3000, home="photos"),
                writer.entry("Ünder.txt", [], size=0, home=""),
                writer.entry("e*?.txt", ["hol*"], size=5, modified=START_MS + 5000, type="text/html"),
            ]
        )
        gone = writer.entry("trashed.jpg", ["beach"])
        catalog.merge([gone, writer.trash(gone)])
        return catalog

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (EVERYTHING, "a.jpg b.jpg c[1].txt Ünder.txt e*?.txt"),
            (Tag("beach"), "a.jpg b.jpg"),
            (Tag("none"), ""),
            (Tag("hol*"), "e*?.txt"),
            (TagGlob("hol*"), "b.jpg c[1].txt e*?.txt"),
            (TagGlob("b??ch"), "a.jpg b.jpg"),
            (HasKey("year"), "a.jpg b.jpg"),
            (Compare("year", ">", "2023"), "b.jpg"),
            (Compare("year", "!=", "2024"), "a.jpg"),
            (Between("year", "2023", "2024"), "a.jpg b.jpg"),
            (Untagged(), "Ünder.txt"),
            (InTrash(), ""),
            (Not(Tag("beach")), "c[1].txt Ünder.txt e*?.txt"),
            (And((Tag("beach"), Tag("holiday"))), "b.jpg"),
            (And((Tag("beach"), Not(Tag("holiday")))), "a.jpg"),
            (Or((Tag("beach"), Tag("holiday"), Tag("none"))), "a.jpg b.jpg c[1].txt"),
            (Number("size", 5, 200), "a.jpg b.jpg e*?.txt"),
            (Number("size", None, 0), "Ünder.txt"),
            (Number("modified", START_MS + 1, None), "e*?.txt"),
            (Number("added", None, START_MS), ""),
            (Text("name", "b.jpg"), "b.jpg"),
            (Text("name", "B.jpg"), ""),
            (Text("name", "*.jpg", True), "a.jpg b.jpg"),
            (Text("name", "c[1]*", True), "c[1].txt"),
            (Text("name", "?.jpg", True), "a.jpg b.jpg"),
            (Text("name", "*", True), "a.jpg b.jpg c[1].txt Ünder.txt e*?.txt"),
            (Text("name", "Ü*", True), "Ünder.txt"),
            (Text("name", "?nder*", True), "Ünder.txt"),
            (Text("type", "image/jpeg"), "a.jpg"),
            (Text("type", "text/*", True), "b.jpg c[1].txt Ünder.txt e*?.txt"),
            (Text("home", "photos"), "c[1].txt"),
            (Text("home", "photos/*", True), "b.jpg"),
            (Text("home", "p*", True), "b.jpg c[1].txt"),
            (Text("home", ""), "Ünder.txt"),
            (Text("home", "beach/year=2023"), "a.jpg"),
            (Text("home", "beach*", True), "a.jpg"),
            (And((Text("name", "*.jpg", True), Tag("holiday"))), "b.jpg"),
            (Not(Text("name", "*.jpg", True)), "c[1].txt Ünder.txt e*?.txt"),
            (Or((Text("name", "a.jpg"), Text("home", "photos"))), "a.jpg c[1].txt"),
        ],
    )
    def test_each_kind_of_query(self, filled, query, expected):
        """Each node of the syntax tree means what tagfs.model.query says; the trash is out of sight."""
        assert names(filled, query) == set(expected.split())
        found(filled, query)

    def test_scopes(self, filled):
        """LIVE, TRASH and ALL range over what they say."""
        assert names(filled, Tag("beach"), Scope.TRASH) == {"trashed.jpg"}
        assert names(filled, Tag("beach"), Scope.ALL) == {"a.jpg", "b.jpg", "trashed.jpg"}
        assert names(filled, InTrash(), Scope.ALL) == {"trashed.jpg"}
        assert names(filled, And((Not(InTrash()), Tag("beach"))), Scope.ALL) == {"a.jpg", "b.jpg"}
        assert names(filled, Not(Tag("beach")), Scope.TRASH) == set()
        assert names(filled, Text("name", "*.jpg", True), Scope.TRASH) == {"trashed.jpg"}

    def test_ids_and_digests(self, catalog):
        """id: and digest: find by the whole, by a beginning, by an end and by any pattern."""
        writer = Writer()
        made = [writer.entry(f"f{number}", text=f"text {number}") for number in range(20)]
        catalog.merge(made)
        one = made[11]
        digest = content("text 11").digest.hex()
        for pattern in (one.key, one.key[:-1] + "?", "*" + one.key[-8:], "*" + one.key[-9:-2] + "??", "*"):
            glob = pattern != one.key
            expected = {each.key for each in made} if pattern == "*" else {one.key}
            assert found(catalog, Text("id", pattern, glob)) == expected
        assert found(catalog, Text("id", "*" + one.key[-5:], True)) == {
            each.key for each in made if each.key[-5:] == one.key[-5:]
        }
        assert found(catalog, Text("id", one.key[:10] + "*", True)) == {
            each.key for each in made if each.key[:10] == one.key[:10]
        }
        for pattern in (
            digest,
            digest[:12] + "*",
            "*" + digest[-12:],
            digest[:8] + "*" + digest[-8:],
            digest[:63] + "?",
        ):
            assert found(catalog, Text("digest", pattern, pattern != digest)) == {one.key}
        assert found(catalog, Text("digest", "zz*", True)) == set()
        assert found(catalog, Text("id", "01", False)) == set()

    def test_digest_means_the_current_content(self, catalog):
        """A content that is only a version any more does not answer digest:."""
        from tagfs.model.entry import replacement

        writer = Writer()
        made = writer.entry("a", text="old")
        catalog.merge([made])
        catalog.merge([replacement(made, writer.stamp(), content("new"))])
        assert found(catalog, Text("digest", content("old").digest.hex())) == set()
        assert found(catalog, Text("digest", content("new").digest.hex()[:16] + "*", True)) == {made.key}

    def test_names_compare_in_nfc(self, catalog):
        """Names that differ only in composition are one; they are shown as they were given."""
        writer = Writer()
        composed, parted = writer.entry("\u00e9"), writer.entry("e\u0301")
        catalog.merge([composed, parted])
        assert [each.name for each in catalog.named("e\u0301")] == ["\u00e9", "e\u0301"]
        assert [each.name for each in catalog.named("\u00e9")] == ["\u00e9", "e\u0301"]
        assert found(catalog, Text("name", "\u00e9")) == {composed.key, parted.key}
        assert found(catalog, Text("name", "?", True)) == {composed.key, parted.key}

    def test_homes_compare_in_nfc(self, catalog):
        """So do homes, stored ones and those that the tags give."""
        writer = Writer()
        stored, derived = writer.entry("a", home="e\u0301"), writer.entry("a", ["\u00e9"])
        catalog.merge([stored, derived])
        assert found(catalog, Text("home", "\u00e9")) == {stored.key, derived.key}
        assert {each.id for each in catalog.named("a", "e\u0301")} == {stored.key, derived.key}

    def test_selections_stay_as_they_were(self, catalog):
        """Later changes neither add to a selection nor take away; purged entries are left out, others shown as they are."""
        writer = Writer()
        made = [writer.entry(f"f{number}", ["x"]) for number in range(6)]
        catalog.merge(made)
        selection = catalog.select(Tag("x"))
        catalog.merge([writer.tag(made[0], absent=["x"]), writer.trash(made[1]), writer.purge(made[2])])
        catalog.merge([writer.entry("late", ["x"]), writer.set(made[3], name="renamed")])
        assert selection.total == 6
        assert {each for page in selection.ids(100) for each in page} >= {made[each].key for each in (0, 1, 3, 4, 5)}
        for sort in ORDERS:
            shown = selection.page(sort, None, 100).entries
            assert {each.name for each in shown} == {"f0", "f1", "renamed", "f4", "f5"}
            assert [each for page in selection.pages(sort, 2) for each in page] == list(shown)
        assert {each.trashed is not None for each in shown if each.name == "f1"} == {True}

    def test_a_dropped_id_that_comes_again_is_not_in_old_selections(self, catalog):
        """A selection never shows an entry that did not match when it was made."""
        writer = Writer()
        made = [writer.entry(f"f{number}", ["x"]) for number in range(3)]
        catalog.merge(made)
        selection = catalog.select(Tag("x"))
        catalog.merge([writer.purge(each) for each in made])
        assert catalog.drop([ref(each) for each in made]) == 3
        catalog.merge([writer.entry(f"g{number}") for number in range(3)])
        assert list(selection.page(NEWEST, None, 10).entries) == []

    @pytest.mark.parametrize("sort", ORDERS, ids=str)
    def test_orders_and_cursors(self, catalog, sort):
        """Every order is by key, then id, both descending where asked; pages of any size give the same list."""
        chance = random.Random(5)
        writer = Writer()
        made = [
            writer.entry(
                f"n{chance.randrange(12):02}",
                chance.sample(["x", "y", "z"], 2),
                size=chance.randrange(8),
                modified=START_MS + chance.randrange(9),
                added=START_MS + chance.randrange(9),
            )
            for _ in range(90)
        ]
        catalog.merge(made)
        selection = catalog.select(Or((Tag("x"), Tag("y"))))
        everything = list(selection.page(sort, None, 1000).entries)
        assert everything == sorted(everything, key=key_of(sort), reverse=sort.descending)
        assert len(everything) == selection.total
        for limit in (1, 7, selection.total, selection.total + 1):
            assert by_pages(selection, sort, limit) == everything
            streamed = list(selection.pages(sort, limit))
            assert [each for page in streamed for each in page] == everything
            assert all(0 < len(page) <= limit for page in streamed)

    @pytest.mark.parametrize("sort", ORDERS, ids=str)
    def test_cursors_between_entries(self, catalog, sort):
        """A cursor need not be of an entry that is there: the page begins behind where it would stand."""
        writer = Writer()
        made = [writer.entry(f"n{each}", size=each * 10, added=each * 10, modified=each * 10) for each in range(8)]
        catalog.merge(made)
        selection = catalog.select(EVERYTHING)
        value = "n35" if sort.key == "name" else 35
        if sort.key == "name":
            value = "n3x"
        for identifier in ("0" * 26, "z" * 25 + "w", made[3].key):
            shown = [each.name for each in selection.page(sort, Cursor(value, identifier), 100).entries]
            assert shown == (["n3", "n2", "n1", "n0"] if sort.descending else ["n4", "n5", "n6", "n7"])

    def test_cursors_while_entries_come_and_go(self, catalog):
        """Paging on with fresh selections shows each entry that stays exactly once."""
        writer = Writer()
        chance = random.Random(2)
        stay = [writer.entry(f"s{each:03}", ["x"]) for each in range(40)]
        leave = [writer.entry(f"l{each:03}", ["x"]) for each in range(40)]
        catalog.merge([*stay, *leave])
        for sort in (NEWEST, Sort("name"), Sort("added"), Sort("size", True)):
            seen, after = [], None
            while True:
                page = catalog.select(Tag("x")).page(sort, after, 7)
                seen.extend(each.id for each in page.entries)
                if page.next is None:
                    break
                after = page.next
                if leave:
                    catalog.merge([writer.tag(leave.pop(chance.randrange(len(leave))), absent=["x"])])
                catalog.merge([writer.entry(f"m{len(seen)}", ["x"])])
            assert len(seen) == len(set(seen))
            assert set(seen) >= {each.key for each in stay}

    def test_paging_while_others_write(self, catalog):
        """One selection is paged through whole while other threads change what is in it."""
        writer = Writer()
        made = [writer.entry(f"n{each:03}", ["x"], size=each) for each in range(150)]
        catalog.merge(made)
        selection = catalog.select(Tag("x"))
        stop = threading.Event()

        def work():
            other, chance = Writer("n2"), random.Random(4)
            while not stop.is_set():
                catalog.merge([other.tag(chance.choice(made), chance.choice("abc"), absent=["x"])])

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for sort in ORDERS:
                assert {each.id for each in by_pages(selection, sort, 11)} == {each.key for each in made}
        finally:
            stop.set()
            thread.join()

    def test_empty_pages(self, catalog):
        """Nothing found is an empty page, no pages and no ids."""
        selection = catalog.select(Tag("none"))
        assert selection.total == 0
        for sort in ORDERS:
            assert selection.page(sort, None, 10) == ([], None) or not selection.page(sort, None, 10).entries
            assert list(selection.pages(sort, 10)) == []
        assert list(selection.ids(10)) == []

    def test_holders(self, catalog):
        """copies: counts the live nodes that hold a content, node: asks for any of them; at first this node holds all."""
        writer = Writer()
        made = [writer.entry(f"f{each}", ["x"]) for each in range(4)]
        ids = [each.key for each in made]
        catalog.merge(made)
        assert found(catalog, Text("node", "n1")) == found(catalog, Number("copies", 1, 1)) == set(ids)
        held = [holding(each.key, content(each.key).digest) for each in made]
        assert catalog.note_holders("n2", b"".join(held[:2]), True) == b""
        catalog.note_holders("n3", b"".join(held[1:3]), True)
        catalog.note_holders("n1", held[3], False)
        assert found(catalog, Text("node", "n2")) == set(ids[:2])
        assert found(catalog, Text("node", "n*", True)) == set(ids[:3])
        assert found(catalog, Number("copies", None, 0)) == {ids[3]}
        catalog.note_alive(["n1", "n3", "n9"])
        assert found(catalog, Number("copies", 2, None)) == set(ids[1:3])
        assert found(catalog, Not(Number("copies", 1, 1))) == set(ids[1:])
        catalog.note_alive(["n1", "n2", "n3"])
        assert found(catalog, And((Number("copies", 3, 3), Tag("x")))) == {ids[1]}
        assert [list(catalog.holders(each)) for each in ids] == [["n1", "n2"], ["n1", "n2", "n3"], ["n1", "n3"], []]
        assert list(catalog.holders(writer.new_id())) == []
        catalog.note_holders("n3", held[0] + held[1], False)
        catalog.merge([writer.tag(made[1], "y")])
        assert [list(catalog.holders(each)) for each in ids[:2]] == [["n1", "n2"]] * 2
        catalog.merge([writer.purge(made[0])])
        assert list(catalog.holders(ids[0])) == []

    def test_holders_follow_the_content(self, catalog):
        """Copies of an older content do not count, nor do those of one that is not here yet; which those are is told."""
        writer = Writer()
        one, foreign = writer.entry("a", text="one"), writer.entry("b", text="two")
        catalog.merge([one])
        catalog.merge([foreign], {foreign.ref: {"n2/e": 1}})
        old, other = holding(one.key, content("one").digest), holding(foreign.key, content("two").digest)
        unknown = holding(writer.new_id(), content("one").digest)
        stale = holding(foreign.key, content("one").digest)
        assert catalog.note_holders("n2", unknown + old + stale + other, True) == unknown + stale
        assert [list(catalog.holders(each.key)) for each in (one, foreign)] == [["n1", "n2"], ["n2"]]
        catalog.merge([replacement(one, writer.stamp(), content("new"))])
        assert list(catalog.holders(one.key)) == ["n1"]
        assert catalog.note_holders("n2", old, True) == old
        catalog.merge([replacement(foreign, writer.stamp(), content("newer"))], {foreign.ref: {"n2/e": 2}})
        assert list(catalog.holders(foreign.key)) == []
        catalog.note_holders("n1", holding(foreign.key, content("newer").digest), True)
        catalog.merge([writer.tag(foreign, "y")], {foreign.ref: {"n2/e": 3}})
        assert list(catalog.holders(foreign.key)) == ["n1"]
        assert catalog.note_holders("n2", b"", True) == b""

    def test_new_holdings(self, catalog):
        """What is new about this node's copies is told once: contents that came, and those that it got or lost."""
        writer = Writer()
        mine, foreign = writer.entry("a", text="one"), writer.entry("b", text="two")
        assert catalog.new_holdings(10) == (b"", b"")
        catalog.merge([mine])
        catalog.merge([foreign], {})
        here, lacking = holding(mine.key, content("one").digest), holding(foreign.key, content("two").digest)
        assert catalog.new_holdings(10) == (here, lacking)
        catalog.merge([writer.tag(mine, "x"), writer.trash(foreign)])
        catalog.note_holders("n1", here, True)
        catalog.note_holders("n1", lacking, False)
        catalog.note_holders("n2", lacking, True)
        assert catalog.new_holdings(10) == (b"", b"")
        catalog.note_holders("n1", here, False)
        catalog.note_holders("n1", lacking, True)
        first, second = catalog.new_holdings(1), catalog.new_holdings(1)
        assert sorted([first, second]) == sorted([(lacking, b""), (b"", here)])
        catalog.merge([replacement(mine, writer.stamp(), content("new"))])
        catalog.merge([writer.purge(foreign)])
        assert catalog.new_holdings(10) == (holding(mine.key, content("new").digest), b"")

    def test_holdings(self, catalog):
        """The holdings of one partition by node, sorted; noted back in one piece they give the same."""
        writer = Writer()
        made = [writer.entry(f"f{each}", id=writer.new_id(7)) for each in range(300)]
        made += [writer.entry("elsewhere", id=writer.new_id(8)), writer.entry("untold", id=writer.new_id(7))]
        catalog.merge(made)
        every = [holding(each.key, content(each.key).digest) for each in made]
        assert catalog.holdings("n1", 7) == joined([*every[:300], every[301]])
        assert catalog.holdings("n1", 8) == every[300]
        assert catalog.holdings("n2", 7) == catalog.holdings("n1", 9) == b""
        stale = holding(made[0].key, content("another").digest)
        assert catalog.note_holders("n2", b"".join([stale, *every[1:300]]), True) == stale
        assert catalog.holdings("n2", 7) == joined(every[1:300])
        catalog.note_holders("n1", b"".join(every), False)
        assert catalog.holdings("n1", 7) == b""
        catalog.merge([writer.purge(made[5])])
        assert catalog.holdings("n2", 7) == joined([*every[1:5], *every[6:300]])

    def test_references(self, catalog):
        """All references by content, those of versions too, a page at a time, also where many entries have one content."""
        writer = Writer()
        made = [writer.entry(f"f{each}", text="shared" if each % 2 else None) for each in range(9)]
        catalog.merge(made)
        changed = replacement(made[0], writer.stamp(), content("new"))
        part = writer.entry("part", text="part")
        catalog.merge([changed, part._replace(fields={"content": part.fields["content"]}), writer.purge(made[2])])
        expected = {(content("shared").digest, each.key, True) for each in made[1::2]}
        expected |= {(content(each.key).digest, each.key, True) for each in made[4::2]}
        expected |= {(content("new").digest, made[0].key, True), (content(made[0].key).digest, made[0].key, False)}
        expected |= {(content("part").digest, part.key, False)}
        for limit in (1, 3, 100):
            items, place = [], b""
            while place is not None:
                page = catalog.references(place, limit)
                assert len(page.items) <= limit
                items += page.items
                place = page.next
            assert set(items) == expected
            assert [each.digest for each in items] == sorted(each.digest for each in items)
        page = catalog.references(content("shared").digest, 2)
        assert [each.digest for each in page.items] == [content("shared").digest] * 2

    @pytest.mark.parametrize("prefix", ["", "t"])
    def test_facets_by_name_come_in_pages(self, catalog, prefix):
        """Behind a tag come the next ones by name; the total counts all; few of many tags, and all of them."""
        writer = Writer()
        tags = [f"t{number:03}" for number in range(300)]
        catalog.merge([writer.entry("x", [tag, "odd" if at % 2 else "even"]) for at, tag in enumerate(tags)])
        catalog.merge([writer.entry("few", ["t000", "t100", "t299", "sole"])])
        for query, expected in ((Tag("odd"), ["odd", *tags[1::2]]), (Tag("sole"), ["sole", "t000", "t100", "t299"])):
            expected = [tag for tag in expected if tag.startswith(prefix)]
            found, after = [], ""
            while (page := catalog.facets(query, 7, prefix, True, after=after)).tags:
                assert page.total == len(expected)
                found += [tag for tag, _ in page.tags]
                after = found[-1]
            assert found == expected

    def test_facets(self, catalog):
        """Facets count the tags of what matches exactly: most frequent first, equal counts by tag; total counts all."""
        writer = Writer()
        catalog.merge(
            [
                writer.entry("1", ["beach", "sun", "year=2023"]),
                writer.entry("2", ["beach", "sun", "zoo"]),
                writer.entry("3", ["beach", "ant"]),
                writer.entry("4", ["ant", "zoo", "sunny"]),
                writer.entry("5"),
            ]
        )
        gone = writer.entry("6", ["beach", "gone"])
        catalog.merge([gone, writer.trash(gone)])

        def facets(query, *arguments, **options):
            total, tags = catalog.facets(query, *arguments, **options)
            return total, list(tags)

        beach = [("beach", 3), ("sun", 2), ("ant", 1), ("year=2023", 1), ("zoo", 1)]
        assert facets(Tag("beach"), 100) == (5, beach)
        assert facets(Tag("beach"), 3) == (5, beach[:3])
        assert facets(Tag("beach"), 2, by_name=True) == (5, [("ant", 1), ("beach", 3)])
        assert facets(Tag("beach"), 10, prefix="sun") == (1, [("sun", 2)])
        assert facets(EVERYTHING, 1, prefix="sun") == (2, [("sun", 2)])
        assert facets(EVERYTHING, 10, prefix="sun", by_name=True) == (2, [("sun", 2), ("sunny", 1)])
        assert facets(EVERYTHING, 10, scope=Scope.TRASH) == (2, [("beach", 1), ("gone", 1)])
        assert facets(Tag("beach"), 10, prefix="gone", scope=Scope.ALL) == (1, [("gone", 1)])
        assert facets(Tag("none"), 10) == (0, [])
        assert facets(EVERYTHING, 2) == (6, [("beach", 3), ("ant", 2)])

    def test_facets_of_a_looked_up_query(self, filled):
        """Facets go with queries on names and homes as well."""
        assert list(filled.facets(Text("name", "b*", True), 10).tags) == [
            ("beach", 1),
            ("holiday", 1),
            ("year=2024", 1),
        ]

    def test_named(self, catalog):
        """named gives the live entries of that very name, oldest first, and under a home only those at home there."""
        writer = Writer()
        made = [
            writer.entry("x", home="a", added=300),
            writer.entry("x", home="b", added=100),
            writer.entry("x", ["a"], added=200),
            writer.entry("X", home="a"),
            writer.entry("x*", home="a"),
            writer.entry("x", home="", added=50),
        ]
        gone = writer.entry("x", home="a", added=1)
        catalog.merge([*made, gone, writer.trash(gone)])

        def keys(*arguments):
            return [
                made.index(catalog.get([ref(record)])[0])
                for found in catalog.named(*arguments)
                for record in made
                if record.key == found.id
            ]

        assert keys("x") == [5, 1, 2, 0]
        assert keys("x", "a") == [2, 0]
        assert keys("x", "b") == [1]
        assert keys("x", "") == [5]
        assert keys("x", "c") == []
        assert keys("x*") == [4]
        assert list(catalog.named("none")) == []

    def test_folders(self, catalog):
        """folders gives the next part of each home below, whatever sorts between a folder and what is in it; not of what
        is in the trash."""
        writer = Writer()
        homes = ["a", "a b", "a!", "a/x", "a/x/deep", "a/y", "a0", "b/c/d", "ünï/z", "", "a*/q", "a?"]
        gone = writer.entry("x", home="trashed/x")
        catalog.merge([*(writer.entry("x", home=home) for home in homes), gone, writer.trash(gone)])
        catalog.merge([writer.entry("y", ["b", "tagged"])])
        assert list(catalog.folders("", 100)) == ["a", "a b", "a!", "a*", "a0", "a?", "b", "ünï"]
        assert list(catalog.folders("a", 100)) == ["x", "y"]
        assert list(catalog.folders("a/x", 100)) == ["deep"]
        assert list(catalog.folders("b", 100)) == ["c", "tagged"]
        assert list(catalog.folders("a*", 100)) == ["q"]
        assert list(catalog.folders("u\u0308ni\u0308", 100)) == ["z"]
        assert list(catalog.folders("nosuch", 100)) == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
    def test_folders_come_in_pages(self, catalog, limit):
        """Pages of folders, each behind the last of the one before, are all of them in order, each once: also a folder of
        which nothing but what is below it is there, with others between it and its slash."""
        writer = Writer()
        homes = ["a b", "a b c/x", "a!", "a/x", "a", "z/a-b", "z/a.b/c", "z/a/x", "z/a-", "z/a-/b", "b/c", "b c/d"]
        catalog.merge([writer.entry("x", home=home) for home in homes])

        def pages(home):
            after, found = "", []
            while page := list(catalog.folders(home, limit, after)):
                assert len(page) <= limit
                found += page
                after = page[-1]
            return found

        assert pages("") == ["a", "a b", "a b c", "a!", "b", "b c", "z"]
        assert pages("z") == ["a", "a-", "a-b", "a.b"]

    def test_named_follows_renames(self, catalog):
        """After a rename only the new name finds the entry."""
        writer = Writer()
        made = writer.entry("old")
        catalog.merge([made])
        catalog.merge([writer.set(made, name="new")])
        assert list(catalog.named("old")) == []
        assert [each.id for each in catalog.named("new")] == [made.key]

    def test_quick_queries_count_alike(self, filled):
        """A query that is_quick counts to the same as any other way."""
        for query in (EVERYTHING, Tag("beach"), And((Tag("beach"), Tag("holiday"))), Text("name", "*.jpg", True)):
            if filled.is_quick(query):
                assert filled.count(query) == len(found(filled, query))
        assert not filled.is_quick(Text("name", "*.jpg", True))
