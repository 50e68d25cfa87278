"""What queries mean: the reference evaluator and the rule of comparison."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.model.entry import Content, Entry
from tagfs.model.names import split_tag
from tagfs.model.order import Scope
from tagfs.model.query import EVERYTHING, And, Between, Compare, HasKey, InTrash, Not, Or, Tag, matches, parse
from tagfs.model.query.meaning import (
    compare,
    glob_matches,
    in_scope,
    mentions_trash,
    order,
    ranges_over,
    reading,
    value_test,
)
from tests.model.query_trees import entries, keys, operators, queries, values

NOV_2026 = 1793491200000


def an_entry(*tags, **changed):
    made = Entry(
        "01hzx3abcdefghjkmnpqabc128",
        "IMG_1.JPG",
        Content(bytes.fromhex("ab" * 32), 2048, "image/jpeg", NOV_2026),
        NOV_2026 + 5,
        tuple(sorted(tags)),
        None,
        None,
        (),
    )
    return made._replace(**changed)


@pytest.mark.parametrize(
    ("query", "tags", "expected"),
    [
        # Each comparison stands on its own
        ("x > 5 and x < 2", ("x=1", "x=10"), True),
        ("x > 5 and x < 2", ("x=3",), False),
        ("x = 2..9", ("x=1", "x=10"), False),
        ("x = 2..9", ("x=1", "x=5"), True),
        # != needs the key, not = does not
        ("x != 1", ("x=1",), False),
        ("x != 1", ("x=2",), True),
        ("x != 1", ("x=1", "x=2"), True),
        ("x != 1", ("y",), False),
        ("not x = 1", ("y",), True),
        ("not x = 1", ("x=1", "x=2"), False),
        # Numbers, dates, text
        ("x = 1", ("x=1.0",), True),
        ("x = 1", ("x=+01",), True),
        ("x = 1", ("x=1a",), False),
        ("x < 10", ("x=9",), True),
        ("x < 10", ("x=-3.5",), True),
        ("x < b", ("x=a",), True),
        ("x < 10", ("x=9a",), False),
        ("x = Abc", ("x=abc",), True),
        ("x > 9007199254740992", ("x=9007199254740993",), True),
        ("x = 0.1", ("x=0.10000000000000000001",), False),
        ("x = nan", ("x=nan",), True),
        ("x < inf", ("x=5",), True),
        ("taken = 2024-05", ("taken=2024-05-03",), True),
        ("taken = 2024", ("taken=2024-05-03",), True),
        ("taken > 2024-05", ("taken=2024-05-03",), False),
        ("taken >= 2024-05-03", ("taken=2024-05-03t10:00:00z",), True),
        ("taken = 2024-01..2024-05", ("taken=2024-05-31",), True),
        ("taken < 2024-05-03", ("taken=2024-05",), True),
        ("taken = 2024-05-03T10:00:00Z", ("taken=2024-05-03t12:00:00+02:00",), True),
        # Literal tags are not compared
        ('"x=1"', ("x=1",), True),
        ('"x=1"', ("x=1.0",), False),
        ("x", ("x=1",), False),
        ('x=""', ("x=",), True),
        ('x="y=z"', ("x=y=z",), True),
        # Wildcards
        ("hol*", ("holiday",), True),
        ("hol*", ("hol",), True),
        ("hol*", ("ahol",), False),
        ("?ol", ("hol",), True),
        ("x=*", ("x=",), True),
        ("x=*", ("x",), False),
        ("x=?*", ("x=",), False),
        ("year=20*", ("year=1920",), False),
        ("year=20*", ("year=2024",), True),
        ('"a*"', ("ab",), False),
        ("*", (), False),
        # Connectives
        ("a or b c", ("a",), True),
        ("a or b c", ("b",), False),
        ("(a or b) c", ("a",), False),
        ("a -b", ("a",), True),
        ("a -b", ("a", "b"), False),
        ("untagged", (), True),
        ("untagged", ("a",), False),
        ("", (), True),
        ("not ()", ("a",), False),
    ],
)
def test_tags(query, tags, expected):
    """What tags satisfy which query."""
    assert matches(parse(query), an_entry(*tags)) is expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name:IMG_1.JPG", True),
        ("name:img_1.jpg", False),
        ("name:*.JPG", True),
        ("name:!=x", True),
        ("type:image", True),
        ("type:IMAGE/*", True),
        ("type:text", False),
        ("size:2K", True),
        ("size:>2047", True),
        ("size:>2K", False),
        ("size:1..2048", True),
        ("size:!=2K", False),
        ("modified:2026-11-01T00:00:00.000Z", True),
        ("added:2026-11", True),
        ("added:<2026-11", False),
        ("added:>2026-10", True),
        ("id:abc128", True),
        ("id:01hzx3abcdefghjkmnpqabc128", True),
        ("id:01HZX3*", True),
        ("id:01hzx3", False),
        ("digest:abab", True),
        ("digest:ba", False),
        ("home:a/b", True),
        ("home:a", False),
        ("home:a/*", True),
        ("copies:2", True),
        ("copies:<2", False),
        ("node:N1", True),
        ("node:n*", True),
        ("node:n3", False),
        ("in:trash", False),
        ("not in:trash", True),
    ],
)
def test_fields(query, expected):
    """What else of an entry satisfies which query; a home that nobody chose is made of the tags."""
    assert matches(parse(query), an_entry("b", "a"), copies=2, nodes=("n1", "N2")) is expected


def test_scopes():
    """A query that says in:trash itself ranges over the trash; others over what is asked for."""
    live, trashed = an_entry("a"), an_entry("a", trashed=7)
    assert [in_scope(live, scope) for scope in (Scope.LIVE, Scope.TRASH, Scope.ALL)] == [True, False, True]
    assert [in_scope(trashed, scope) for scope in (Scope.LIVE, Scope.TRASH, Scope.ALL)] == [False, True, True]
    assert matches(parse("in:trash"), trashed)
    nested = parse("a or (b and not (c or in:trash))")
    assert mentions_trash(nested)
    assert not mentions_trash(parse("a or (b and not c)"))
    assert ranges_over(nested, Scope.LIVE) is Scope.ALL
    assert ranges_over(nested, Scope.TRASH) is Scope.TRASH
    assert ranges_over(parse("a"), Scope.LIVE) is Scope.LIVE
    assert ranges_over(EVERYTHING, Scope.TRASH) is Scope.TRASH
    assert ranges_over(InTrash(), Scope.LIVE) is Scope.ALL


@given(queries, queries, entries)
def test_connectives_are_logic(one, other, entry):
    """And, or, not mean what they say, whatever stands in them (De Morgan, the excluded middle)."""
    left, right = matches(one, entry), matches(other, entry)
    assert matches(And((one, other)), entry) is (left and right)
    assert matches(Or((one, other)), entry) is (left or right)
    assert matches(Not(one), entry) is not left
    assert matches(Not(Or((one, other))), entry) is matches(And((Not(one), Not(other))), entry)


@given(entries, keys, operators, values)
def test_a_comparison_wants_some_value(entry, key, operator, value):
    """A comparison is true where some value of that key satisfies it, and each tag counts alone."""
    each = [an_entry(tag) for tag in entry.tags]
    query = Compare(key, operator, value)
    assert matches(query, entry) is any(matches(query, alone) for alone in each)
    if matches(query, entry):
        assert matches(HasKey(key), entry)


@given(entries)
def test_a_comparison_with_its_own_value_is_true(entry):
    """Bare x=1 finds whatever the literal tag "x=1" finds."""
    for tag in entry.tags:
        assert matches(Tag(tag), entry)
        pair = split_tag(tag)
        if pair:
            assert matches(Compare(pair[0], "=", pair[1]), entry)


@given(values, values)
def test_exactly_one_of_less_equal_greater(left, right):
    """The three relations exclude each other, and the others are made of them."""
    less, equal, greater = (compare(left, operator, right) for operator in ("<", "=", ">"))
    assert less + equal + greater == 1
    assert compare(left, "!=", right) is not equal
    assert compare(left, "<=", right) is (less or equal)
    assert compare(left, ">=", right) is (greater or equal)


@given(values, values, values)
def test_a_range_is_two_comparisons(value, low, high):
    """A range takes in both of its ends."""
    wanted = compare(value, ">=", low) and compare(value, "<=", high)
    assert value_test(Between("k", low, high))(value) is wanted
    assert value_test(Compare("k", ">=", low))(value) is compare(value, ">=", low)


@pytest.mark.parametrize("text", ["nan", "inf", "1e5", "0x1", "1_0", "", ".", "+", "--1", "١", "1 ", "9" * 256])
def test_what_is_no_number(text):
    """Only plain decimals of bounded length are numbers."""
    assert reading(text).number is None


def test_numbers_are_exact():
    """No float between two numbers: 255 digits differ by one."""
    assert order("9" * 255, "9" * 254 + "8") == 1
    assert order("0." + "1" * 250, "0." + "1" * 249) == 1
    assert order("-0", "0") == 0


@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=8))
def test_wildcards_against_a_slow_rule(pattern, text):
    """The regular expression agrees with the definition of * and ?, taken literally."""

    def fits(pattern, text):
        if not pattern:
            return not text
        if pattern[0] == "*":
            return fits(pattern[1:], text) or (bool(text) and fits(pattern, text[1:]))
        return bool(text) and pattern[0] in ("?", text[0]) and fits(pattern[1:], text[1:])

    assert glob_matches(pattern, text) is fits(pattern, text)


def test_wildcards_never_explode():
    """A pattern with many stars takes no more than its length times the text's."""
    begin = time.perf_counter()
    assert not glob_matches("*a" * 100 + "*b", "a" * 255)
    assert time.perf_counter() - begin < 0.5
