"""Command lines of the tag protocol, read into values (docs/protocols/tag.md). Layer: wire, sans-io.

Everything here works on the text behind the verb and the one space that follows it. Columns in errors count from the
beginning of that text, so that those of a query are the same here, in the web endpoint and on the command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias, TypeVar

from tagfs.errors import BadRequest, QueryError
from tagfs.model.entry import check_entry_id
from tagfs.model.names import check_home, check_name, check_tag
from tagfs.model.order import NEWEST, Cursor, Scope, Sort
from tagfs.model.principal import Role
from tagfs.model.query import EVERYTHING, Query, parse
from tagfs.model.query.meaning import ranges_over
from tagfs.model.query.quantities import read_period
from tagfs.model.query.words import located_arguments, part_at_bar
from tagfs.model.searches import check_search
from tagfs.model.users import check_user, read_role
from tagfs.wire.cursor import decode_cursor, read_sort

MAX_NUMBER: Final = (1 << 63) - 1
"""Greatest number in a command."""
MAX_KEY: Final = 255
"""Longest idempotency key, in characters."""
MAX_TAGS_LISTED: Final = 10_000
"""Most rows of TAGS, and how many it gives without a limit."""
MAX_SYNC_S: Final = 3600.0
"""Longest time that SYNC waits, in seconds."""

Value = TypeVar("Value")
Default = TypeVar("Default")
Located: TypeAlias = tuple[str, int]
"""A word, and the column that it begins at."""

"""Most tags come again and again."""
_SIZE = re.compile(rb"[ \t]*([0-9]{1,19})(?=[ \t]|\Z)")


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
            with suppress(BadRequest):  # read again below, with its columns
                return Add(_number(words[0]), check_name(words[1]), list(map(check_tag, words[2:])))
    before, options, column = part_at_bar(argument)
    located = located_arguments(before)
    if len(located) < 2:
        raise QueryError("there is no name", len(before.rstrip()) + 1, "size, name and tags")
    given = _Options(options, column, ("key", "modified", "folder"))
    size, name, *tags = located
    # What the node would refuse in the end is refused before the content comes.
    return Add(
        _read(_number, size),
        _read(check_name, name),
        [_read(check_tag, tag) for tag in tags],
        given.read("key", _key, None),
        given.read("modified", _moment, None),
        given.read("folder", check_home, None),
    )


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
    given = _Options(options, column, ("limit", "sort", "after"))
    query, scope = read_query(text)
    sort = given.read("sort", read_sort, NEWEST)
    after = given.read("after", lambda cursor: decode_cursor(cursor, sort) if cursor else None, None)
    return Find(query, scope, given.read("limit", _number, None), sort, after)


def read_tags(argument: str) -> Tags:
    """``[query] [| limit=N prefix=P sort=count|name]``."""
    text, options, column = part_at_bar(argument)
    given = _Options(options, column, ("limit", "prefix", "sort"))
    return Tags(
        parse(text),
        given.read("limit", _tag_limit, MAX_TAGS_LISTED),
        given.read("prefix", str, ""),
        given.read("sort", _tag_sort, False),
    )


def read_get(argument: str) -> Get:
    """``id [| offset=O length=L version=V]``."""
    text, options, column = part_at_bar(argument)
    given = _Options(options, column, ("offset", "length", "version"))
    return Get(
        _read(check_entry_id, _only(text, "an entry id")),
        given.read("offset", _number, 0),
        given.read("length", _number, None),
        given.read("version", str, None),
    )


def read_retag(argument: str) -> tuple[Query, list[str]]:
    """``query | tag …``; neither may be missing."""
    text, rest, column = part_at_bar(argument)
    tags = [_read(check_tag, tag) for tag in located_arguments(rest or "", column)]
    query = read_selection(text)
    if not tags:
        raise QueryError("no tags are given", column, "| and tags behind the query")
    return query, tags


def read_selection(argument: str) -> Query:
    """``query`` of a bulk change or of a saved search, which is never empty: nobody means everything by leaving something
    out."""
    query = parse(argument)
    if query == EVERYTHING:
        raise QueryError("an empty query is refused here", 1, "which entries are meant")
    return query


def read_id(argument: str) -> str:
    """``id``."""
    return _read(check_entry_id, _only(argument, "an entry id"))


def read_tag(argument: str) -> str:
    """``tag``."""
    return _read(check_tag, _only(argument, "one tag"))


def read_rename(argument: str) -> tuple[str, str]:
    """``id | name``; a name without any quotes may hold spaces."""
    text, rest, column = part_at_bar(argument)
    identifier = read_id(text)
    name = (rest or "").strip()
    if not name or '"' in name or "|" in name:
        return identifier, _read(check_name, _only(rest or "", "one name", column))
    return identifier, _read(check_name, (name, argument.index(name, column - 1) + 1))


def read_rename_tag(argument: str) -> tuple[str, str]:
    """``old | new``."""
    text, rest, column = part_at_bar(argument)
    return read_tag(text), _read(check_tag, _only(rest or "", "one tag", column))


def read_save(argument: str) -> tuple[str, str]:
    """``name | query``; the query must be one that can be read, and not be empty."""
    text, rest, column = part_at_bar(argument)
    name = read_search(text)
    if rest is None:
        raise QueryError("no query is given", column, "| and a query behind the name")
    try:
        read_selection(rest)
    except QueryError as error:
        raise QueryError(error.message, error.column + column - 1, error.expected) from None
    return name, rest.strip()


def read_search(argument: str) -> str:
    """``name`` of a saved search."""
    return _read(check_search, _only(argument, "one name"))


def read_verb(argument: str) -> Located | None:
    """``[verb]`` of HELP, and its column."""
    words = located_arguments(argument)
    if len(words) > 1:
        raise QueryError("too many words", words[1][1], "one command")
    return words[0] if words else None


def read_nothing(argument: str) -> None:
    """Of a command that takes no arguments."""
    if argument.strip():
        raise QueryError("this command takes no arguments", len(argument) - len(argument.lstrip()) + 1)


def read_user(argument: str) -> str:
    """``name`` of a user."""
    return _only(argument, "a user's name")[0]


def read_node(argument: str) -> str:
    """``id`` of a node."""
    return _only(argument, "a node's id or name")[0]


def read_settings(argument: str) -> dict[str, str]:
    """``name=value …`` of CLUSTER-SET, each name once."""
    given: dict[str, str] = {}
    for text, column in located_arguments(argument):
        name, sign, value = text.partition("=")
        name = name.replace("-", "_").lower()
        if not sign or not name or not value:
            raise QueryError(f'"{text[:40]}" is no setting', column, "name=value, as in copies=2")
        if name in given:
            raise QueryError(f"{name} is there twice", column)
        given[name] = value
    if not given:
        raise QueryError("something is missing", len(argument) + 1, "name=value, as in copies=2")
    return given


def read_user_role(argument: str) -> tuple[str, Role]:
    """``name role``."""
    name, role = _user_role(argument)
    return name[0], _read(read_role, role)


def read_new_user(argument: str) -> tuple[str, Role]:
    """``name role`` of somebody who is to be a user, by the rules for names."""
    name, role = _user_role(argument)
    _read(check_user, name)
    return name[0], _read(read_role, role)


def _user_role(argument: str) -> tuple[Located, Located]:
    located = located_arguments(argument)
    if len(located) != 2:
        at = located[2][1] if located[2:] else len(argument.rstrip()) + 1
        raise QueryError("too many words" if located[2:] else "something is missing", at, "a user's name and a role")
    return located[0], located[1]


def read_seconds(argument: str, default: float) -> float:
    """``[seconds]`` of SYNC."""
    text = argument.strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text) or float(text) > MAX_SYNC_S:
        raise QueryError(f'"{text[:20]}" is no time to wait', 1, f"seconds from 0 to {MAX_SYNC_S:g}")
    return float(text)


def _only(text: str, what: str, column: int = 1) -> Located:
    """The one argument that ``text`` is."""
    located = located_arguments(text, column)
    if len(located) != 1:
        at = located[1][1] if located else column
        raise QueryError("too many words" if located else "something is missing", at, f"{what} (spaces need quotes)")
    return located[0]


def _read(reader: Callable[[str], Value], located: Located) -> Value:
    """A word as ``reader`` reads it; its complaints get the column."""
    try:
        return reader(located[0])
    except BadRequest as error:
        raise BadRequest(f"column {located[1]}: {error}") from None


class _Options:
    """The ``key=value`` words of a command; an unknown or repeated key is refused."""

    def __init__(self, text: str | None, column: int, known: Sequence[str]) -> None:
        self._given: dict[str, Located] = {}
        for word, at in located_arguments(text or "", column):
            key, equals, value = word.partition("=")
            if not equals or key not in known:
                raise QueryError(f'"{key[:40]}" is no option', at, ", ".join(f"{name}=…" for name in known))
            if key in self._given:
                raise QueryError(f'the option "{key}" is given twice', at)
            self._given[key] = value, at

    def read(self, key: str, reader: Callable[[str], Value], default: Default) -> Value | Default:
        """The value of an option, as ``reader`` reads it; its complaints get the column."""
        return _read(reader, self._given[key]) if key in self._given else default


def _key(text: str) -> str:
    if not 0 < len(text) <= MAX_KEY:
        raise BadRequest(f"a key has 1 to {MAX_KEY} characters, not {len(text)}")
    return text


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
