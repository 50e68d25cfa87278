"""The parser: what each query means as a tree, and where each mistake is."""

import pytest

from tagfs.errors import BadRequest, QueryError
from tagfs.model.query import (
    EVERYTHING,
    And,
    Between,
    Compare,
    HasKey,
    InTrash,
    Not,
    Number,
    Or,
    Tag,
    TagGlob,
    Text,
    Untagged,
    parse,
)
from tagfs.model.query.parser import MAX_DEPTH, MAX_LENGTH, MAX_TERMS

A, B, C, D = Tag("a"), Tag("b"), Tag("c"), Tag("d")
DAY = 86_400_000
NOV_2026 = 1793491200000
DEC_2026 = NOV_2026 + 30 * DAY
ID = "0" * 26
DIGEST = "ab" * 32

TREES = [
    # Nothing, and everything
    ("", EVERYTHING),
    ("  \t ", EVERYTHING),
    ("\u3000", EVERYTHING),
    ("()", EVERYTHING),
    ("( )", EVERYTHING),
    ("not ()", Not(EVERYTHING)),
    # Tags
    ("a", A),
    (" a ", A),
    ("Beach", Tag("beach")),
    ("STRASSE", Tag("strasse")),
    ("straße", Tag("strasse")),
    ("A\u0308pfel", Tag("äpfel")),
    ("Äpfel", Tag("äpfel")),
    ("日本", Tag("日本")),
    ("2024", Tag("2024")),
    ("black-and-white", Tag("black-and-white")),
    ("c++", Tag("c++")),
    ("rock'n'roll", Tag("rock'n'roll")),
    ("a..b", Tag("a..b")),
    ("wow!", Tag("wow!")),
    ("back\\slash", Tag("back\\slash")),
    ("exif:iso", Tag("exif:iso")),
    (":smile:", Tag(":smile:")),
    ("names:x", Tag("names:x")),
    ("android", Tag("android")),
    ("north", Tag("north")),
    ("notes", Tag("notes")),
    ("untagged2", Tag("untagged2")),
    # Quotes
    ('"a b"', Tag("a b")),
    ('"x=1"', Tag("x=1")),
    ('"and"', Tag("and")),
    ('"untagged"', Tag("untagged")),
    ('"name:x"', Tag("name:x")),
    ('"a*b"', Tag("a*b")),
    ('"a|b"', Tag("a|b")),
    ('"(a)"', Tag("(a)")),
    (r'"5\" disk"', Tag('5" disk')),
    (r'"back\\slash"', Tag("back\\slash")),
    (r'"end\\"', Tag("end\\")),
    ('a"b c"d', Tag("ab cd")),
    ('"x="1', Tag("x=1")),
    ('n"ot"', Tag("not")),
    # Connectives
    ("a and b", And((A, B))),
    ("a b", And((A, B))),
    ("a AND b", And((A, B))),
    ("a b c", And((A, B, C))),
    ("a or b", Or((A, B))),
    ("a Or b or c", Or((A, B, C))),
    ("a or b and c", Or((A, And((B, C))))),
    ("a b or c d", Or((And((A, B)), And((C, D))))),
    ("(a or b) c", And((Or((A, B)), C))),
    ("(a or b)c", And((Or((A, B)), C))),
    ("(a)(b)", And((A, B))),
    ("a (b)", And((A, B))),
    ("a and (b or c)", And((A, Or((B, C))))),
    ("a and(b or c)", And((A, Or((B, C))))),
    ("not(a)", Not(A)),
    ("((a))", A),
    ("a (b (c d))", And((A, B, C, D))),
    ("a or (b or (c or d))", Or((A, B, C, D))),
    ("(a b) or (c or d)", Or((And((A, B)), C, D))),
    ("not a", Not(A)),
    ("NOT a b", And((Not(A), B))),
    ("not a or b", Or((Not(A), B))),
    ("not (a or b)", Not(Or((A, B)))),
    ("not not a", Not(Not(A))),
    ("-a", Not(A)),
    ("a -b", And((A, Not(B)))),
    ("- a", Not(A)),
    ("-(a b)", Not(And((A, B)))),
    ("--a", Not(Not(A))),
    ("-not a", Not(Not(A))),
    ('-"a b"', Not(Tag("a b"))),
    ("a-b", Tag("a-b")),
    # Comparisons
    ("x=1", Compare("x", "=", "1")),
    ("x==1", Compare("x", "=", "1")),
    ("x != 1", Compare("x", "!=", "1")),
    ("x< 1", Compare("x", "<", "1")),
    ("x <=1", Compare("x", "<=", "1")),
    ("x > -1.5", Compare("x", ">", "-1.5")),
    ("x>=1", Compare("x", ">=", "1")),
    ("x eq 1", Compare("x", "=", "1")),
    ("x NE 1", Compare("x", "!=", "1")),
    ("x lt 1", Compare("x", "<", "1")),
    ("x le 1", Compare("x", "<=", "1")),
    ("x gt 1", Compare("x", ">", "1")),
    ("x ge 1 a", And((Compare("x", ">=", "1"), A))),
    ("Year=MMXX", Compare("year", "=", "mmxx")),
    ("wow!=1", Compare("wow", "!=", "1")),
    ("x=wow!", Compare("x", "=", "wow!")),
    ('"my key" = "some value"', Compare("my key", "=", "some value")),
    ('"and"="or"', Compare("and", "=", "or")),
    ('x=""', Compare("x", "=", "")),
    ('x="20*"', Compare("x", "=", "20*")),
    ('x="1..2"', Compare("x", "=", "1..2")),
    ('"a*"=1', Compare("a*", "=", "1")),
    ("exif:iso >= 100", Compare("exif:iso", ">=", "100")),
    ("x=name:y", Compare("x", "=", "name:y")),
    ("-x=1", Not(Compare("x", "=", "1"))),
    ("x=1 or y=2", Or((Compare("x", "=", "1"), Compare("y", "=", "2")))),
    # Ranges
    ("year=2020..2024", Between("year", "2020", "2024")),
    ("year == 2020..2024", Between("year", "2020", "2024")),
    ("year eq 2020..2024", Between("year", "2020", "2024")),
    ("x=-5..-1", Between("x", "-5", "-1")),
    ("x=a...b", Between("x", "a", ".b")),
    ('x="a b".."c d"', Between("x", "a b", "c d")),
    ('x="a..".."b"', Between("x", "a..", "b")),
    # Wildcards
    ("hol*", TagGlob("hol*")),
    ("HOL*", TagGlob("hol*")),
    ("*", TagGlob("*")),
    ("a**b", TagGlob("a*b")),
    ("m?n", TagGlob("m?n")),
    ('"hol day"*', TagGlob("hol day*")),
    ("year=20*", TagGlob("year=20*")),
    ("y*=2024", TagGlob("y*=2024")),
    ('"my key"=20*', TagGlob("my key=20*")),
    ("key=*", HasKey("key")),
    ("key = **", HasKey("key")),
    ('"key="*', HasKey("key")),
    ('"a*"=*', HasKey("a*")),
    ("key=?*", TagGlob("key=?*")),
    ("*=*", TagGlob("*=*")),
    # Fields
    ("untagged", Untagged()),
    ("UNTAGGED a", And((Untagged(), A))),
    ("in:trash", InTrash()),
    ("IN:Trash", InTrash()),
    ("name:a.txt", Text("name", "a.txt")),
    ("Name:IMG.JPG", Text("name", "IMG.JPG")),
    ("name:*.jpg", Text("name", "*.jpg", True)),
    ("name: a.txt", Text("name", "a.txt")),
    ("name:=a.txt", Text("name", "a.txt")),
    ("name:!=a.txt", Not(Text("name", "a.txt"))),
    ("name:a=b.txt", Text("name", "a=b.txt")),
    ("name:-x", Text("name", "-x")),
    ("name:a..b", Text("name", "a..b")),
    ('name:"my file (1).txt"', Text("name", "my file (1).txt")),
    ('name:"my file"*', Text("name", "my file*", True)),
    ('name:"*"', Text("name", "*")),
    ("name:A\u0308", Text("name", "Ä")),
    ("type:image/png", Text("type", "image/png")),
    ("type:IMAGE", Text("type", "image/*", True)),
    ("type:*/pdf", Text("type", "*/pdf", True)),
    (f"id:{ID.upper()}", Text("id", ID)),
    ("id:abc123", Text("id", "*abc123", True)),
    ("id:01*", Text("id", "01*", True)),
    (f"digest:{DIGEST}", Text("digest", DIGEST)),
    ("digest:AB12", Text("digest", "ab12*", True)),
    ("home:a/b", Text("home", "a/b")),
    ("home:/a/b/", Text("home", "a/b")),
    ("home:/", Text("home", "")),
    ('home:""', Text("home", "")),
    ("home:a/*", Text("home", "a/*", True)),
    ("home:/a/*", Text("home", "a/*", True)),
    ("node:N1", Text("node", "n1")),
    ("size:300", Number("size", 300, 300)),
    ("size:>10M", Number("size", 10 * 1024**2 + 1, None)),
    ("size:>=1.5K", Number("size", 1536, None)),
    ("size: < 2GiB", Number("size", None, 2 * 1024**3 - 1)),
    ("size:<=1kb", Number("size", None, 1024)),
    ("size:!=0", Not(Number("size", 0, 0))),
    ("size:1K..2M", Number("size", 1024, 2 * 1024**2)),
    ("copies:<3", Number("copies", None, 2)),
    ("copies:==2", Number("copies", 2, 2)),
    ("added:2026-11", Number("added", NOV_2026, DEC_2026 - 1)),
    ("added:>2026-11", Number("added", DEC_2026, None)),
    ("added:>=2026-11", Number("added", NOV_2026, None)),
    ("added:<2026-11", Number("added", None, NOV_2026 - 1)),
    ("added:<=2026-11", Number("added", None, DEC_2026 - 1)),
    ("added:2026-11-01..2026-11-02", Number("added", NOV_2026, NOV_2026 + 2 * DAY - 1)),
    ("modified:2026-11-01T00:00:01Z", Number("modified", NOV_2026 + 1000, NOV_2026 + 1999)),
    ("modified:2026-11-01T02:00:00.5+02:00", Number("modified", NOV_2026 + 500, NOV_2026 + 599)),
]

