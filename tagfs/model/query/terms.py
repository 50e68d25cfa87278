"""The terms of a tag-query: tags, wildcards, comparisons and ranges; metadata fields are in ``fields``. Layer: model."""

from __future__ import annotations

from tagfs.errors import QueryError
from tagfs.model.names import fold, tag_fault
from tagfs.model.query.fields import read_field
from tagfs.model.query.lexicon import BARE, FIELDS, KEYWORDS, OPERATOR, WORD_OPERATORS, read_pattern, read_value
from tagfs.model.query.syntax import Between, Compare, HasKey, Query, Tag, TagGlob, Untagged
from tagfs.model.query.words import Word, scan

NO_TERM = frozenset(["", ")", "|", "=", "<", ">"])
"""Characters no term begins with; empty: the end."""


def read_term(text: str, at: int) -> tuple[Query | None, int]:
    """The term at index ``at`` and the index behind it; None instead of a term for the word ``not``."""
    word = scan(text, at, BARE)
    if not word.pieces:
        raise QueryError('"!=" has no key before it', at + 1, "a key, as in year != 2024")
    first = word.pieces[0]
    if not first.quoted:
        if len(word.pieces) == 1:
            keyword = first.text.lower()
            if keyword in KEYWORDS:
                return _keyword(keyword, word, at)
        name, colon, _ = first.text.partition(":")
        if colon and name.lower() in FIELDS:
            return read_field(text, at, name.lower())
    operator = OPERATOR.match(text, word.end)
    if operator:
        sign = operator[1] or WORD_OPERATORS[operator[2].lower()]
        return _comparison(text, word, "=" if sign == "==" else sign, operator.end())
    return _tag(word), word.end


def touches_word(text: str, at: int) -> bool:
    """Whether the character before index ``at`` ends a word."""
    return at > 0 and not text[at - 1].isspace() and text[at - 1] not in "()"


def _keyword(keyword: str, word: Word, at: int) -> tuple[Query | None, int]:
    if keyword == "not":
        return None, word.end
    if keyword == "untagged":
        return Untagged(), word.end
    raise QueryError(f'"{word.text}" is a keyword', at + 1, "a tag (a keyword needs double quotes)")


def _tag(word: Word) -> Query:
    if word.wildcard() is not None:
        _check(word)
        return _tag_glob(fold(read_pattern(word)))
    _check(word)
    return Tag(fold(word.text))


def _comparison(text: str, key: Word, operator: str, at: int) -> tuple[Query, int]:
    value = read_value(text, at, BARE, "a value")
    equals = key.text.find("=")
    if equals >= 0:
        raise QueryError('a key has no "="', key.column(equals), "a key, or quotes around the whole tag")
    if not key.text:
        raise QueryError("a key is not empty", key.start, "a key")
    ends = value.parted("..")
    wildcard = key.wildcard() or value.wildcard()
    if operator != "=" and (ends or wildcard):
        what, column = ("wildcard", wildcard) if wildcard else ("range", value.start)
        raise QueryError(f'a {what} does not go with "{operator}"', column or 0, '"="')
    if ends:
        return _range(key, *ends), value.end
    _check(key, value)
    if wildcard:
        return _value_glob(key, value), value.end
    return Compare(fold(key.text), operator, fold(value.text)), value.end


def _range(key: Word, low: Word, high: Word) -> Query:
    again = high.parted("..")
    if again:
        raise QueryError('a range has one ".."', again[0].end + 1, "the end of the range, or quotes around it")
    for end in (low, high):
        if not end.pieces:
            raise QueryError("a range has both ends", end.end + 1, "a value")
        wildcard = key.wildcard() or end.wildcard()
        if wildcard is not None:
            raise QueryError("a range has no wildcards", wildcard, "a value, or quotes around it")
        _check(key, end)
    return Between(fold(key.text), fold(low.text), fold(high.text))


def _value_glob(key: Word, value: Word) -> Query:
    if key.wildcard() is None and value.bare and not value.text.strip("*"):
        return HasKey(fold(key.text))
    return _tag_glob(fold(f"{read_pattern(key)}={read_pattern(value)}"))


def _tag_glob(pattern: str) -> Query:
    key, equals, value = pattern.partition("=")
    if equals and key and value == "*" and "*" not in key and "?" not in key:
        return HasKey(key)
    return TagGlob(pattern)


def _check(key: Word, value: Word | None = None) -> None:
    """Raises unless the words are a tag, or key and value of one."""
    text = key.text
    fault = tag_fault(text if value is None else f"{text}={value.text}")
    if fault is not None:
        index, reason = fault
        inside = value is None or index < len(text)
        column = key.column(index) if inside else value.column(index - len(text) - 1)  # type: ignore[union-attr]
        raise QueryError(reason, column, "a tag")
