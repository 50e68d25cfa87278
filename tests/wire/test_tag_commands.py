"""Command lines of the tag protocol."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import BadRequest, TagfsError
from tagfs.model.order import NEWEST, Cursor, Scope, Sort
from tagfs.model.query import EVERYTHING, And, Tag, quote_tag
from tagfs.wire import tag_commands as commands
from tagfs.wire.cursor import encode_cursor
from tagfs.wire.tag_commands import Add, Find, Get, Tags

ID = "0123456789abcdefghjkmnpqr8"
CURSOR = Cursor("müller.txt", ID)
READERS = [
    commands.read_add,
    commands.read_find,
    commands.read_get,
    commands.read_query,
    commands.read_rename,
    commands.read_rename_tag,
    commands.read_retag,
    commands.read_save,
    commands.read_search,
    commands.read_id,
    commands.read_new_user,
    commands.read_user_role,
    commands.read_selection,
    commands.read_tag,
    commands.read_tags,
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", Find(EVERYTHING, Scope.LIVE, None, NEWEST, None)),
        (" beach ", Find(Tag("beach"), Scope.LIVE, None, NEWEST, None)),
        ("beach |", Find(Tag("beach"), Scope.LIVE, None, NEWEST, None)),
        ('"a|b" | limit=5', Find(Tag("a|b"), Scope.LIVE, 5, NEWEST, None)),
        ('"a\\"|b"|limit=5', Find(Tag('a"|b'), Scope.LIVE, 5, NEWEST, None)),
        ("x | after= limit=5", Find(Tag("x"), Scope.LIVE, 5, NEWEST, None)),
        ("| sort=-size limit=0", Find(EVERYTHING, Scope.LIVE, 0, Sort("size", True), None)),
        (
            f"x | after={encode_cursor(CURSOR, Sort('name'))} sort=name",
            Find(Tag("x"), Scope.LIVE, None, Sort("name"), CURSOR),
        ),
    ],
)
def test_find(text: str, found: Find) -> None:
    """A query, then options in any order; a bar in quotes is none."""
    assert commands.read_find(text) == found


def test_trash_is_ranged_over_where_it_is_named() -> None:
    """A query that says in:trash is asked of everything."""
    assert commands.read_find("in:trash x").scope is Scope.ALL
    assert commands.read_query("not (x or in:trash)")[1] is Scope.ALL
    assert commands.read_query("x")[1] is Scope.LIVE


@pytest.mark.parametrize(
    ("text", "add"),
    [
        ("5 a.txt", Add(5, "a.txt", [])),
        ("  5   a.txt  x  y=1 ", Add(5, "a.txt", ["x", "y=1"])),
        ('5 "a b.txt" "road trip" "q\\"q"', Add(5, "a b.txt", ["road trip", 'q"q'])),
        ("5 a | key=k", Add(5, "a", [], "k")),
        (
            '5 a t| folder="my photos/x" modified=2024-05-06T07:08:09.123Z key="a b"',
            Add(5, "a", ["t"], "a b", 1714979289123, "my photos/x"),
        ),
        ("5 a | modified=2024-05-06", Add(5, "a", [], None, 1714953600000)),
        ("5 limit=3 and or", Add(5, "limit=3", ["and", "or"])),
    ],
)
def test_add(text: str, add: Add) -> None:
    """Names and tags are literal; options follow the bar."""
    assert commands.read_add(text) == add


@given(st.text(min_size=1, max_size=20), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_add_of_any_names(name: str, tags: list[str]) -> None:
    """Whatever may be a name or a tag comes through in double quotes, and what may not is refused."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    line = " ".join(["7", quoted(name), *map(quoted, tags)])
    with suppress(BadRequest):
        assert commands.read_add(line) == Add(7, name, tags)
        rows = " ".join(map(quote_tag, tags))
        assert commands.read_add(f"7 {quoted(name)} {rows}").tags == tags


@pytest.mark.parametrize(
    ("line", "size"), [(b"5 a", 5), (b" 0", 0), (b"007 x", 7), (b"9223372036854775807 a", (1 << 63) - 1), (b"5\tx", 5)]
)
def test_announced_size(line: bytes, size: int) -> None:
    """The size is known however wrong the rest is."""
    assert commands.announced_size(line) == size


@pytest.mark.parametrize(
    "line", [b"", b" ", b"a", b"-1 a", b"+1 a", b"1.0 a", b"1e3 a", b"0x1", b"5a b", b"1_0 a", b"9223372036854775808 a"]
)
def test_unreadable_size(line: bytes) -> None:
    """What is no size is never guessed at."""
    with pytest.raises(BadRequest):
        commands.announced_size(line)


