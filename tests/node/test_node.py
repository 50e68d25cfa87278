"""INode over the reference stores: storing, querying, changing and forgetting entries, and the rights to do so."""

from __future__ import annotations

from typing import Any

import pytest
from blake3 import blake3
from zope.interface.verify import verifyObject

from tagfs.errors import BadRequest, Conflict, Forbidden, NotFound
from tagfs.model.order import Cursor, Scope, Sort
from tagfs.model.principal import NOBODY, OWNER, Principal, Role
from tagfs.model.query import EVERYTHING, parse
from tagfs.node.group_commit import GroupCommit
from tagfs.node.interfaces import Copies, Figure, INode, IReceiving
from tagfs.node.receiving import media_type
from tests.node.conftest import START_MS, World, now

READER = Principal("reader", Role.READ)


def names(world: World, query: str, **more: Any) -> list[str]:
    return sorted(entry.name for entry in now(world.node.find(OWNER, parse(query), **more)).entries)


def test_the_interfaces_are_provided(world: World) -> None:
    """Node and what it hands out have every method of their interfaces."""
    verifyObject(INode, world.node)
    verifyObject(IReceiving, now(world.node.receive(OWNER)))


def test_a_stored_file_is_found_by_its_tags_and_read_back(world: World) -> None:
    """The main job, once through the house."""
    identifier = world.store("sea.jpg", "Beach", "year=2024", data=b"waves")
    found = now(world.node.find(OWNER, parse("beach and year > 2023")))
    assert [entry.id for entry in found.entries] == [identifier]
    entry = found.entries[0]
    assert (entry.name, entry.tags, entry.content.size, entry.content.type) == (
        "sea.jpg",
        ("Beach", "year=2024"),
        5,
        "image/jpeg",
    )
    assert (found.total, found.complete, found.next) == (1, True, None)
    assert world.content(identifier) == b"waves"
    assert world.content(identifier, offset=1, length=3) == b"ave"
    assert world.content(identifier, offset=5) == b""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.svg", "image/svg+xml"),
        ("a.b.JPG", "image/jpeg"),
        ("a.tar.gz", "application/gzip"),
        ("a.svgz", "application/gzip"),
        ("data:text,x.png", "image/png"),
        ("plain", "application/octet-stream"),
        (".png", "image/png"),
        ("a.", "application/octet-stream"),
    ],
)
def test_a_name_suggests_a_type(name: str, expected: str) -> None:
    """By its endings alone, whatever else is in it."""
    assert media_type(name) == expected


