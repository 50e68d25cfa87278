"""The canonical printer and the quoting of tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import QueryError
from tagfs.model.names import fold, split_tag
from tagfs.model.query import Compare, Tag, parse, quote_tag, to_text
from tagfs.model.query.words import quoted, split_arguments
from tests.model.query_trees import queries, tags


@given(queries)
def test_parsing_what_was_printed_gives_the_same_tree(query):
    """The printer is the inverse of the parser on every canonical tree."""
    assert parse(to_text(query)) == query


@given(queries)
def test_printing_is_canonical(query):
    """Text of one tree is one text: printing what was parsed from it changes nothing more."""
    assert to_text(parse(to_text(query))) == to_text(query)


@given(tags)
def test_a_tag_is_bare_only_where_the_language_reads_it_back(tag):
    """A shown tag, put in a query as it stands, means that tag: itself, or the comparison with its value."""
    shown = quote_tag(tag)
    pair = split_tag(tag)
    expected = [Tag(fold(tag))] + ([Compare(fold(pair[0]), "=", fold(pair[1]))] if pair else [])
    assert parse(shown) in expected
    if shown != tag:
        assert parse(shown) == Tag(fold(tag))
        try:
            bare = parse(tag)
        except QueryError:
            bare = None
        assert bare not in expected, "quoted without need"


@given(st.lists(tags, max_size=6))
def test_shown_tags_are_arguments(several):
    """Tags shown in a row can be given back as the arguments of a command."""
    assert split_arguments(" ".join(map(quote_tag, several))) == several


@given(tags)
def test_quoted_is_always_the_literal_tag(tag):
    """In quotes every tag stands for itself."""
    assert parse(quoted(tag)) == Tag(fold(tag))


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("beach", "beach"),
        ("year=2024", "year=2024"),
        ("a-b", "a-b"),
        ("wow!", "wow!"),
        ("exif:iso=100", "exif:iso=100"),
        ("x=-5", "x=-5"),
        ("two words", '"two words"'),
        ("and", '"and"'),
        ("Not", '"Not"'),
        ("and=1", '"and=1"'),
        ("x=or", '"x=or"'),
        ("name:x", '"name:x"'),
        ("SIZE:x", '"SIZE:x"'),
        ("a*", '"a*"'),
        ("what?", '"what?"'),
        ("x=1..2", '"x=1..2"'),
        ("x=", '"x="'),
        ("=x", '"=x"'),
        ("a=b=c", '"a=b=c"'),
        ("wow!=5", '"wow!=5"'),
        ("a|b", '"a|b"'),
        ("a(b)", '"a(b)"'),
        ('5" disk', '"5\\" disk"'),
        ("back\\slash", "back\\slash"),
    ],
)
def test_how_tags_are_shown(tag, shown):
    """Quotes only where the language needs them."""
    assert quote_tag(tag) == shown


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", ""),
        ("  a   AND b ", "a and b"),
        ("a b or c d", "a and b or c and d"),
        ("a and (b and (c or (d or e)))", "a and b and (c or d or e)"),
        ("-a -(b c)", "not a and not (b and c)"),
        ("x == 5 y ne 6", "x=5 and y!=6"),
        ("x=20* key=* hol*", "x=20* and key=* and hol*"),
        ("x=1..2", "x=1..2"),
        ("size:>10M size:1024..2M", "size:>=10485761 and size:1K..2M"),
        ("added:2026-11", "added:2026-11"),
        ("added:2026-01..2026-03", "added:2026-01..2026-03"),
        ("added:2026-01..2026-12-31", "added:2026"),
        ("added:>2026-11", "added:>=2026-12"),
        ("added:<=2026", "added:<=2026"),
        ("modified:2026-11-03T10:11:12Z", "modified:2026-11-03T10:11:12Z"),
        ('name:"my file.txt"', 'name:"my file.txt"'),
        ('name:"my file"*.txt', 'name:"my file"*.txt'),
        ("type:image", "type:image/*"),
        ("home:/a/b/", "home:a/b"),
        ("()", ""),
        ("not ()", "not ()"),
        ("a or ()", "a or ()"),
        ('"two words" "and" "x=1"', '"two words" and "and" and "x=1"'),
        ("BEACH Äpfel", "beach and äpfel"),
    ],
)
def test_canonical_texts(query, text):
    """What people write, and its canonical form."""
    assert to_text(parse(query)) == text
