"""Virtual paths: what they mean, which entries they show, and under which names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import BadRequest, NotFound
from tagfs.model.entry import Content, Entry
from tagfs.model.names import name_key
from tagfs.model.order import Scope
from tagfs.model.paths import (
    MAX_LISTED_LEVEL,
    TOP,
    NameStream,
    QueryFolder,
    Recent,
    Root,
    SavedSearches,
    TagFolder,
    Trash,
    Tree,
    UntaggedView,
    VirtualPath,
    below,
    both,
    child_folder,
    denoted,
    folder,
    holds,
    home_given,
    home_of,
    is_exactly,
    lookalike,
    narrowing,
    selection,
    shown_names,
    suffixed,
    tags_given,
)
from tagfs.model.query import EVERYTHING, And, Not, Tag, Text, Untagged


def an_entry(name: str, tail: str = "0", tags: tuple[str, ...] = (), home: str | None = None) -> Entry:
    return Entry(tail.rjust(26, "0"), name, Content(b"", 0, "", 0), 0, tags, home, None, ())


def at(text: str) -> VirtualPath:
    return TOP.joined(text)


# Reading paths


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("/", ()),
        ("", ()),
        ("/beach//2024/", ("beach", "2024")),
        ("/a/./b/../c", ("a", "c")),
        ("/../../x", ("x",)),
        ("/a b/ c ", ("a b", " c ")),
        ('/"q"/ünï', ('"q"', "ünï")),
        ("/@query/a or year=2020..2024", ("@query", "a or year=2020..2024")),
    ],
)
def test_paths_are_normalised(text: str, parts: tuple[str, ...]) -> None:
    """Repeated slashes, dots and double dots go; all else stays as it is."""
    assert at(text).parts == parts


def test_relative_paths_start_at_the_current_directory() -> None:
    """A path without a slash in front is meant from where one is; one with it from the top."""
    here = at("/a/b")
    assert here.joined("c").parts == ("a", "b", "c")
    assert here.joined("../c").parts == ("a", "c")
    assert here.joined("/c").parts == ("c",)
    assert here.joined("").parts == ("a", "b")


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "a\x7fb", "a\x85b", "\x1b[2J"])
def test_control_characters_are_refused(text: str) -> None:
    """No NUL, no line end and no escape sequence gets into a path."""
    with pytest.raises(BadRequest, match="control"):
        at(text)


def test_paths_are_bounded() -> None:
    """Neither a long path nor a deep one is taken, also where the current directory is part of it."""
    with pytest.raises(BadRequest, match="characters"):
        at("x" * 20_000)
    with pytest.raises(BadRequest, match="parts"):
        at("/a" * 200)
    with pytest.raises(BadRequest, match="characters"):
        at("x" * 10_000).joined("y" * 10_000)


@given(
    st.lists(st.text(st.characters(exclude_characters="/", exclude_categories=["Cc", "Cs"]), min_size=1), max_size=6)
)
def test_every_path_reads_back(parts: list[str]) -> None:
    """The text of a path means that path, from everywhere."""
    path = VirtualPath(tuple(part for part in parts if part not in (".", "..")))
    assert at("/elsewhere").joined(str(path)) == path


def test_bytes_that_are_no_text_survive() -> None:
    """A path in another encoding than UTF-8 is no directory, and breaks nothing."""
    path = at(b"/caf\xe9/x".decode("utf-8", "surrogateescape"))
    with pytest.raises(NotFound):
        folder(path)


# Places


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/", Root()),
        ("/beach/2024", TagFolder(("beach", "2024"))),
        ("/Beach/beach", TagFolder(("Beach",))),
        ("/year=2024", TagFolder(("year=2024",))),
        ("/@tree", Tree("")),
        ("/@tree/a/-b/@c", Tree("a/-b/@c")),
        ("/@query", SavedSearches()),
        ("/@query/beach and not home:a/b", QueryFolder("beach and not home:a/b")),
        ("/@recent", Recent()),
        ("/@untagged", UntaggedView()),
        ("/@trash", Trash()),
    ],
)
def test_directories_have_their_meaning(text: str, place: object) -> None:
    """Each path is the directory that the contract says."""
    assert folder(at(text)) == place


@pytest.mark.parametrize("text", ["/@nosuch", "/@recent/x", "/@trash/x/y", "/-a", "/a/@tree", "/" + "x" * 256])
def test_what_cannot_be_a_directory_is_not_found(text: str) -> None:
    """Views have no directories below, and what is no tag is no tag folder."""
    with pytest.raises(NotFound, match="no such directory"):
        folder(at(text))


def test_directories_select_their_entries() -> None:
    """Each directory has its query and scope; those without entries of their own have none."""
    assert selection(Root()).query == Untagged()
    assert selection(TagFolder(("Beach",))).query == Tag("beach")
    assert selection(TagFolder(("b", "A"))).query == And((Tag("a"), Tag("b")))
    assert selection(Tree("a/b")).query == Text("home", "a/b")
    assert selection(Trash()).scope is Scope.TRASH
    assert selection(Recent()).newest > 0
    assert selection(SavedSearches()) is None
    assert below("") == Not(Text("home", ""))
    assert below("a") == Text("home", "a/*", glob=True)


def test_the_order_of_tags_in_a_path_does_not_matter() -> None:
    """/a/b and /b/a hold the same entries, in any spelling of the tags."""
    entry = an_entry("x", tags=("Beach", "2024"))
    assert holds(TagFolder(("beach", "2024")), entry)
    assert holds(TagFolder(("2024", "BEACH")), entry)
    assert holds(TagFolder(("beach",)), entry)
    assert not holds(TagFolder(("beach", "sea")), entry)
    assert not holds(Root(), entry)
    assert holds(UntaggedView(), an_entry("x"))


def test_storing_replaces_only_what_has_exactly_the_tags_of_the_path() -> None:
    """An entry with more tags than the path is another file; in the tree, the home alone decides."""
    entry = an_entry("x", tags=("Beach", "2024"), home="photos")
    assert is_exactly(TagFolder(("2024", "beach")), entry)
    assert not is_exactly(TagFolder(("beach",)), entry)
    assert is_exactly(Tree("photos"), entry)
    assert not is_exactly(Tree(""), entry)
    assert is_exactly(Root(), an_entry("x"))


def test_an_entry_without_a_home_is_at_its_tags() -> None:
    """Where nothing else was said, the tags in alphabetical order are the home."""
    assert home_of(an_entry("x", tags=("b", "A"))) == "a/b"
    assert home_of(an_entry("x", tags=("b",), home="")) == ""
    assert home_of(an_entry("x")) == ""


# Directories in directories


def test_only_tags_that_narrow_are_listed() -> None:
    """A tag that every entry of the directory has, or that is in the path, is no directory in it."""
    counts = [("beach", 10), ("2024", 4), ("all", 10), ("Sun", 1)]
    assert narrowing(TagFolder(("Beach",)), 10, counts) == ["2024", "Sun"]
    assert narrowing(Root(), 10, counts) == ["2024", "all", "beach", "Sun"]


def test_listings_end_at_three_levels() -> None:
    """A client that follows every listing ends: no more than three tags are ever listed in a row."""
    counts = [(f"t{number}", 1) for number in range(8)]
    assert narrowing(TagFolder(("a", "b")), 5, counts)
    assert not narrowing(TagFolder(("a", "b", "c")), 5, counts)
    assert not narrowing(TagFolder(("a", "b", "c", "d")), 5, counts)
    assert MAX_LISTED_LEVEL == 3


@pytest.mark.parametrize(
    ("parent", "home", "child"),
    [("", "a/b", "a"), ("a", "a/b/c", "b"), ("a", "a", None), ("a", "ab/c", None), ("", "", None), ("a/b", "a", None)],
)
def test_the_tree_lists_the_way_to_each_home(parent: str, home: str, child: str | None) -> None:
    """A folder lists the next part of each home below it."""
    assert child_folder(parent, home) == child


# Shown names

TAILS = st.text("01x", min_size=8, max_size=9)
NAMES = st.one_of(
    st.sampled_from(["x", "x.txt", "a.tar.gz", ".bashrc", "Mr. Smith", "x~y", "é", "e\u0301", "~", "a."]),
    st.builds(suffixed, st.sampled_from(["x", "x.txt", "x~00000001.txt"]), st.text("01x", min_size=8, max_size=8)),
)
ENTRIES = st.dictionaries(TAILS, NAMES, max_size=12).map(
    lambda named: [an_entry(name, tail) for tail, name in named.items()]
)
FOLDERS = st.frozensets(NAMES.map(name_key), max_size=3)


def find(entries: list[Entry], shown: str) -> Entry | None:
    """Resolves a name as a directory does: what reads as suffixed first, then the real name."""
    reading = lookalike(shown)
    if reading:
        entry = denoted(reading.tail, [e for e in entries if name_key(e.name) == name_key(reading.name)])
        if entry:
            return entry
    return next((entry for entry in entries if name_key(entry.name) == name_key(shown)), None)


@given(ENTRIES, FOLDERS)
def test_every_shown_name_is_its_own_and_resolves(entries: list[Entry], folders: frozenset[str]) -> None:
    """No two entries, and no entry and directory, are shown alike; every shown name leads back to its entry."""
    shown = shown_names(entries, folders)
    assert len(shown) == len(entries)
    names = [name_key(name) for name, _ in shown]
    assert len({*names, *folders}) == len(names) + len(folders)
    for name, entry in shown:
        assert find(entries, name) == entry


@given(ENTRIES, FOLDERS, st.integers(1, 5))
def test_names_are_the_same_when_they_stream_by(entries: list[Entry], folders: frozenset[str], piece: int) -> None:
    """A directory read in pieces shows the same names as one read as a whole."""
    ordered = sorted(entries, key=lambda entry: (name_key(entry.name), entry.id))
    stream = NameStream(folders)
    named = []
    for start in range(0, len(ordered), piece):
        part = ordered[start : start + piece]
        denoting = {
            entry.name
            for entry in part
            if (reading := lookalike(entry.name))
            and denoted(reading.tail, [e for e in entries if name_key(e.name) == name_key(reading.name)])
        }
        named += stream.feed(part, denoting)
    named += stream.finish()
    assert named == shown_names(entries, folders)


@given(st.text(min_size=1), st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=8, max_size=8))
def test_suffixed_names_read_back(name: str, tail: str) -> None:
    """Any name with any end of an id reads back as these two."""
    assert lookalike(suffixed(name, tail)) == (name, tail)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photo.jpg", "photo~7m2k9xq4.jpg"),
        ("a.tar.gz", "a.tar~7m2k9xq4.gz"),
        (".bashrc", ".bashrc~7m2k9xq4"),
        ("README", "README~7m2k9xq4"),
        ("Mr. Smith went", "Mr. Smith went~7m2k9xq4"),
    ],
)
def test_the_id_stands_before_the_extension(name: str, shown: str) -> None:
    """Programs go by the extension, so it stays at the end."""
    assert suffixed(name, "7m2k9xq4") == shown


def test_names_that_are_alone_stay_as_they_are() -> None:
    """A real name that only looks suffixed is shown as it is."""
    entries = [an_entry("x~7m2k9xq4.txt", "1"), an_entry("x.txt", "2")]
    assert [name for name, _ in shown_names(entries)] == ["x.txt", "x~7m2k9xq4.txt"]


def test_many_entries_of_one_name_take_bounded_memory() -> None:
    """Behind the first thousands, whole ids tell entries of one name apart."""
    stream = NameStream(frozenset())
    named = list(stream.feed([an_entry("x", f"{number:08}") for number in range(5000)], ()))
    assert len({name for name, _ in named}) == 5000
    assert len(named[0][0]) < len(named[-1][0])


def test_storing_somewhere_gives_tags_and_a_home() -> None:
    """The path says both; in the tree, a folder whose name can be no tag is a folder only."""
    assert tags_given(TagFolder(("b", "A"))) == ("b", "A")
    assert home_given(TagFolder(("b", "A"))) == "b/A"
    assert tags_given(Tree("a/-x/@y/b")) == ("a", "b")
    assert home_given(Tree("a/-x")) == "a/-x"
    assert tags_given(Tree("")) == tags_given(Root()) == ()
    assert home_given(Root()) == home_given(UntaggedView()) == ""


def test_queries_are_joined_flat() -> None:
    """No And holds another, and what matches everything adds nothing."""
    assert both(Tag("a"), EVERYTHING) == Tag("a")
    assert both(EVERYTHING, EVERYTHING) == EVERYTHING
    assert both(And((Tag("a"), Tag("b"))), Tag("c")) == And((Tag("a"), Tag("b"), Tag("c")))
