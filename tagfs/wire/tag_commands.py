"""Command lines of the tag protocol, read into values (docs/protocols/tag.md). Layer: wire, sans-io.

Everything here works on the text behind the verb and the one space that follows it. Columns in errors count from the
beginning of that text, so that those of a query are the same here, in the web endpoint and on the command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tagfs.errors import BadRequest, QueryError
from tagfs.model.order import NEWEST, Cursor, Scope, Sort
from tagfs.model.query import EVERYTHING, Query, parse
from tagfs.model.query.meaning import ranges_over
from tagfs.model.query.quantities import read_period
from tagfs.model.query.words import located_arguments, part_at_bar
from tagfs.wire.cursor import decode_cursor, read_sort

MAX_NUMBER: Final = (1 << 63) - 1
"""Greatest number in a command."""
MAX_TAGS_LISTED: Final = 10_000
"""Most rows of TAGS, and how many it gives without a limit."""
MAX_SYNC_S: Final = 3600.0
"""Longest time that SYNC waits, in seconds."""

_SIZE = re.compile(rb" *([0-9]{1,19})(?= |\t|\Z)")


class Find(NamedTuple):
    """FIND. ``limit`` None: all of them."""

    query: Query
    scope: Scope
    limit: int | None
    sort: Sort
    after: Cursor | None


class Tags(NamedTuple):
    """TAGS."""

    query: Query
    limit: int
    prefix: str
    by_name: bool


class Add(NamedTuple):
    """ADD. ``modified`` in milliseconds since 1970."""

    size: int
    name: str
    tags: Sequence[str]
    key: str | None = None
    modified: int | None = None
    folder: str | None = None


class Get(NamedTuple):
    """GET. ``version`` is a stamp that INFO listed."""

    id: str
    offset: int
    length: int | None
    version: str | None


def announced_size(argument: bytes) -> int:
    """How many bytes follow an ADD line, from its raw argument, however wrong the rest of it is. Raises BadRequest where the
    size cannot be read."""
    found = _SIZE.match(argument)
    size = int(found[1]) if found else -1
    if not 0 <= size <= MAX_NUMBER:
        shown = argument[:40].decode("ascii", "replace").replace("\ufffd", "?").partition(" ")[0]
        raise BadRequest(f"column 1: {shown!r} is no size; ADD size name [tag …], then size bytes")
    return size


def read_add(argument: str) -> Add:
    """``size name [tag …] [| key=K modified=T folder=F]``."""
    if '"' not in argument and "|" not in argument:
        words = argument.split()
        if len(words) > 1:
            return Add(int(words[0]), words[1], words[2:])
    before, options, column = part_at_bar(argument)
    located = located_arguments(before)
    if len(located) < 2:
        raise QueryError("there is no name", len(before.rstrip()) + 1, "size, name and tags")
    given = _options(options, column, {"key": str, "modified": _moment, "folder": str})
    size, name, *tags = [word for word, _ in located]
    return Add(int(size), name, tags, given.get("key"), given.get("modified"), given.get("folder"))


def read_query(argument: str) -> tuple[Query, Scope]:
    """``[query]``, and which entries it ranges over."""
    query = parse(argument)
    return query, ranges_over(query, Scope.LIVE)


def read_find(argument: str) -> Find:
    """``[query] [| limit=N sort=[-]key after=CURSOR]``."""
    if "|" not in argument:
        query, scope = read_query(argument)
        return Find(query, scope, None, NEWEST, None)
    text, options, column = part_at_bar(argument)
    given = _options(options, column, {"limit": _number, "sort": read_sort, "after": str})
    query, scope = read_query(text)
    sort = given.get("sort", NEWEST)
    after = given.get("after")
    return Find(query, scope, given.get("limit"), sort, None if after is None else decode_cursor(after, sort))


def read_tags(argument: str) -> Tags:
    """``[query] [| limit=N prefix=P sort=count|name]``."""
    text, options, column = part_at_bar(argument)
    given = _options(options, column, {"limit": _tag_limit, "prefix": str, "sort": _tag_sort})
    return Tags(parse(text), given.get("limit", MAX_TAGS_LISTED), given.get("prefix", ""), given.get("sort", False))


def read_get(argument: str) -> Get:
    """``id [| offset=O length=L version=V]``."""
    text, options, column = part_at_bar(argument)
    given = _options(options, column, {"offset": _number, "length": _number, "version": str})
    return Get(_only(text, "an entry id"), given.get("offset", 0), given.get("length"), given.get("version"))


def read_retag(argument: str) -> tuple[Query, list[str]]:
    """``query | tag …``; neither may be missing."""
    text, rest, column = part_at_bar(argument)
    tags = [tag for tag, _ in located_arguments(rest or "", column)]
    query = read_selection(text)
    if not tags:
        raise QueryError("no tags are given", column, "| and tags behind the query")
    return query, tags


def read_selection(argument: str) -> Query:
    """``query`` of a bulk change, which is never empty: nobody means everything by leaving something out."""
    query = parse(argument)
    if query == EVERYTHING:
        raise QueryError("an empty query is refused here", 1, "which entries are meant")
    return query


def read_id(argument: str) -> str:
    """``id``."""
    return _only(argument, "an entry id")


def read_tag(argument: str) -> str:
    """``tag``."""
    return _only(argument, "one tag")


def read_rename(argument: str) -> tuple[str, str]:
    """``id | name``; a name without any quotes may hold spaces."""
    text, rest, column = part_at_bar(argument)
    identifier = _only(text, "an entry id")
    if rest is not None and '"' not in rest and rest.strip():
        return identifier, rest.strip()
    return identifier, _only(rest or "", "one name", column)


def read_rename_tag(argument: str) -> tuple[str, str]:
    """``old | new``."""
    text, rest, column = part_at_bar(argument)
    return _only(text, "one tag"), _only(rest or "", "one tag", column)


def read_save(argument: str) -> tuple[str, str]:
    """``name | query``; the query must be one that can be read."""
    text, rest, column = part_at_bar(argument)
    name = _only(text, "one name")
    if rest is None:
        raise QueryError("no query is given", column, "| and a query behind the name")
    try:
        parse(rest)
    except QueryError as error:
        raise QueryError(error.message, error.column + column - 1, error.expected) from None
    return name, rest.strip()


def read_seconds(argument: str, default: float) -> float:
    """``[seconds]`` of SYNC."""
    text = argument.strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text) or float(text) > MAX_SYNC_S:
        raise QueryError(f'"{text[:20]}" is no time to wait', 1, f"seconds from 0 to {MAX_SYNC_S:g}")
    return float(text)


def _only(text: str, what: str, column: int = 1) -> str:
    """The one argument that ``text`` is."""
    located = located_arguments(text, column)
    if len(located) != 1:
        at = located[1][1] if located else column
        raise QueryError("too many words" if located else "something is missing", at, f"{what} (spaces need quotes)")
    return located[0][0]


def _options(text: str | None, column: int, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """``key=value`` words, each read by the function of its key."""
    given: dict[str, Any] = {}
    for word, at in located_arguments(text or "", column):
        key, equals, value = word.partition("=")
        if not equals or key not in known:
            raise QueryError(f'"{key[:40]}" is no option', at, ", ".join(f"{name}=…" for name in known))
        if key in given:
            raise QueryError(f'the option "{key}" is given twice', at)
        try:
            given[key] = known[key](value)
        except BadRequest as error:
            raise BadRequest(f"column {at}: {error}") from None
    return given


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > MAX_NUMBER:
        raise BadRequest(f"{text[:40]!r} is no number from 0")
    return int(text)


def _tag_limit(text: str) -> int:
    number = _number(text)
    if not 1 <= number <= MAX_TAGS_LISTED:
        raise BadRequest(f"limit={number} is out of bounds; 1 to {MAX_TAGS_LISTED} tags can be asked for")
    return number


def _tag_sort(text: str) -> bool:
    if text not in ("count", "name"):
        raise BadRequest(f"sort={text[:40]}: tags are sorted by count or name")
    return text == "name"


def _moment(text: str) -> int:
    period = read_period(text)
    if period is None:
        raise BadRequest(f"modified={text[:40]}: that is no time as in 2026-11-23T10:15:00Z")
    return period[0]
