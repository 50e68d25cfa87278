"""The words and signs of the tag-query language, shared by parser and printer. Layer: model."""

from __future__ import annotations

import re
from functools import lru_cache

from tagfs.errors import QueryError
from tagfs.model.query.words import Word, quoted, scan

WORD_OPERATORS = {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
KEYWORDS = frozenset({"and", "or", "not", "untagged", *WORD_OPERATORS})
"""Words that need quotes where they are meant as a tag, a key or a value; in any case of letters."""
TEXT_FIELDS = frozenset({"name", "type", "digest", "id", "home", "node"})
NUMBER_FIELDS = frozenset({"size", "added", "modified", "copies"})
FIELDS = TEXT_FIELDS | NUMBER_FIELDS | {"in"}
"""Words that are metadata fields where ``:`` follows them; in any case of letters."""

BARE = re.compile(r'(?:[^\s"()|=<>!]|!(?!=))+')
"""A piece of a word outside quotes."""
FIELD_VALUE = re.compile(r'[^\s"()|]+')
"""A piece of a field's value outside quotes."""
OPERATOR = re.compile(rf"\s*(==|!=|<=|>=|=|<|>)\s*|\s+({'|'.join(WORD_OPERATORS)})(?=[\s()|]|\Z)\s*", re.IGNORECASE)
"""An operator behind a key, and the white space around it."""
FIELD_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|=|<|>)?\s*")
"""What may stand between a field's colon and its value."""

_STARS = re.compile(r"\*{2,}")
_PLAIN = r'[^\s"()|=<>*?!]'
_FIELDS = "|".join(sorted(FIELDS))
_KEYWORDS = "|".join(sorted(KEYWORDS))
_WORD = rf"(?!-|(?:{_FIELDS}):)(?!(?:{_KEYWORDS})\Z)(?:{_PLAIN}|!)+"
_TAG = re.compile(_WORD, re.IGNORECASE)
_KEY = re.compile(rf"{_WORD}(?<!!)", re.IGNORECASE)
_VALUE = re.compile(rf"(?!(?:{_KEYWORDS})\Z)(?:(?!\.\.)(?:{_PLAIN}|!))+", re.IGNORECASE)
_FIELD_VALUE = re.compile(rf'(?!(?:{_KEYWORDS})\Z)(?![=<>!])[^\s"()|*?]+', re.IGNORECASE)
_END_OF_RANGE = re.compile(rf"(?![.]){_VALUE.pattern}(?<![.])", re.IGNORECASE)


def read_value(text: str, at: int, bare: re.Pattern[str], expected: str) -> Word:
    """The word at index ``at``, that must be there and be no bare keyword."""
    word = scan(text, at, bare)
    if not word.pieces:
        what = f'"{text[at]}" is no value' if at < len(text) else "the query ends too early"
        raise QueryError(what, at + 1, expected)
    if len(word.pieces) == 1 and not word.pieces[0].quoted and word.text.lower() in KEYWORDS:
        raise QueryError(f'"{word.text}" is a keyword', at + 1, f"{expected} (a keyword needs double quotes)")
    return word


def read_pattern(word: Word) -> str:
    """The text of a word that holds wildcards; in it ``*`` and ``?`` are always wildcards."""
    column = word.wildcard(quoted=True)
    if column is not None:
        raise QueryError("a wildcard in quotes stands for itself, and here are others", column, "no * or ? in quotes")
    return _STARS.sub("*", word.text)


@lru_cache(maxsize=4096)
def quote_tag(tag: str) -> str:
    """A tag as rows and command lines show it: bare where the query language takes it bare as this very tag (also as
    the comparison ``key=value``), else in double quotes."""
    key, equals, value = tag.partition("=")
    bare = _KEY.fullmatch(key) and _VALUE.fullmatch(value) if equals else _TAG.fullmatch(tag)
    return tag if bare else quoted(tag)


def write_tag(text: str) -> str:
    """A literal tag in a query."""
    return text if _TAG.fullmatch(text) else quoted(text)


def write_key(text: str) -> str:
    """The key of a comparison."""
    return text if _KEY.fullmatch(text) else quoted(text)


def write_value(text: str) -> str:
    """The value of a comparison."""
    return text if _VALUE.fullmatch(text) else quoted(text)


def write_end(text: str) -> str:
    """An end of a range."""
    return text if _END_OF_RANGE.fullmatch(text) else quoted(text)


def write_field_value(text: str) -> str:
    """The value of a text field, without wildcards."""
    return text if _FIELD_VALUE.fullmatch(text) else quoted(text)
