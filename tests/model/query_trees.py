"""Random canonical query trees and entries for property tests, with the nastiest tags that are allowed."""

from hypothesis import strategies as st

from tagfs.model.entry import Content, Entry, entry_id
from tagfs.model.names import fold, name_key, tag_fault
from tagfs.model.query.quantities import BEYOND, FIRST, GREATEST
from tagfs.model.query.syntax import (
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
)

_NASTY = st.one_of(
    st.text("ab12 .-:=<>!\"\\()|*?,'@~#", max_size=8),
    st.text(max_size=8),
    st.text("éßſİẞÅå\u0301\u0338\u0345ΐ日本", max_size=5),
    st.sampled_from(
        ["and", "OR", "not", "untagged", "eq", "ge", "name:x", "size:1", "in:trash", "a..b", "..", "2024", "2024-05-03"]
    ),
)
_ORDINARY = st.sampled_from(["a", "b", "beach", "year=2024", "x=1", "x=10", "x=1.0", "x=-2", "x=b", "x=2024-05", "é"])


def _is_tag(text: str) -> bool:
    return tag_fault(text) is None


tags = st.one_of(_NASTY, _ORDINARY).map(fold).filter(_is_tag)
"""Folded tags."""
keys = _NASTY.map(fold).filter(lambda key: bool(key) and "=" not in key and _is_tag(f"{key}=v"))
values = st.one_of(_NASTY, st.sampled_from(["1", "-1.5", "2024", "2024-05", "2024-05-03t10:00:00z"])).map(fold)
values = values.filter(lambda value: _is_tag(f"k={value}"))


def _glob(pattern: str) -> bool:
    key, equals, value = pattern.partition("=")
    has_key = equals and key and value == "*" and not set("*?") & set(key)
    return bool(set("*?") & set(pattern)) and "**" not in pattern and not has_key


patterns = (
    st.lists(st.one_of(_NASTY, st.sampled_from(["*", "?", "x="])), min_size=1, max_size=4)
    .map(lambda parts: fold("".join(parts)))
    .filter(lambda pattern: _glob(pattern) and _is_tag(pattern))
)


def _numbers(field: str, low: int, high: int):
    """Canonical bounds: one side open, or ordered."""
    number = st.one_of(st.integers(low, high), st.sampled_from([low, high, max(low, 0), 1024, 1 << 20]))
    both = st.tuples(number, number).map(sorted).map(tuple)
    return st.one_of(both, number.map(lambda n: (n, None)), number.map(lambda n: (None, n))).map(
        lambda bounds: Number(field, *bounds)
    )


def _moments(field: str):
    months = st.sampled_from([1704067200000, 1706745600000, 1706745599999, FIRST, BEYOND - 1, 0])
    moment = st.one_of(st.integers(FIRST, BEYOND - 1), months)
    both = st.tuples(moment, moment).map(sorted).map(tuple)
    low = st.one_of(moment, st.just(BEYOND)).map(lambda n: (n, None))
    high = st.one_of(moment, st.just(FIRST - 1)).map(lambda n: (None, n))
    return st.one_of(both, low, high).map(lambda bounds: Number(field, *bounds))


def _printable(text: str) -> bool:
    return bool(text) and _is_tag(f"x{text}x".replace("/", ""))


_literals = st.one_of(_NASTY, st.sampled_from(["IMG_1.JPG", "a/b", "x y.txt"])).filter(_printable)
_text_globs = patterns.filter(_printable)
texts = st.one_of(
    _literals.map(lambda text: Text("name", name_key(text))),
    _text_globs.map(lambda text: Text("name", name_key(text), True)),
    _literals.map(lambda text: Text("home", name_key(text).strip("/"))),
    _literals.map(lambda text: Text("node", fold(text))),
    _literals.map(lambda text: Text("type", f"image/{fold(text)}")),
    st.just(Text("type", "image/*", True)),
    st.binary(min_size=32, max_size=32).map(lambda digest: Text("digest", digest.hex())),
    st.just(Text("digest", "ab*", True)),
    st.binary(min_size=10, max_size=10).map(lambda noise: Text("id", entry_id(1, noise))),
    st.just(Text("id", "*abc123", True)),
).filter(lambda text: text.glob == bool(set("*?") & set(text.pattern)) or not text.glob)

operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
leaves = st.one_of(
    tags.map(Tag),
    patterns.map(TagGlob),
    keys.map(HasKey),
    st.builds(Compare, keys, operators, values),
    st.builds(Between, keys, values, values),
    _numbers("size", 0, GREATEST),
    _numbers("copies", 0, 100),
    _moments("added"),
    _moments("modified"),
    texts,
    st.just(Untagged()),
    st.just(InTrash()),
    st.just(EVERYTHING),
)


def _flat(kind, items):
    flat = []
    for item in items:
        flat.extend(item.items if isinstance(item, kind) else (item,))
    return kind(tuple(flat))


def _branches(inner):
    several = st.lists(inner, min_size=2, max_size=4)
    return st.one_of(
        inner.map(Not),
        several.map(lambda items: _flat(And, items)),
        several.map(lambda items: _flat(Or, items)),
    )


queries = st.recursive(leaves, _branches, max_leaves=12)
"""Canonical trees: everything folded, no And in an And, no Or in an Or."""

entries = st.builds(
    Entry,
    id=st.binary(min_size=10, max_size=10).map(lambda noise: entry_id(1, noise)),
    name=st.sampled_from(["a.jpg", "IMG_1.JPG", "x y.txt"]),
    content=st.builds(
        Content,
        digest=st.just(b"\xab" * 32),
        size=st.integers(0, 3000),
        type=st.sampled_from(["image/png", "text/plain"]),
        modified=st.integers(0, 1 << 41),
    ),
    added=st.integers(0, 1 << 41),
    tags=st.lists(tags, max_size=5, unique=True).map(lambda found: tuple(sorted(found))),
    home=st.sampled_from([None, "", "a/b"]),
    trashed=st.sampled_from([None, 5]),
    versions=st.just(()),
)
