"""Rows of replies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tagfs.model.entry import Content, Entry, Version
from tagfs.model.query import Tag, parse
from tagfs.model.query.words import split_arguments
from tagfs.wire.tag_rows import entry_rows, info_fields, tag_rows, tags_text, time_text

CONTENT = Content(bytes(32), 1234, "text/plain", 1714979289123)
ENTRY = Entry("id", "ä b.txt", CONTENT, 0, ("Beach", "road trip", "year=2024"), None, None, ())


def test_entry_row() -> None:
    """An entry as FIND shows it."""
    row = ' id\t1234\t2024-05-06T07:08:09.123Z\tä b.txt\tBeach "road trip" year=2024\r\n'
    assert entry_rows([ENTRY, ENTRY]).decode() == row * 2
    assert entry_rows([]) == b""


def test_rows_cannot_be_broken() -> None:
    """A name that should not exist still cannot end its row or forge a reply."""
    evil = ENTRY._replace(name="a\r\n250 x\ty\udcff", tags=("b\n213 c",))
    assert entry_rows([evil]).count(b"\n") == 1
    assert entry_rows([evil]).count(b"\t") == 4
    assert tag_rows([("a\r\nb\tc", 1)]).count(b"\n") == 1


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1), max_size=5))
def test_tags_of_a_row_are_arguments(tags: list[str]) -> None:
    """Tags in a row, split as arguments, are the tags again."""
    assert split_arguments(tags_text(tags)) == tags


def test_tags_of_a_row_are_queries() -> None:
    """A keyword or a tag with signs is quoted, so that a query takes it for the tag."""
    for tag in ("and", "a b", "a|b", "x(", "name:x", 'q"'):
        assert parse(tags_text([tag])) == Tag(tag)
    assert tags_text(["beach", "year=2024"]) == "beach year=2024"


def test_times() -> None:
    """Milliseconds always; times that RFC 3339 cannot write are shown as the nearest."""
    assert time_text(0) == "1970-01-01T00:00:00.000Z"
    assert time_text(-1) == "1969-12-31T23:59:59.999Z"
    assert time_text(1 << 62) == "9999-12-31T23:59:59.999Z"
    assert time_text(-(1 << 62)) == "0001-01-01T00:00:00.000Z"


def test_info() -> None:
    """Every field, and versions one by one."""
    fields = dict(info_fields(ENTRY, "a/b", (2, 3), ["n1", "n2"]))
    assert fields["copies"] == "2/3"
    assert fields["nodes"] == "n1 n2"
    assert fields["home"] == "a/b"
    assert fields["versions"] == "0"
    assert "trashed" not in fields
    trashed = ENTRY._replace(trashed=1000, versions=(Version("s1", CONTENT), Version("s2", CONTENT)))
    pairs = list(info_fields(trashed, "", (1, 1), []))
    assert ("trashed", "1970-01-01T00:00:01.000Z") in pairs
    assert ("versions", "2") in pairs
    assert [value.split()[:2] for field, value in pairs if field == "version"] == [["s1", "1234"], ["s2", "1234"]]