@pytest.mark.parametrize(
    ("reader", "text", "column"),
    [
        (commands.read_find, "beach and )", 11),
        (commands.read_find, "x | limit=-1", 5),
        (commands.read_find, "x | limit=99999999999999999999", 5),
        (commands.read_find, "x | Limit=1", 5),
        (commands.read_find, "x | sort=name sort=size", 15),
        (commands.read_find, "x | sort=", 5),
        (commands.read_find, "x | after=!", 5),
        (commands.read_find, "x | y | z", 7),
        (commands.read_find, "x | limit=1|sort=name", 12),
        (commands.read_add, "1 a t | key=a|b", 14),
        (commands.read_retag, "pipe | x | y", 10),
        (commands.read_retag, "t | a|b", 6),
        (commands.read_tag, "a|b", 2),
        (commands.read_rename_tag, "pipe | pi|pe", 10),
        (commands.read_rename, f"{ID} | a|b", 31),
        (commands.read_user, "a|b", 2),
        (commands.read_find, '"x | limit=1', 1),
        (commands.read_query, "x | limit=1", 3),
        (commands.read_add, "5", 2),
        (commands.read_add, '5 "a b" | colour=1', 11),
        (commands.read_add, "5 a | key=", 7),
        (commands.read_tags, "| limit=0", 3),
        (commands.read_tags, "| limit=10001", 3),
        (commands.read_tags, "| sort=size", 3),
        (commands.read_retag, "a", 2),
        (commands.read_retag, "a |", 4),
        (commands.read_retag, "| x", 1),
        (commands.read_selection, "  ", 1),
        (commands.read_selection, "()", 1),
        (commands.read_get, "a b", 3),
        (commands.read_get, f"{ID} | offset=-1", 30),
        (commands.read_rename, f"{ID} |", 29),
        (commands.read_rename, f'{ID} | "a b" c', 36),
        (commands.read_rename_tag, "a | b c", 7),
        (commands.read_rename_tag, "a", 2),
        (commands.read_save, "a", 2),
        (commands.read_save, "a | b and and", 11),
        (commands.read_tag, "a b", 3),
        (commands.read_tag, " a/b", 2),
        (commands.read_id, " x", 2),
        (commands.read_get, "x", 1),
        (commands.read_add, "x a", 1),
        (commands.read_add, "5 a/b t", 3),
        (commands.read_add, "5 a  t x/y", 8),
        (commands.read_add, '5 "a b" t @x | key=k', 11),
        (commands.read_add, "5 a | folder=..", 7),
        (commands.read_retag, "beach | a/b", 9),
        (commands.read_retag, "beach | a b -c", 13),
        (commands.read_rename, f"x | {ID}", 1),
        (commands.read_rename, f"{ID} |  a/b c", 31),
        (commands.read_rename, f'{ID} | "a/b"', 30),
        (commands.read_rename_tag, "a/b | c", 1),
        (commands.read_rename_tag, "a | @c", 5),
        (commands.read_save, "a/b | c", 1),
        (commands.read_save, "a |", 4),
        (commands.read_save, "a | ( ) ", 4),
        (commands.read_search, "", 1),
        (commands.read_search, " a/b", 2),
        (commands.read_new_user, "a:b read", 1),
        (commands.read_new_user, "ab king", 4),
        (commands.read_user_role, "ab king", 4),
    ],
)
def test_complaints_name_the_column(reader, text: str, column: int) -> None:
    """A refusal says where: counted in the text behind the verb and one space."""
    with pytest.raises(BadRequest, match=rf"^column {column}: ") as caught:
        reader(text)
    assert "None" not in str(caught.value)


def test_other_commands() -> None:
    """Each reads what the contract shows."""
    assert commands.read_tags("") == Tags(EVERYTHING, 10_000, "", False)
    assert commands.read_tags("x | prefix=be sort=name limit=7") == Tags(Tag("x"), 7, "be", True)
    assert commands.read_get(f"{ID} | length=0 offset=3 version=v") == Get(ID, 3, 0, "v")
    assert commands.read_retag('a b | "x y" z') == (And((Tag("a"), Tag("b"))), ["x y", "z"])
    assert commands.read_rename(f"{ID} | my  own file") == (ID, "my  own file")
    assert commands.read_rename(f'{ID} | "a|b"') == (ID, "a|b")
    assert commands.read_rename_tag('"road trip" | travel') == ("road trip", "travel")
    assert commands.read_save('"my search" | a or "b|c"') == ("my search", 'a or "b|c"')
    assert commands.read_seconds(" ", 3) == 3
    assert commands.read_seconds("1.5", 3) == 1.5
    for text in ("-1", "3601", "1e3", "x"):
        with pytest.raises(BadRequest):
            commands.read_seconds(text, 3)


@given(st.text(st.sampled_from('ab "|\\=-:().*,5é\udcff\n'), max_size=30), st.sampled_from(READERS))
def test_any_text_is_read_or_refused(text: str, reader) -> None:
    """Nothing but our own errors comes out of a command line."""
    with suppress(TagfsError):
        reader(text)
