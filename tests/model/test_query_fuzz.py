"""Whatever is asked, the answer is a tree or a QueryError, soon."""

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import QueryError
from tagfs.model.entry import Content, Entry
from tagfs.model.query import matches, parse, to_text
from tagfs.model.query.parser import MAX_DEPTH, MAX_LENGTH

SIGNS = [
    "a",
    " ",
    "-",
    "(",
    ")",
    "=",
    "!=",
    "<",
    ">=",
    "..",
    "*",
    "?",
    '"',
    "\\",
    "|",
    "@",
    "/",
    "\0",
    "\u0338",
    "İ",
    "\ud800",
]
WORDS = ["and", "or ", "not ", "eq ", "x=1", "size:", "10M", "added:", "2026-11", "name:", "in:trash", "untagged"]
fragments = st.sampled_from(SIGNS + WORDS)
ENTRY = Entry("0" * 26, "n", Content(b"\0" * 32, 1, "text/plain", 1), 1, ("a", "x=1"), None, None, ())


def outcome(text):
    """The tree of a query, or its mistake."""
    try:
        return parse(text)
    except QueryError as error:
        return error


@given(st.one_of(st.text(), st.lists(fragments, max_size=30).map("".join)))
def test_any_text_is_a_query_or_a_mistake_in_it(text):
    """Nothing but QueryError comes out, with a column inside the text; what is read can be printed and read again."""
    found = outcome(text)
    if isinstance(found, QueryError):
        assert 1 <= found.column <= len(text) + 1
        assert len(str(found)) < 400
    else:
        assert parse(to_text(found)) == found
        assert matches(found, ENTRY) in (True, False)


NASTY = {
    "parentheses": "(",
    "closed": ")",
    "nots": "not ",
    "dashes": "-",
    "quotes": '"',
    "escapes": '"\\"',
    "open escapes": '"' + "\\\\" * 10,
    "backslashes": "\\",
    "operators": "=",
    "exclamations": "!",
    "comparisons": "a=1 ",
    "ranges": "x=1..",
    "dots": "x=" + "." * 60,
    "stars": "*",
    "globs": "a*?*b ",
    "many terms": "a or ",
    "fields": "name:",
    "globs of names": "name:*a*b*c*d* ",
    "digits": "size:" + "9" * 300,
    "spaces": " ",
    "ideographic spaces": "a\u3000",
    "mixed quotes": 'a"b"',
    "combining": "a\u0301\u0323",
    "growing": "ŉ",
    "keyword pieces": "and",
    "word operators": "a lt ",
    "spaces before operators": "a" + " " * 50,
    "groups": "(a)",
    "nested": "(a or (b -(c ",
}


@pytest.mark.parametrize("piece", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("end", ["", '"', "x", "=1"])
def test_the_longest_nasty_query_is_quick(piece, end):
    """The longest query allowed parses or fails in less than a second, whatever it repeats."""
    text = (piece * (MAX_LENGTH // len(piece)))[: MAX_LENGTH - len(end)] + end
    begin = time.perf_counter()
    outcome(text)
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("shape", ["(a or b -(", "not (a or ", "a (b or "])
def test_the_deepest_query_can_be_used_from_a_deep_stack(shape):
    """The deepest tree can be printed, compared, hashed, shown and evaluated with half of the stack in use."""
    weight = shape.count("(") + shape.count("not") + shape.count("-")
    repeated = MAX_DEPTH // weight
    text = shape * repeated + "x" + ")" * shape.count("(") * repeated

    def deep(frames):
        if frames:
            return deep(frames - 1)
        tree = parse(text)
        assert parse(to_text(tree)) == tree
        assert hash(tree) == hash(parse(text))
        assert repr(tree)
        return matches(tree, ENTRY)

    assert deep(sys.getrecursionlimit() // 3) in (True, False)