MISTAKES = [
    # (query, column, part of the message, part of what is expected)
    ("a and", 6, "ends too early", "a tag"),
    ("a and ", 7, "ends too early", "a tag"),
    ("a or", 5, "ends too early", "a tag"),
    ("not", 4, "ends too early", "a tag"),
    ("a -", 4, "ends too early", "a tag"),
    ("(", 2, "ends too early", "a tag"),
    ("(a", 3, 'the "(" of column 1', '")"'),
    ("a (b (c)", 9, 'the "(" of column 3', '")"'),
    ("a)", 2, 'without a "("', "end of the query"),
    (")", 1, "too early", "a tag"),
    ("(a or )", 7, "too early", "a tag"),
    ("(not )", 6, "too early", "a tag"),
    ("and a", 1, '"and" is a keyword', "quotes"),
    ("a or or b", 6, '"or" is a keyword', "quotes"),
    ("a and or b", 7, '"or" is a keyword', "quotes"),
    ("not and", 5, '"and" is a keyword', "quotes"),
    ("lt", 1, '"lt" is a keyword', "quotes"),
    ("a eq", 5, "ends too early", "a value"),
    ("AND=5", 1, '"AND" is a keyword', "quotes"),
    ("a(b)", 2, "touches", "a space"),
    ('"a"(b)', 4, "touches", "a space"),
    ("name:foo(1).jpg", 9, "touches", "quotes"),
    # Quotes
    ('"abc', 1, "not closed", '"'),
    ('a "b c', 3, "not closed", '"'),
    ('x="b', 3, "not closed", '"'),
    ('"abc\\"', 1, "not closed", '"'),
    (r'"a\n"', 3, "no escape", r"\""),
    (r'a "b\c"', 5, "no escape", r"\""),
    # Tags that are none
    ("@x", 1, 'begin with "@"', "a tag"),
    ("a @x", 3, 'begin with "@"', "a tag"),
    ('"-x"', 2, 'begin with "-"', "a tag"),
    ("a/b", 2, '"/"', "a tag"),
    ('a "b c/d"', 7, '"/"', "a tag"),
    (r'"\"\"/"', 6, '"/"', "a tag"),
    ('a"b/"', 4, '"/"', "a tag"),
    ('""', 1, "not empty", "a tag"),
    ('" a"', 2, "white space", "a tag"),
    ('"a "', 3, "white space", "a tag"),
    ("..", 1, "directory", "a tag"),
    ("a\x07b", 2, "U+0007", "a tag"),
    ('"a\tb"', 3, "U+0009", "a tag"),
    ("b a\x85c\x9f", 6, "U+009F", "a tag"),
    ("a\ud800", 2, "Unicode", "a tag"),
    ("b " + "é" * 128, 3, "255 bytes", "a tag"),
    ("@a*", 1, 'begin with "@"', "a tag"),
    # Comparisons
    ("x=", 3, "ends too early", "a value"),
    ("x = ", 5, "ends too early", "a value"),
    ("x = )", 5, '")" is no value', "a value"),
    ("x=and", 3, '"and" is a keyword', "quotes"),
    ("x gt not", 6, '"not" is a keyword', "quotes"),
    ("x=1=2", 4, '"=" has no key', "a key"),
    ("1<x<2", 4, '"<" has no key', "a key"),
    ("= 5", 1, '"=" has no key', "a key"),
    ("a != != b", 6, '"!" is no value', "a value"),
    ("!= 5", 1, '"!=" has no key', "a key"),
    ("a and > 5", 7, '">" has no key', "a key"),
    ('"a=b"=5', 3, 'no "="', "a key"),
    ('""=5', 1, "key is not empty", "a key"),
    ("@x=1", 1, 'begin with "@"', "a tag"),
    ("url = a/b", 8, '"/"', "a tag"),
    ('x="a "', 5, "white space", "a tag"),
    ("x" * 200 + "=" + "y" * 60, 1, "255 bytes", "a tag"),
    # Ranges and wildcards
    ("x=1..", 6, "both ends", "a value"),
    ("x=..1", 3, "both ends", "a value"),
    ("x=1..2..3", 7, 'one ".."', "quotes"),
    ("x<1..2", 3, 'range does not go with "<"', '"="'),
    ("x != 1..2", 6, "range does not go", '"="'),
    ("x=1..2*", 7, "no wildcards", "quotes"),
    ("x*=1..2", 2, "no wildcards", "quotes"),
    ("x>2*", 4, 'wildcard does not go with ">"', '"="'),
    ("x* > 2", 2, "wildcard does not go", '"="'),
    ('"a*b"*', 3, "stands for itself", "no * or ?"),
    ("x=1..@/", 7, '"/"', "a tag"),
    # Fields
    ("name:", 6, "ends too early", "a file name"),
    ("name:>a", 6, 'name: does not go with ">"', '"="'),
    ('name:""', 6, "no value of name:", "a file name"),
    ('name:"a\tb"', 8, "U+0009", "a file name"),
    ("name:and", 6, "keyword", "a file name"),
    ("size:", 6, "ends too early", "a size"),
    ("size:foo", 6, "no value of size:", "a size"),
    ("a size:>1.5", 9, "no value of size:", "a size"),
    ("size:10X", 6, "no value of size:", "a size"),
    ("size:-1", 6, "no value of size:", "a size"),
    ("size:99999999P", 6, "no value of size:", "a size"),
    ("size:5..1", 9, "ends before it begins", "greater"),
    ("size:1..x", 9, "no value of size:", "a size"),
    ("size:..1", 6, "no value of size:", "a size"),
    ("size:<1..2", 7, "range does not go", '"="'),
    ("size:1*", 6, "no value of size:", "a size"),
    ("copies:two", 8, "no value of copies:", "a number"),
    ("copies:1K", 8, "no value of copies:", "a number"),
    ("added:yesterday", 7, "no value of added:", "a date"),
    ("added:2026-02-30", 7, "no value of added:", "a date"),
    ("added:2026-13", 7, "no value of added:", "a date"),
    ("added:0000", 7, "no value of added:", "a date"),
    ("added:2026-11-01T25:00:00Z", 7, "no value of added:", "a date"),
    ("id:xyz!", 4, "no value of id:", "an entry id"),
    ("id:" + "0" * 27, 4, "no value of id:", "an entry id"),
    ("digest:xyz", 8, "no value of digest:", "hexadecimal"),
    ("in:attic", 4, "no value of in:", "trash"),
    ("in:!=trash", 6, "no value of in:", "trash"),
    ("a | limit=5", 3, '"|"', "quotes"),
    ("a|b", 2, '"|"', "quotes"),
]


