"""The page on the query language says what is true: every table of queries on it is run."""

import re
from pathlib import Path

import pytest

from tagfs.errors import QueryError
from tagfs.model.entry import Content, Entry
from tagfs.model.names import fold
from tagfs.model.order import Scope
from tagfs.model.query import matches, parse, to_text
from tagfs.model.query.lexicon import FIELDS, KEYWORDS
from tagfs.model.query.meaning import in_scope, ranges_over
from tagfs.model.query.parser import MAX_DEPTH, MAX_LENGTH, MAX_TERMS
from tagfs.model.query.quantities import read_period, read_size

PAGE = (Path(__file__).parents[2] / "docs/protocols/query.md").read_text(encoding="utf-8")


def rows(*columns):
    """The cells of all tables of the page that have these columns."""
    found = []
    inside = False
    for line in PAGE.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells == list(columns):
            inside = True
        elif not cells:
            inside = False
        elif inside and not set(cells[0]) <= {"-", " "}:
            found.append(cells)
    return found


def code(cell):
    """The text of a cell in backquotes."""
    assert cell.startswith("`") and cell.endswith("`"), cell
    return cell[1:-1]


def an_entry(name, size, type_, added, home, trash, tags):
    start = read_period(added)[0]
    content = Content(b"\0" * 32, read_size(size), type_, start)
    folded = tuple(sorted(map(fold, re.findall("`([^`]*)`", tags))))
    return Entry("0" * 26, name, content, start, folded, home or None, 1 if trash == "yes" else None, ())


ENTRIES = [
    (an_entry(code(name), size, type_, added, home, trash, tags), int(copies))
    for name, size, type_, added, home, copies, trash, tags in rows(
        "entry", "size", "type", "added", "home", "copies", "trash", "tags"
    )
]


@pytest.mark.parametrize(("query", "finds"), rows("query", "finds"))
def test_what_queries_find(query, finds):
    """Each query finds exactly the entries named."""
    tree = parse(code(query))
    scope = ranges_over(tree, Scope.LIVE)
    found = [each.name for each, copies in ENTRIES if in_scope(each, scope) and matches(tree, each, copies=copies)]
    assert found == [name for name in finds.split(", ") if name]


@pytest.mark.parametrize(("query", "error"), rows("query", "error"))
def test_mistakes(query, error):
    """Each mistake is told in exactly these words."""
    with pytest.raises(QueryError) as caught:
        parse(query[1:-1])
    assert str(caught.value) == error


@pytest.mark.parametrize(("query", "canonical"), rows("query", "canonical"))
def test_canonical_forms(query, canonical):
    """Each query has this canonical form."""
    assert to_text(parse(code(query))) == code(canonical)


def test_the_page_has_its_tables():
    """The tables are found at all."""
    assert len(ENTRIES) == 7
    assert len(rows("query", "finds")) > 50
    assert len(rows("query", "error")) > 10
    assert len(rows("query", "canonical")) > 5


def test_bounds_and_words_are_those_of_the_code():
    """The page names the real bounds, and every keyword and field."""
    for bound in (f"{MAX_LENGTH:,} characters", f"{MAX_TERMS:,} terms", f"{MAX_DEPTH} parentheses"):
        assert bound in " ".join(PAGE.split())
    for keyword in KEYWORDS:
        assert f"`{keyword}`" in PAGE
    for field in FIELDS:
        assert f"| `{field}:` |" in PAGE
