"""The folders below a home, without looking at each entry below it: a skip scan over the homes. Layer: storage.

Homes are in an index in order of their bytes. All that begin with one folder's name and a slash stand together, so one
look-up leads from a folder to the next, however many entries it has.
"""

from __future__ import annotations

import sqlite3

_NEXT = "SELECT home FROM records WHERE home {} ? AND home < CAST(? AS TEXT) AND trashed IS NULL ORDER BY home LIMIT 1"
_AFTER, _FROM = _NEXT.format(">"), _NEXT.format(">=")
_LAST = b"\xff"
"""Behind every text that begins alike: this byte is in no UTF-8."""
_BEHIND_SLASH = "0"
"""The character after the slash: where the homes that begin with a name and a slash are over."""


def read_folders(connection: sqlite3.Connection, home: str, limit: int, after: str) -> list[str]:
    """Names of folders in the folder ``home`` that lead to a home of a live entry: the first ``limit`` behind ``after``, in order."""
    prefix = f"{home}/" if home else ""
    end = prefix.encode() + _LAST
    found: set[str] = set()
    statement, start = _AFTER, prefix + after
    while len(found) < limit and (row := connection.execute(statement, (start, end)).fetchone()):
        name, slash, _ = row[0][len(prefix) :].partition("/")
        if name > after:
            found.add(name)
        # "a", "a b" and "a/x" come in this order, so only behind a slash all of a folder can be skipped.
        statement, start = (_FROM, prefix + name + _BEHIND_SLASH) if slash else (_AFTER, row[0])
    if len(found) == limit:
        found |= _passed_over(connection, prefix, found, after)
    return sorted(found)[:limit]


def _passed_over(connection: sqlite3.Connection, prefix: str, found: set[str], after: str) -> set[str]:
    """Folders that come before some of those found, but whose homes come behind theirs: of ``a b`` and ``a/x``, it is ``a``."""
    starts = {name[:at] for name in found for at, character in enumerate(name) if at and character < "/"}
    return {
        name
        for name in starts.difference(found)
        if name > after
        and connection.execute(_FROM, (f"{prefix}{name}/", f"{prefix}{name}{_BEHIND_SLASH}".encode())).fetchone()
    }