@pytest.mark.parametrize(("text", "tree"), TREES, ids=[repr(text) for text, _ in TREES])
def test_trees(text, tree):
    """Each query has exactly this tree."""
    assert parse(text) == tree


@pytest.mark.parametrize(("text", "column", "message", "expected"), MISTAKES, ids=[repr(each[0]) for each in MISTAKES])
def test_mistakes(text, column, message, expected):
    """Each mistake is told with its exact column, what is wrong, and what would fit there."""
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert caught.value.column == column
    assert message in caught.value.message
    assert expected in caught.value.expected
    assert f"column {column}: " in str(caught.value)


def test_a_query_error_is_a_bad_request():
    """Doors need no case of their own for queries: 501 and 400."""
    with pytest.raises(BadRequest):
        parse("a and")
    assert (QueryError.ftp, QueryError.http) == (501, 400)


def test_length_is_bounded():
    """The longest query is read, one character more is refused."""
    assert parse("a" + " " * (MAX_LENGTH - 1)) == A
    with pytest.raises(QueryError, match="longer than"):
        parse("a" + " " * MAX_LENGTH)


@pytest.mark.parametrize(
    ("opening", "closing"), [("(", ")"), ("not ", ""), ("-", ""), ("not (", ")"), ("a (b or ", ")")]
)
def test_depth_is_bounded(opening, closing):
    """What may be nested is, what is deeper is refused with its column, however deep the text goes."""
    weight = opening.count("(") + opening.count("not") + opening.count("-")
    fits = MAX_DEPTH // weight
    parse(opening * fits + "x" + closing * fits)
    with pytest.raises(QueryError, match="inside each other") as caught:
        parse(opening * (fits + 1) + "x" + closing * (fits + 1))
    assert caught.value.column > len(opening) * fits
    with pytest.raises(QueryError, match="inside each other"):
        parse(opening * (MAX_LENGTH // len(opening)))


def test_depth_counts_only_what_is_open():
    """Any number of parentheses and negations may follow each other."""
    assert len(parse("(a) -b not c (not (d)) ()" * 200).items) == 1000


def test_terms_are_bounded():
    """The greatest number of terms is read, one more is refused."""
    assert len(parse("a " * MAX_TERMS).items) == MAX_TERMS
    with pytest.raises(QueryError, match="more than 4096 terms") as caught:
        parse("a " * (MAX_TERMS + 1))
    assert caught.value.column == 2 * MAX_TERMS + 1


def test_a_long_value_is_shortened_in_a_message():
    """A message never repeats a whole long query."""
    with pytest.raises(QueryError) as caught:
        parse("size:" + "9" * 5000)
    assert len(str(caught.value)) < 200
