"""Words, quotes and the bar of command lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import QueryError
from tagfs.model.query.words import located_arguments, part_at_bar, quoted, split_arguments


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", []),
        (" \t ", []),
        ("a b", ["a", "b"]),
        ("  a\u3000b\xa0c ", ["a", "b", "c"]),
        ('"a b" c', ["a b", "c"]),
        ('a"b c"d', ["ab cd"]),
        ('key="a b"', ["key=a b"]),
        (r'"say \"hi\" \\ "', ['say "hi" \\ ']),
        ('""', [""]),
        ('and (x) "a|b" <5>', ["and", "(x)", "a|b", "<5>"]),
        ("back\\slash", ["back\\slash"]),
    ],
)
def test_arguments_are_literal(text, arguments):
    """Only white space, quotes and bars mean something in arguments."""
    assert split_arguments(text) == arguments


@given(st.lists(st.text(max_size=10), max_size=5))
def test_quoted_arguments_come_back(several):
    """Whatever is quoted is read back as it was."""
    assert split_arguments(" ".join(map(quoted, several))) == several


def test_arguments_know_their_columns():
    """Each argument comes with the column that it begins at, counted from that of the text."""
    assert located_arguments(' a  "b c" d', 10) == [("a", 11), ("b c", 14), ("d", 20)]


@pytest.mark.parametrize(
    ("text", "column"),
    [('a "b', 12), ('"', 10), (r'x "a\z"', 14), ("a|b", 11), ("|", 10), ("x | y", 12), ('"a"|', 13)],
)
def test_mistakes_in_arguments_have_columns(text, column):
    """A mistake in arguments names its column in the whole line."""
    with pytest.raises(QueryError) as caught:
        split_arguments(text, 10)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("line", "query", "arguments", "column"),
    [
        ("a b", "a b", None, 4),
        ("a | b", "a ", " b", 4),
        ("|b", "", "b", 2),
        ('"a|b" | c | d', '"a|b" ', " c | d", 8),
        (r'"a\"|" | c', r'"a\"|" ', " c", 9),
        ("", "", None, 1),
    ],
)
def test_the_bar(line, query, arguments, column):
    """The first bar outside quotes parts a query from arguments."""
    assert part_at_bar(line) == (query, arguments, column)


def test_a_bar_behind_an_open_quote_is_no_bar():
    """A quote that is not closed is a mistake, never half a command."""
    with pytest.raises(QueryError, match="column 3"):
        part_at_bar('a "b | c')


@given(st.text('ab |"\\', max_size=30))
def test_parting_loses_nothing(line):
    """Query, bar and arguments are the whole line."""
    try:
        query, arguments, column = part_at_bar(line)
    except QueryError:
        return
    assert line == query + ("" if arguments is None else f"|{arguments}")
    assert arguments is None or line[column - 1 :] == arguments
