"""How names, tags and rows stand in the lines of the tag protocol. Layer: client.

Arguments are separated by spaces; one that holds anything but plain characters is written in double quotes, where
``\\"`` and ``\\\\`` are the two escapes. Rows are separated by TAB; the tags in a row follow the same rule as arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tagfs.client.errors import ClientError, ProtocolViolation

_PLAIN = re.compile(r"[A-Za-z0-9_./+=:%~^][A-Za-z0-9_./+=:,%~^-]*\Z")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"(?= |\Z)|([^ ]+)')
_ESCAPED = re.compile(r"\\(.)")
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


def quoted(text: str) -> str:
    """``text`` in double quotes: in a query the literal tag, in arguments one word."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def word(text: str) -> str:
    """``text`` as one argument: bare where nothing in it could be taken for something else."""
    return text if _PLAIN.match(text) else quoted(text)


def words(texts: Iterable[str]) -> str:
    """Several arguments, separated by spaces."""
    return " ".join(map(word, texts))


def options(**values: object) -> str:
    """`` | a=1 b=2`` of those that are not None; empty where all are."""
    given = [f"{name}={word(str(value))}" for name, value in values.items() if value is not None]
    return " | " + " ".join(given) if given else ""


def tags_in(column: str) -> tuple[str, ...]:
    """The tags of a row's last column. Raises :class:`ProtocolViolation` where quotes do not close."""
    if '"' not in column:
        return tuple(tag for tag in column.split(" ") if tag)
    tags = []
    for part in _WORD.finditer(column):
        inner, bare = part.groups()
        if bare is not None and bare.startswith('"'):
            raise ProtocolViolation(f"the server sent tags that cannot be read: {column[:80]!r}")
        tags.append(bare if bare is not None else _ESCAPED.sub(r"\1", inner))
    return tuple(tags)


def check_line(line: str) -> str:
    """``line`` if it can be sent as one command. Raises :class:`~tagfs.client.errors.ClientError`.

    A line break in a query would start a second command, so control characters are refused here, before anything is sent.
    """
    if _CONTROL.search(line):
        raise ClientError("control characters and line breaks cannot stand in a query, a tag or a name")
    return line


def check_query(query: str) -> str:
    """A query as it may stand before the ``|`` of a command line. Raises :class:`ClientError`.

    A bare ``|`` would end the query and make what follows options of the command.
    """
    check_line(query)
    inside = False
    at = 0
    while at < len(query):
        char = query[at]
        if char == "\\" and inside:
            at += 1
        elif char == '"':
            inside = not inside
        elif char == "|" and not inside:
            raise ClientError(f"column {at + 1}: a | in a query must stand in double quotes; 'or' is spelled or")
        at += 1
    return query
