"""The metadata fields of a tag-query: ``size:>10M``, ``name:*.jpg``, ``added:2026-11``. Layer: model."""

from __future__ import annotations

from collections.abc import Callable

from tagfs.errors import QueryError
from tagfs.model.entry import ID_LENGTH
from tagfs.model.names import MAX_HOME, MAX_NAME, character_fault, fold, name_key
from tagfs.model.query.lexicon import FIELD_OPERATOR, FIELD_VALUE, TEXT_FIELDS, read_pattern, read_value
from tagfs.model.query.quantities import read_count, read_period, read_size
from tagfs.model.query.syntax import InTrash, Not, Number, Query, Text
from tagfs.model.query.words import Word

DIGEST_LENGTH = 64
"""Hexadecimal digits of a digest."""

_EXPECTED = {
    "name": "a file name, as in name:*.jpg",
    "size": "a size, as in size:>10M",
    "type": "a media type, as in type:image/*",
    "added": "a date, as in added:2026-11",
    "modified": "a date, as in modified:2026-11",
    "digest": "hexadecimal digits, as INFO prints them",
    "id": "an entry id or its last characters",
    "home": "a folder, as in home:photos/*",
    "copies": "a number, as in copies:<3",
    "node": "the id of a node",
    "in": "trash, as in in:trash",
}
_DIGITS = {
    "digest": frozenset("0123456789abcdef*?"),
    "id": frozenset("0123456789abcdefghjkmnpqrstvwxyz*?"),
}
_LONGEST_SHOWN = 40


def read_field(text: str, at: int, field: str) -> tuple[Query, int]:
    """The term of ``field``, whose name and colon are at index ``at``, and the index behind the term."""
    found = FIELD_OPERATOR.match(text, at + len(field) + 1)
    assert found is not None
    operator = found[1] or "="
    value = read_value(text, found.end(), FIELD_VALUE, _EXPECTED[field])
    if operator == "==":
        operator = "="
    if field in TEXT_FIELDS:
        if operator not in ("=", "!="):
            raise QueryError(f'{field}: does not go with "{operator}"', found.start(1) + 1, '"=" or "!="')
        item: Query = _text(field, value)
    elif field == "in":
        if operator != "=" or value.text.lower() != "trash":
            raise _no_value(field, value)
        return InTrash(), value.end
    else:
        item = _number(field, operator, value)
    return (Not(item) if operator == "!=" else item), value.end


def _text(field: str, value: Word) -> Text:
    fault = character_fault(value.text, _EXPECTED[field].split(",")[0].removeprefix("a "))
    if fault is not None:
        raise QueryError(fault[1], value.column(fault[0]), _EXPECTED[field])
    if len(value.text) > (MAX_HOME if field == "home" else MAX_NAME):
        raise QueryError(f"this is longer than any value of {field}:", value.start, _EXPECTED[field])
    glob = value.wildcard() is not None
    pattern = read_pattern(value) if glob else value.text
    pattern = name_key(pattern) if field in ("name", "home") else fold(pattern)
    if field == "home":
        return Text(field, pattern.lstrip("/") if glob else pattern.strip("/"), glob)
    if not pattern:
        raise _no_value(field, value)
    if field in _DIGITS:
        return _digits(field, pattern, glob, value)
    if field == "type" and not glob and "/" not in pattern:
        return Text(field, f"{pattern}/*", True)
    return Text(field, pattern, glob)


def _digits(field: str, pattern: str, glob: bool, value: Word) -> Text:
    """A digest or an entry id; what is shorter than a whole one stands for the digests that begin so, and the ids that
    end so (the end is what people see of an id)."""
    whole = DIGEST_LENGTH if field == "digest" else ID_LENGTH
    if not _DIGITS[field].issuperset(pattern) or len(pattern.replace("*", "")) > whole:
        raise _no_value(field, value)
    if glob or len(pattern) == whole:
        return Text(field, pattern, glob)
    return Text(field, f"{pattern}*" if field == "digest" else f"*{pattern}", True)


def _number(field: str, operator: str, value: Word) -> Number:
    ends = value.parted("..")
    if ends is None:
        start, end = _span(field, value)
        return Number(field, *_bounds(operator, start, end))
    if operator != "=":
        raise QueryError(f'a range does not go with "{operator}"', value.start, '"="')
    low, high = ends
    start, end = _span(field, low)[0], _span(field, high)[1]
    if start >= end:
        raise QueryError("the range ends before it begins", high.start, "a greater value")
    return Number(field, start, end - 1)


def _bounds(operator: str, start: int, end: int) -> tuple[int | None, int | None]:
    """First and last of what stands in the relation to the numbers from ``start`` to below ``end``."""
    if operator == "<":
        return None, start - 1
    if operator == "<=":
        return None, end - 1
    if operator == ">":
        return end, None
    if operator == ">=":
        return start, None
    return start, end - 1


def _span(field: str, value: Word) -> tuple[int, int]:
    """The numbers that a value stands for: from the first to below the second."""
    if field in ("added", "modified"):
        period = read_period(value.text)
        if period is None:
            raise _no_value(field, value)
        return period
    read: Callable[[str], int | None] = read_size if field == "size" else read_count
    number = read(value.text)
    if number is None:
        raise _no_value(field, value)
    return number, number + 1


def _no_value(field: str, value: Word) -> QueryError:
    shown = value.text if len(value.text) <= _LONGEST_SHOWN else value.text[:_LONGEST_SHOWN] + "…"
    return QueryError(f'"{shown}" is no value of {field}:', value.start, _EXPECTED[field])
