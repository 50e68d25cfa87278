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


def read_folders(connection: sqlite3.Connection, home: str, limit: int) -> list[str]:
    """Names of folders in the folder ``home`` that lead to a home of a live entry, at most ``limit``, in order."""
    prefix = f"{home}/" if home else ""
    end = prefix.encode() + _LAST
    found: dict[str, None] = {}
    statement, start = _AFTER, prefix
    while len(found) < limit and (row := connection.execute(statement, (start, end)).fetchone()):
        name, slash, _ = row[0][len(prefix) :].partition("/")
        found[name] = None
        # "a", "a b" and "a/x" come in this order, so only behind a slash all of a folder can be skipped.
        statement, start = (_FROM, prefix + name + _BEHIND_SLASH) if slash else (_AFTER, row[0])
    return sorted(found)
