"""Quoting, addresses and the values in replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.client import BadAddress, ClientError, ProtocolViolation, parse_address
from tagfs.client.rows import found_row, node_row, pairs, stored, tag_count
from tagfs.client.text import check_line, check_query, options, quoted, tags_in, word, words
from tagfs.model.names import tag_fault

TAGS = st.text(min_size=1, max_size=30).filter(lambda text: tag_fault(text) is None)


@given(st.lists(TAGS, max_size=6))
def test_any_tags_survive_a_command_line(tags):
    """What is written as arguments is read back as the same tags, whatever characters they have."""
    assert list(tags_in(words(tags))) == tags


@given(TAGS)
def test_a_word_never_ends_the_arguments(tag):
    """No tag, however odd, breaks out of its argument: no bare space, bar or quote is left in it."""
    line = word(tag)
    assert line == tag or (line[0] == line[-1] == '"' and check_query(line) == line)
    if line == tag:
        assert not set(' |"()\\') & set(line)


@given(TAGS)
def test_a_quoted_tag_is_one_literal(tag):
    """quoted() always gives one double-quoted literal."""
    assert tags_in(quoted(tag)) == (tag,)


@pytest.mark.parametrize("line", ["a\nDELETE b", "a\rb", "a\0b", "a\x1bb"])
def test_a_line_break_cannot_smuggle_a_command(line):
    """Control characters are refused before anything is sent."""
    with pytest.raises(ClientError):
        check_line(line)


def test_a_bar_in_a_query_is_refused_unless_quoted():
    """A bare | would turn the rest of a query into options; in quotes it is part of a tag."""
    assert check_query('"a|b" and c') == '"a|b" and c'
    assert check_query(r'"a\"|b"') == r'"a\"|b"'
    with pytest.raises(ClientError, match="column 3"):
        check_query("a | limit=1")


def test_options_leave_out_what_is_not_given():
    """Only given options are sent, quoted where they have to be."""
    assert options(limit=None) == ""
    assert options(limit=5, folder="a b") == ' | limit=5 folder="a b"'


def test_tags_with_open_quotes_are_refused():
    """A row whose quotes do not close is no row."""
    with pytest.raises(ProtocolViolation):
        tags_in('"open tag')


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", 2121),
        ("localhost:99", "localhost", 99),
        ("[::1]:99", "::1", 99),
        ("[::1]", "::1", 2121),
        ("::1", "::1", 2121),
        ("fe80::1%eth0", "fe80::1%eth0", 2121),
    ],
)
def test_addresses_are_read(text, host, port):
    """Host names, IPv4 and IPv6, with and without a port."""
    assert parse_address(text) == (host, port)
    assert parse_address(str(parse_address(text))) == (host, port)


@pytest.mark.parametrize(
    "text", ["", ":21", "a:", "a:0", "a:65536", "a:x", "a:²", "[::1", "[::1]x", "a b:1", "http://a"]
)
def test_wrong_addresses_are_refused(text):
    """What is no address gets a message that shows how to write one."""
    with pytest.raises(BadAddress):
        parse_address(text)


def test_rows_of_the_wrong_shape_are_refused():
    """A row with too few columns or a size that is no number is an error, not a guess."""
    for row in ("", "a\tb", "id\tx\tm\tn\tt", "id\t1\tm\tn"):
        with pytest.raises(ProtocolViolation):
            found_row(row)
    with pytest.raises(ProtocolViolation):
        tag_count("many\ttag")
    with pytest.raises(ProtocolViolation):
        node_row("a\tb\tc\talive\taddr\t1")


def test_replies_to_add_are_read():
    """Copies, degraded, and the 451 that keeps a content."""
    made = "0" * 26
    assert stored(250, f"{made} copies=2/3 degraded") == (made, 2, 3, True, False)
    assert stored(451, f"{made} copies=1/3 kept, will be completed") == (made, 1, 3, False, True)
    assert stored(451, "no space") is None
    assert pairs("total=5 complete=yes next=abc=") == {"total": "5", "complete": "yes", "next": "abc="}


def test_tag_counts_of_odd_tags():
    """Tags in TAGS may be bare with spaces or quoted."""
    assert tag_count("3\tx y") == ("x y", 3)
    assert tag_count('3\t"x y"') == ("x y", 3)
