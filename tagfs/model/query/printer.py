"""From the tree of a tag-query back to text. Layer: model.

``parse(to_text(query)) == query`` for every canonical tree, that is, for every tree that parse gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tagfs.model.query.lexicon import write_end, write_field_value, write_key, write_tag, write_value
from tagfs.model.query.quantities import BEYOND, FIRST, GREATEST, write_last, write_period, write_size, write_start
from tagfs.model.query.syntax import (
    EVERYTHING,
    And,
    Between,
    Compare,
    Everything,
    HasKey,
    InTrash,
    Not,
    Number,
    Or,
    Query,
    Tag,
    TagGlob,
    Text,
    Untagged,
)

_WILDCARDS = re.compile(r"([*?]+)")


def to_text(query: Query) -> str:
    """The canonical text of a tag-query; empty for :data:`~tagfs.model.query.syntax.EVERYTHING`."""
    return "" if query == EVERYTHING else _text(query)


def _text(query: Query) -> str:
    match query:
        case And(items=items):
            return " and ".join(f"({_text(item)})" if isinstance(item, Or) else _text(item) for item in items)
        case Or(items=items):
            return " or ".join(map(_text, items))
        case Not(item=item):
            return f"not ({_text(item)})" if isinstance(item, And | Or) else f"not {_text(item)}"
        case _:
            return _term(query)


def _term(query: Query) -> str:
    match query:
        case Everything():
            return "()"
        case Tag(tag=tag):
            return write_tag(tag)
        case TagGlob(pattern=pattern):
            return _tag_glob(pattern)
        case HasKey(key=key):
            return f"{write_key(key)}=*"
        case Compare(key=key, op=operator, value=value):
            return f"{write_key(key)}{operator}{write_value(value)}"
        case Between(key=key, low=low, high=high):
            return f"{write_key(key)}={write_end(low)}..{write_end(high)}"
        case Number(field=field, low=low, high=high):
            return f"{field}:{_dates(low, high) if field in ('added', 'modified') else _numbers(field, low, high)}"
        case Text(field=field, pattern=pattern, glob=glob):
            return f"{field}:{_glob(pattern, write_field_value) if glob else write_field_value(pattern)}"
        case Untagged():
            return "untagged"
        case InTrash():
            return "in:trash"
    raise AssertionError(query)


def _tag_glob(pattern: str) -> str:
    key, equals, value = pattern.partition("=")
    if equals and key and not _WILDCARDS.search(key):
        return f"{write_key(key)}={_glob(value, write_value)}"
    return _glob(pattern, write_tag)


def _glob(pattern: str, write: Callable[[str], str]) -> str:
    """A pattern with quotes around those of its literal parts that need them; the wildcards stay outside."""
    literals = _WILDCARDS.split(pattern)
    literals[::2] = [write(part) if part else "" for part in literals[::2]]
    return "".join(literals)


def _numbers(field: str, low: int | None, high: int | None) -> str:
    write: Callable[[int], str] = write_size if field == "size" else str
    if low is None:
        assert high is not None, "a Number without bounds"
        return f"<={write(high)}" if high >= 0 else "<0"
    if high is None:
        return f">={write(low)}" if low <= GREATEST else f">{write(low - 1)}"
    return write(low) if low == high else f"{write(low)}..{write(high)}"


def _dates(low: int | None, high: int | None) -> str:
    if low is None:
        assert high is not None, "a Number without bounds"
        return f"<={write_last(high)}" if high >= FIRST else "<0001"
    if high is None:
        return f">={write_start(low)}" if low < BEYOND else ">9999"
    return write_period(low, high)
