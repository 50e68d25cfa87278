"""Names, homes, digests and ids looked up in the database: what the index does not keep. Layer: storage.

Patterns mean what :func:`tagfs.model.query.meaning.glob_matches` says: ``*`` and ``?`` are wild, all else is itself,
a bracket, too, which SQLite's ``GLOB`` would take for a set of characters. ``GLOB`` gives up a text in linear
time per star, and compares bytes, as we do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tagfs.model.entry import KIND
from tagfs.storage.catalog.database import Database

_WILD = re.compile(r"[*?]")
_LAST = b"\xff"
"""Behind every text that begins alike: this byte is in no UTF-8."""

_EXACT = {
    "name": "SELECT row FROM records WHERE name = ?",
    "home": "SELECT row FROM records WHERE home = ?",
    "id": f"SELECT row FROM records WHERE kind = '{KIND}' AND key = ?",
}
_RANGE = {
    "name": "SELECT row FROM records WHERE name >= ? AND name < CAST(? AS TEXT) AND name GLOB ?",
    "home": "SELECT row FROM records WHERE home >= ? AND home < CAST(? AS TEXT) AND home GLOB ?",
    "id": f"SELECT row FROM records WHERE kind = '{KIND}' AND key >= ? AND key < CAST(? AS TEXT) AND key GLOB ?",
}
_DIGEST = "SELECT row FROM refs WHERE current AND digest = ?"
_DIGEST_RANGE = "SELECT row FROM refs WHERE current AND digest >= ? AND digest <= ? AND lower(hex(digest)) GLOB ?"
_HEX = re.compile("(?:[0-9a-f]{2})*")
_DIGEST_BYTES = 32
_LETTERS = 12
"""Letters at the end of an id that are looked at: 58 bits tell all entries apart."""
_DIGITS = frozenset("0123456789abcdefghjkmnpqrstvwxyz")
_NEVER = 1, 2
"""A bit that is 2: what no id ends with."""
_BASE_32 = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "0123456789abcdefghijklmnopqrstuv")


class DatabaseLookups:
    """Answers :class:`~tagfs.storage.index.Lookups` by what is committed now; rows of what is no entry may be among them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self, field: str, pattern: str, glob: bool) -> Iterable[int]:
        """Rows whose ``name``, ``home``, ``digest`` or ``id`` is, or fits, ``pattern``."""
        if field == "digest":
            return self._ask(*_of_digest(pattern, glob))
        if not glob:
            return self._ask(_EXACT[field], pattern)
        start = _WILD.split(pattern, maxsplit=1)[0]
        return self._ask(_RANGE[field], start, start.encode() + _LAST, escaped(pattern))

    def _ask(self, statement: str, *values: str | bytes) -> list[int]:
        with self._database.reading() as connection:
            return [row for (row,) in connection.execute(statement, values).fetchall()]


def escaped(pattern: str) -> str:
    """A pattern of ours as one for ``GLOB``."""
    return pattern.replace("[", "[[]")


def end_of_id(pattern: str) -> tuple[int, int] | None:
    """How many bits at the end of an id a pattern fixes, and to what; None where it fixes none.

    People see the end of an id, where the random part is, so this is what they ask for.
    """
    end = _WILD.split(pattern)[-1][-_LETTERS:]
    if not end:
        return None
    number = int(end.translate(_BASE_32), 32) if _DIGITS.issuperset(end) else 1
    # The last letter has two bits of padding, which are never set.
    return (5 * len(end) - 2, number >> 2) if number & 3 == 0 else _NEVER


def _of_digest(pattern: str, glob: bool) -> tuple[str, str | bytes] | tuple[str, bytes, bytes, str]:
    if not glob:
        # Odd or foreign letters are in no digest; hex digits of another length equal none.
        return _DIGEST, bytes.fromhex(pattern) if _HEX.fullmatch(pattern) else b""
    found = _HEX.match(pattern)
    start = bytes.fromhex(found[0] if found else "")
    return _DIGEST_RANGE, start, start + b"\xff" * (_DIGEST_BYTES + 1 - len(start)), escaped(pattern)