@pytest.mark.parametrize("end", ["add", "abort", "keep"])
def test_a_complete_content_can_still_end_in_any_way(world: World, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Where the device is slow it is durable already, but nobody sees it unless it becomes an entry's; given up, it can be
    dropped."""
    monkeypatch.setattr(GroupCommit, "is_slow", True)
    receiving = now(world.node.receive(OWNER))
    receiving.write(b"waves")
    receiving.complete()
    digest = blake3(b"waves").digest()
    assert world.blobs.stat(digest) is not None
    assert names(world, "") == []
    if end == "add":
        assert world.content(now(receiving.add("sea", ["beach"])).id) == b"waves"
        return
    if end == "keep":
        assert now(receiving.keep("sea")) == 5
        assert now(world.node.kept(OWNER, "sea")) == 5
    receiving.abort()
    assert names(world, "") == []
    assert world.blobs.drop(digest)


def test_info_tells_everything(world: World) -> None:
    """INFO names home, copies and nodes; a home that was not given is made of the tags."""
    told = now(world.node.info(OWNER, world.store("a", "b", "a")))
    assert told.copies == Copies(1, 1)
    assert told.nodes == ["testnode"]
    assert told.home == "a/b"
    assert now(world.node.info(OWNER, world.store("a", home="x/y"))).home == "x/y"


def test_a_large_content_goes_through_the_writer(world: World) -> None:
    """Contents beyond the small ones take another way and come back the same."""
    data = bytes(range(256)) * 4096
    receiving = now(world.node.receive(OWNER))
    for start in range(0, len(data), 100_000):
        receiving.write(data[start : start + 100_000])
    identifier = now(receiving.add("large", ())).id
    reading = now(world.node.read(OWNER, identifier))
    assert reading.size == len(data)
    assert now(reading.read(1 << 21)) == data


def test_an_aborted_content_leaves_nothing(world: World) -> None:
    """abort() before or after bytes came stores nothing."""
    for data in (b"", b"x", b"x" * 300_000):
        receiving = now(world.node.receive(OWNER))
        receiving.write(data)
        receiving.abort()
        receiving.abort()
    assert now(world.node.count(OWNER, EVERYTHING)) == 0
    assert world.blobs.usage().contents == 0


def test_a_key_stores_once(world: World) -> None:
    """A repeat with the same key gives the first id and changes nothing; another user's key is another key."""
    first = world.store("a", data=b"one", key="k")
    assert world.store("b", data=b"two", key="k") == first
    assert world.content(first) == b"one"
    receiving = now(world.node.receive(Principal("other", Role.WRITE)))
    receiving.write(b"three")
    assert now(receiving.add("c", (), key="k")).id != first
    assert now(world.node.count(OWNER, EVERYTHING)) == 2


def test_a_key_stores_once_also_after_the_entry_was_purged(world: World) -> None:
    """A late repeat must not bring a purged file back."""
    first = world.store("a", key="k")
    now(world.node.delete(OWNER, parse("name:a")))
    now(world.node.purge(OWNER, parse("name:a")))
    assert world.store("a", key="k") == first
    assert now(world.node.count(OWNER, EVERYTHING, Scope.ALL)) == 0


@pytest.mark.parametrize(
    ("name", "tags", "more"),
    [
        ("..", (), {}),
        ("a/b", (), {}),
        ("", (), {}),
        ("a", ("-x",), {}),
        ("a", ("x/y",), {}),
        ("a", ("",), {}),
        ("a", ("x" * 300,), {}),
        ("a", tuple(f"t{number}" for number in range(1001)), {}),
        ("a", (), {"home": "../x"}),
        ("a", (), {"key": ""}),
        ("a", (), {"key": "k" * 256}),
    ],
)
def test_bad_arguments_store_nothing(world: World, name: str, tags: tuple[str, ...], more: dict[str, str]) -> None:
    """Names, tags, homes and keys are checked below all doors."""
    with pytest.raises(BadRequest):
        world.store(name, *tags, **more)
    assert now(world.node.count(OWNER, EVERYTHING)) == 0


def test_the_first_spelling_of_a_tag_is_shown(world: World) -> None:
    """Tags compare folded; the definition keeps the spelling, over a restart too."""
    world.store("a", "Straße")
    world.store("b", "STRASSE")
    world.restart()
    assert now(world.node.tags(OWNER, EVERYTHING)).tags == [("Straße", 2)]
    assert names(world, "strasse") == ["a", "b"]


def test_bulk_changes_count_what_they_changed(world: World) -> None:
    """add, delete and mixed re-tagging count entries that really changed; the trash is left alone."""
    for name in "abc":
        world.store(name, "x")
    world.store("d", "x", "y")
    now(world.node.delete(OWNER, parse("name:c")))
    assert now(world.node.add_tags(OWNER, parse("x"), ["Y", "x"])).changed == 2
    assert now(world.node.add_tags(OWNER, parse("x"), ["y"])).changed == 0
    assert now(world.node.delete_tags(OWNER, parse("x"), ["y", "z"])).changed == 3
    assert now(world.node.retag(OWNER, parse("name:a"), ["n"], ["x"])).changed == 1
    assert names(world, "n") == ["a"]
    assert names(world, "x") == ["b", "d"]


def test_more_entries_than_a_batch_change(world: World) -> None:
    """A bulk change goes on beyond its first batch."""
    for number in range(2_050):
        world.store(str(number), "x", data=b"")
    assert now(world.node.add_tags(OWNER, parse("x"), ["y"])).changed == 2_050
    assert now(world.node.count(OWNER, parse("y"))) == 2_050


def test_the_empty_query_changes_nothing(world: World) -> None:
    """A forgotten query is not a wish to change everything."""
    world.store("a", "x")
    node = world.node
    for call in (
        node.delete(OWNER, EVERYTHING),
        node.restore(OWNER, EVERYTHING),
        node.purge(OWNER, EVERYTHING),
        node.add_tags(OWNER, EVERYTHING, ["y"]),
        node.delete_tags(OWNER, EVERYTHING, ["x"]),
        node.add_tags(OWNER, parse("x"), []),
    ):
        with pytest.raises(BadRequest):
            now(call)
    assert names(world, "x and not y") == ["a"]


def test_the_trash(world: World) -> None:
    """Deleting hides, restoring shows again, purging forgets; each works on its own part only."""
    kept = world.store("a", "x", data=b"kept")
    world.store("b", "x")
    assert now(world.node.purge(OWNER, parse("x"))).changed == 0
    assert now(world.node.delete(OWNER, parse("x"))).changed == 2
    assert names(world, "x") == []
    assert names(world, "in:trash and x") == ["a", "b"]
    assert world.content(kept) == b"kept"
    assert now(world.node.restore(OWNER, parse("name:a"))).changed == 1
    assert now(world.node.purge(OWNER, parse("x"))).changed == 1
    assert names(world, "x") == ["a"]
    assert names(world, "in:trash") == []


def test_one_entry_changes(world: World) -> None:
    """rename, move and touch change what they say and nothing else."""
    identifier = world.store("a", "x", "y", data=b"one")
    assert now(world.node.rename(OWNER, identifier, "b")).changed == 1
    assert now(world.node.rename(OWNER, identifier, "b")).changed == 0
    now(world.node.move(OWNER, identifier, name="c", add=["z"], delete=["x"], home="h"))
    now(world.node.touch(OWNER, identifier, 77))
    told = now(world.node.info(OWNER, identifier))
    assert (told.entry.name, told.entry.tags, told.home) == ("c", ("y", "z"), "h")
    assert (told.entry.content.modified, told.entry.versions) == (77, ())
    with pytest.raises(NotFound):
        now(world.node.rename(OWNER, "0" * 26, "x"))
    with pytest.raises(BadRequest):
        now(world.node.rename(OWNER, "nonsense", "x"))


def test_a_replaced_content_is_kept_as_a_version(world: World) -> None:
    """replace() keeps id and tags, and the old bytes stay readable."""
    identifier = world.store("a", "x", data=b"one")
    for data in (b"two", b"three"):
        receiving = now(world.node.receive(OWNER))
        receiving.write(data)
        assert now(receiving.replace(identifier)).id == identifier
    versions = now(world.node.info(OWNER, identifier)).entry.versions
    assert [world.content(identifier, version=version.stamp) for version in versions] == [b"one", b"two"]
    assert world.content(identifier) == b"three"
    with pytest.raises(NotFound):
        world.content(identifier, version="none")
    receiving = now(world.node.receive(OWNER))
    with pytest.raises(NotFound):
        now(receiving.replace("0" * 26))


def test_tags_are_renamed_and_deleted_everywhere(world: World) -> None:
    """A renamed tag merges into the other, in the trash too; what is not there is an error."""
    world.store("a", "old", "New")
    world.store("b", "old")
    now(world.node.delete(OWNER, parse("name:b")))
    assert now(world.node.rename_tag(OWNER, "old", "new")).changed == 2
    now(world.node.restore(OWNER, parse("new")))
    assert now(world.node.tags(OWNER, EVERYTHING)).tags == [("New", 2)]
    assert now(world.node.rename_tag(OWNER, "new", "NEW")).changed == 2
    assert now(world.node.tags(OWNER, EVERYTHING)).tags == [("NEW", 2)]
    assert now(world.node.delete_tag(OWNER, "new")).changed == 2
    assert names(world, "untagged") == ["a", "b"]
    for call in (world.node.rename_tag(OWNER, "none", "x"), world.node.delete_tag(OWNER, "none")):
        with pytest.raises(NotFound):
            now(call)


def test_a_deleted_tag_is_forgotten_with_its_spelling(world: World) -> None:
    """Who uses it next decides how it is shown; the same for one that was renamed away."""
    world.store("a", "Beach", "Old")
    now(world.node.delete_tag(OWNER, "beach"))
    now(world.node.rename_tag(OWNER, "old", "new"))
    world.store("b", "BEACH", "OLD")
    assert now(world.node.tags(OWNER, parse("name:b"))).tags == [("BEACH", 1), ("OLD", 1)]


def test_declared_tags(world: World) -> None:
    """A tag can be a directory though nothing carries it, and stops being one only when nothing does."""
    assert now(world.node.declare_tag(OWNER, "Empty"))
    assert not now(world.node.declare_tag(OWNER, "empty"))
    world.restart()
    assert now(world.node.declared(OWNER)) == ["Empty"]
    identifier = world.store("a", "empty")
    with pytest.raises(Conflict):
        now(world.node.undeclare_tag(OWNER, "empty"))
    now(world.node.delete_tags(OWNER, parse(f"id:{identifier}"), ["empty"]))
    now(world.node.undeclare_tag(OWNER, "empty"))
    assert now(world.node.declared(OWNER)) == []
    with pytest.raises(NotFound):
        now(world.node.undeclare_tag(OWNER, "empty"))


def test_saved_searches(world: World) -> None:
    """They are kept by name, replaced, listed and forgotten; their text must be a query."""
    now(world.node.save_search(OWNER, "b", "x and y"))
    now(world.node.save_search(OWNER, "a", "z"))
    now(world.node.save_search(OWNER, "b", "x or y"))
    assert now(world.node.saved_searches(OWNER)) == [("a", "z"), ("b", "x or y")]
    with pytest.raises(BadRequest):
        now(world.node.save_search(OWNER, "c", "(x"))
    now(world.node.save_search(OWNER, "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "x"))
    now(world.node.unsave_search(OWNER, "cafe\N{COMBINING ACUTE ACCENT}"))
    now(world.node.unsave_search(OWNER, "a"))
    with pytest.raises(NotFound):
        now(world.node.unsave_search(OWNER, "a"))
    assert now(world.node.saved_searches(OWNER)) == [("b", "x or y")]


def test_pages_and_listings_agree(world: World) -> None:
    """Cursor pages in any order give each entry once, as the stream does."""
    for number in range(30):
        world.store(f"n{number % 7}", data=bytes(number % 5))
    for key in ("name", "size", "added", "modified"):
        for descending in (False, True):
            sort = Sort(key, descending)
            paged: list[str] = []
            after: Cursor | None = None
            while True:
                found = now(world.node.find(OWNER, EVERYTHING, sort, after, 7))
                assert found.total == 30
                paged += [entry.id for entry in found.entries]
                if (after := found.next) is None:
                    break
            listing = now(world.node.listing(OWNER, EVERYTHING, sort))
            streamed: list[str] = []
            while piece := now(listing.next()):
                streamed += [entry.id for entry in piece]
            listing.close()
            assert paged == streamed
            assert len(set(paged)) == 30


def test_limits_and_sorts_are_checked(world: World) -> None:
    """Bounds of pages are errors, not silently cut."""
    for call in (
        world.node.find(OWNER, EVERYTHING, limit=-1),
        world.node.find(OWNER, EVERYTHING, limit=10_001),
        world.node.find(OWNER, EVERYTHING, Sort("colour")),
        world.node.listing(OWNER, EVERYTHING, Sort("colour")),
        world.node.tags(OWNER, EVERYTHING, 0),
    ):
        with pytest.raises(BadRequest):
            now(call)
    assert now(world.node.find(OWNER, EVERYTHING, limit=0)).total == 0


def test_reading_beyond_the_end_is_an_error(world: World) -> None:
    """An offset outside the content is named; a length beyond the end is cut."""
    identifier = world.store("a", data=b"12345")
    for offset in (-1, 6):
        with pytest.raises(BadRequest):
            now(world.node.read(OWNER, identifier, offset))
    assert world.content(identifier, offset=3, length=100) == b"45"
    with pytest.raises(NotFound):
        now(world.node.read(OWNER, "0" * 26))


def test_an_unfinished_upload_is_resumed_by_its_owner(world: World) -> None:
    """What was kept goes on where it stopped, for the same principal only, and is no entry before."""
    receiving = now(world.node.receive(OWNER))
    receiving.write(b"first ")
    assert now(receiving.keep("dir/file")) == 6
    assert now(world.node.count(OWNER, EVERYTHING)) == 0
    assert now(world.node.kept(OWNER, "dir/file")) == 6
    assert now(world.node.kept(Principal("other", Role.WRITE), "dir/file")) is None
    resumed = now(world.node.resume(OWNER, "dir/file", 6))
    resumed.write(b"second")
    assert resumed.size == 12
    assert world.content(now(resumed.add("file", ())).id) == b"first second"
    with pytest.raises(NotFound):
        now(world.node.resume(OWNER, "dir/file", 6))


def test_rights(world: World) -> None:
    """A reader changes nothing; nobody sees nothing."""
    identifier = world.store("a", "x")
    node, query = world.node, parse("x")
    changes = [
        lambda who: node.receive(who),
        lambda who: node.resume(who, "slot", 0),
        lambda who: node.add_tags(who, query, ["y"]),
        lambda who: node.delete_tags(who, query, ["x"]),
        lambda who: node.delete(who, query),
        lambda who: node.restore(who, query),
        lambda who: node.purge(who, query),
        lambda who: node.rename(who, identifier, "b"),
        lambda who: node.touch(who, identifier, 1),
        lambda who: node.rename_tag(who, "x", "y"),
        lambda who: node.delete_tag(who, "x"),
        lambda who: node.declare_tag(who, "z"),
        lambda who: node.undeclare_tag(who, "z"),
        lambda who: node.save_search(who, "s", "x"),
        lambda who: node.unsave_search(who, "s"),
    ]
    questions = [
        lambda who: node.read(who, identifier),
        lambda who: node.count(who, query),
        lambda who: node.find(who, query),
        lambda who: node.listing(who, query),
        lambda who: node.tags(who, query),
        lambda who: node.named(who, "a"),
        lambda who: node.info(who, identifier),
        lambda who: node.kept(who, "slot"),
        lambda who: node.declared(who),
        lambda who: node.saved_searches(who),
        lambda who: node.nodes(who),
        lambda who: node.sync(who, 1),
    ]
    for change in changes:
        with pytest.raises(Forbidden):
            now(change(READER))
    for ask in changes + questions:
        with pytest.raises(Forbidden):
            now(ask(NOBODY))
    for ask in questions:
        now(ask(READER))


def test_the_node_lists_itself(world: World) -> None:
    """A node that is alone is a cluster of one."""
    world.store("a", data=b"12345")
    (status,) = now(world.node.nodes(OWNER))
    assert (status.id, status.name, status.state, status.entries, status.bytes) == ("testnode", "test", "alive", 1, 5)
    assert now(world.node.sync(OWNER, 0.1)) is True


def test_stamps_never_go_back_over_a_restart(world: World) -> None:
    """A clock that was set back does not make later changes lose."""
    identifier = world.store("a")
    world.now_ms = START_MS - 1_000_000
    world.restart()
    assert now(world.node.rename(OWNER, identifier, "b")).changed == 1
    assert names(world, "name:b") == ["b"]


def test_who_watches_hears_of_every_changed_entry(world: World) -> None:
    """Stored, retagged, deleted and purged: each is told by its id, and nothing after the end; other records are not told."""
    heard: list[str] = []
    stop = world.node.watch(READER, heard.extend)
    first, second = world.store("a", "t"), world.store("b", "t")
    now(world.node.retag(OWNER, parse("t"), ["u"], []))
    now(world.node.delete(OWNER, parse("name:a")))
    now(world.node.purge(OWNER, parse("name:a")))
    now(world.node.save_search(OWNER, "s", "t"))
    assert heard[:2] == [first, second] and sorted(heard[2:4]) == sorted([first, second]) and heard[4:] == [first] * 2
    stop()
    world.store("c")
    assert len(heard) == 6
    with pytest.raises(Forbidden):
        world.node.watch(NOBODY, heard.extend)


def test_figures_tell_of_queues_and_whatever_a_part_adds(world: World) -> None:
    """Each part of the node that has figures adds its own report."""
    world.core.reports.append(lambda: [Figure("copies_owed", "Copies.", 3, {"node": "n"})])
    told = {(figure.name, *figure.labels.values()): figure.value for figure in world.node.figures()}
    assert told[("copies_owed", "n")] == 3
    assert told[("pool_calls", "readers")] == told[("commit_queue",)] == 0
