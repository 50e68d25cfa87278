"""Entries and queries for the tests of the index: few tags and small numbers, so that things meet often."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st

from tagfs.model.entry import Content, Entry, entry_id
from tagfs.model.query import (
    And,
    Between,
    Compare,
    Everything,
    HasKey,
    InTrash,
    Not,
    Number,
    Or,
    Query,
    Tag,
    TagGlob,
    Text,
    Untagged,
)
from tagfs.model.query.meaning import matches

patient = settings(deadline=None, max_examples=60)
"""For properties here: other work on the machine is no failure."""

TAGS = (
    "beach",
    "berlin",
    "blurry",
    "year=2023",
    "year=2024",
    "year=10",
    "year=9",
    "year=9.0",
    "year=2024-05-03",
    "rating=high",
    "x=",
    "=y",
    "x=1=2",
)
TYPES = ("text/plain", "image/jpeg", "Image/PNG", "text/html; charset=utf-8")
SMALL = st.integers(0, 6)


@st.composite
def entries(draw: st.DrawFn, tags: tuple[str, ...] = TAGS) -> Entry:
    """Any entry; its id has little chance to be another's."""
    content = Content(bytes(32), draw(SMALL), draw(st.sampled_from(TYPES)), draw(SMALL) - 3)
    identifier = entry_id(draw(SMALL), draw(st.binary(min_size=10, max_size=10)))
    chosen = tuple(sorted(draw(st.sets(st.sampled_from(tags), max_size=5))))
    trashed = draw(st.none() | st.just(7))
    return Entry(identifier, f"n{draw(SMALL)}", content, draw(SMALL), chosen, None, trashed, ())


SAMPLE = Entry(entry_id(5, bytes(10)), "n1", Content(bytes(32), 3, "text/plain", 0), 5, ("beach",), None, None, ())

VALUES = st.sampled_from(("2023", "2024", "9", "10", "high", "", "1=2", "2024-01-01"))
BOUNDS = st.none() | st.integers(-5, 8)
LEAVES = st.one_of(
    st.builds(Everything),
    st.builds(Untagged),
    st.builds(InTrash),
    st.sampled_from((*TAGS, "unknown")).map(Tag),
    st.sampled_from(("b*", "*r*", "be?ch", "*", "year=*", "q*", "?", "=*")).map(TagGlob),
    st.sampled_from(("year", "x", "rating", "")).map(HasKey),
    st.builds(
        Compare, st.sampled_from(("year", "x", "rating")), st.sampled_from(("=", "!=", "<", "<=", ">", ">=")), VALUES
    ),
    st.builds(Between, st.sampled_from(("year", "x")), VALUES, VALUES),
    st.builds(Number, st.sampled_from(("size", "added", "modified", "copies")), BOUNDS, BOUNDS),
    st.builds(Text, st.just("type"), st.sampled_from(("text/plain", "image/png", "image/gif"))),
    st.builds(Text, st.just("type"), st.sampled_from(("image/*", "*html*", "gif*")), st.just(True)),
    st.builds(Text, st.just("node"), st.sampled_from(("here", "there", "nowhere"))),
    st.builds(Text, st.just("node"), st.just("?here"), st.just(True)),
    st.builds(Text, st.just("name"), st.sampled_from(("n1", "n2", "n"))),
    st.builds(Text, st.just("name"), st.sampled_from(("n*", "?1")), st.just(True)),
)


NODE_LEAVES = st.one_of(
    st.builds(Number, st.just("copies"), st.none() | st.integers(-1, 3), st.none() | st.integers(-1, 3)),
    st.builds(Text, st.just("node"), st.sampled_from(("here", "there", "nowhere"))),
    st.builds(Text, st.just("node"), st.just("?here"), st.just(True)),
)


def _combined(inner: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    several = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.one_of(inner.map(Not), several.map(And), several.map(Or))


NODE_QUERIES: st.SearchStrategy[Query] = st.recursive(NODE_LEAVES | LEAVES, _combined, max_leaves=3)
QUERIES: st.SearchStrategy[Query] = st.recursive(LEAVES, _combined, max_leaves=8)


class NaiveLookups:
    """Answers lookups from a table of entries."""

    def __init__(self, table: dict[int, Entry]) -> None:
        self.table = table

    def rows(self, field: str, pattern: str, glob: bool) -> Iterable[int]:
        return [row for row, entry in self.table.items() if matches(Text(field, pattern, glob), entry)]
