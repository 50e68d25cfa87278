"""What a tag-query means: the naive evaluator, and the rule of comparison that all evaluators share. Layer: model.

:func:`matches` is the reference: an index may answer in any way that gives the same entries (property-tested).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from tagfs.model.entry import Entry, home_of
from tagfs.model.names import fold, name_key, split_tag
from tagfs.model.order import Scope
from tagfs.model.query.quantities import read_period
from tagfs.model.query.syntax import (
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

_NUMBER = re.compile(r"[+-]?(?:([0-9]+)|[0-9]+\.[0-9]*|\.[0-9]+)", re.ASCII)
_LONGEST_NUMBER = 255
_ORDERS = {"=": {0}, "!=": {-1, 1}, "<": {-1}, "<=": {-1, 0}, ">": {1}, ">=": {0, 1}}


class Reading(NamedTuple):
    """What a value may also be, besides text: a number, and the period of a date (milliseconds since 1970 in UTC: the
    first one of it, and the first one behind it)."""

    number: int | Decimal | None
    period: tuple[int, int] | None


@lru_cache(maxsize=16_384)
def reading(value: str) -> Reading:
    """How a folded value reads. Numbers are decimals with or without a sign, exact at any length up to 255 characters;
    dates as in :func:`~tagfs.model.query.quantities.read_period`. A year is both."""
    found = _NUMBER.fullmatch(value) if len(value) <= _LONGEST_NUMBER else None
    number = (int(value) if found[1] else Decimal(value)) if found else None
    return Reading(number, read_period(value))


def compare(left: str, operator: str, right: str) -> bool:
    """Whether a tag's value ``left`` stands in the relation to the query's value ``right``; both folded.

    Both numbers: by number. Else both dates: ``left`` counts as the first moment of its period, and is equal to ``right``
    while it lies in the period of ``right``, so that ``taken = 2024`` takes in ``taken=2024-05-03``. Else by the code
    points of the text. Of ``<``, ``=`` and ``>`` exactly one holds.
    """
    return order(left, right) in _ORDERS[operator]


def order(left: str, right: str) -> int:
    """-1, 0 or 1: where :func:`compare` sees ``left``, seen from ``right``."""
    ours, theirs = reading(left), reading(right)
    if ours.number is not None and theirs.number is not None:
        return (ours.number > theirs.number) - (ours.number < theirs.number)
    if ours.period and theirs.period:
        moment = ours.period[0]
        return (moment >= theirs.period[1]) - (moment < theirs.period[0])
    return (left > right) - (left < right)


def value_test(query: Compare | Between) -> Callable[[str], bool]:
    """The test that a (folded) value of the key has to pass, for evaluators that keep values by key."""
    if isinstance(query, Compare):
        orders, right = _ORDERS[query.op], query.value
        return lambda value: order(value, right) in orders
    low, high = query.low, query.high
    return lambda value: order(value, low) >= 0 and order(value, high) <= 0


@lru_cache(maxsize=256)
def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A wildcard pattern as a regular expression for ``fullmatch``; takes linear time per star, whatever the text.

    Each part between two stars is sought once and for all (an atomic group), since the first place it fits is as
    good as any later one.
    """
    first, *others = ("".join("." if char == "?" else re.escape(char) for char in part) for part in pattern.split("*"))
    if not others:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in others[:-1] if part)
    return re.compile(f"{first}{middle}.*{others[-1]}", re.DOTALL)


def glob_matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches: ``*`` any characters, also none; ``?`` one; all others themselves."""
    return glob_pattern(pattern).fullmatch(text) is not None


def matches(query: Query, entry: Entry, *, copies: int = 1, nodes: Collection[str] = ()) -> bool:
    """Whether an entry matches, whatever the scope. Its tags are folded (as stored, not as shown).

    ``copies`` is the number of live nodes known to hold its content, ``nodes`` their ids.
    """
    match query:
        case And(items=items):
            return all(matches(item, entry, copies=copies, nodes=nodes) for item in items)
        case Or(items=items):
            return any(matches(item, entry, copies=copies, nodes=nodes) for item in items)
        case Not(item=item):
            return not matches(item, entry, copies=copies, nodes=nodes)
        case Everything():
            return True
        case Untagged():
            return not entry.tags
        case InTrash():
            return entry.trashed is not None
        case Number(field=field, low=low, high=high):
            number = copies if field == "copies" else _number(entry, field)
            return (low is None or low <= number) and (high is None or number <= high)
        case Text(field=field, pattern=pattern, glob=glob):
            texts = [fold(node) for node in nodes] if field == "node" else [_text(entry, field)]
            return any(glob_matches(pattern, text) if glob else pattern == text for text in texts)
        case Tag() | TagGlob() | HasKey() | Compare() | Between():
            return _matches_tags(query, entry.tags)


def in_scope(entry: Entry, scope: Scope) -> bool:
    """Whether a query of that scope ranges over the entry."""
    return scope is Scope.ALL or (entry.trashed is not None) == (scope is Scope.TRASH)


def parts(query: Query) -> Iterator[Query]:
    """The query and all queries in it."""
    left = [query]
    while left:
        part = left.pop()
        yield part
        if isinstance(part, Not):
            left.append(part.item)
        elif isinstance(part, And | Or):
            left.extend(part.items)


def mentions_trash(query: Query) -> bool:
    """Whether the query says ``in:trash`` anywhere."""
    return any(isinstance(part, InTrash) for part in parts(query))


def ranges_over(query: Query, scope: Scope) -> Scope:
    """The scope to ask a query with where a person chose ``scope``: one that says ``in:trash`` itself ranges over the
    trash, too."""
    return Scope.ALL if scope is Scope.LIVE and mentions_trash(query) else scope


def _matches_tags(query: Tag | TagGlob | HasKey | Compare | Between, tags: Collection[str]) -> bool:
    if isinstance(query, Tag):
        return query.tag in tags
    if isinstance(query, TagGlob):
        return any(map(glob_pattern(query.pattern).fullmatch, tags))
    values = [pair[1] for tag in tags if (pair := split_tag(tag)) and pair[0] == query.key]
    return bool(values) if isinstance(query, HasKey) else any(map(value_test(query), values))


def _number(entry: Entry, field: str) -> int:
    match field:
        case "size":
            return entry.content.size
        case "added":
            return entry.added
        case "modified":
            return entry.content.modified
    raise AssertionError(field)


def _text(entry: Entry, field: str) -> str:
    match field:
        case "name":
            return name_key(entry.name)
        case "type":
            return fold(entry.content.type)
        case "digest":
            return entry.content.digest.hex()
        case "id":
            return entry.id
        case "home":
            return name_key(home_of(entry))
    raise AssertionError(field)
