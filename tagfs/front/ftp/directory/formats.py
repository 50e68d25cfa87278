"""How rows of directories are written: as ``ls -l``, as MLSD facts, as bare names. Layer: front. Pure.

Sources: RFC 3659 section 7 (facts); what clients parse of LIST is the format of ``ls -l``
(https://cr.yp.to/ftp/list/binls.html).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from tagfs.front.ftp.directory.listing import Item
from tagfs.model.entry import Entry
from tagfs.model.principal import Role

FACTS = ("type", "size", "modify", "create", "perm", "unique", "media-type", "x.tags")
"""The facts there are, in the order in which they are sent."""
DEFAULT_FACTS = frozenset(FACTS)

_RECENT_S = 180 * 24 * 3600
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# What stands for itself in a fact (RFC 3659 section 7.2, SCHAR) and neither separates tags nor escapes.
_FACT_SAFE = "!#$&'()*+-./:=?@[]^_`{|}~"


def moment(milliseconds: int) -> str:
    """A time as FTP writes it: ``YYYYMMDDHHMMSS`` in UTC (RFC 3659 section 2.3)."""
    minute, second = divmod(_sane(milliseconds // 1000), 60)
    return f"{_minute(minute)}{second:02}"


@lru_cache(maxsize=4096)
def _minute(minute: int) -> str:
    return f"{_utc(minute * 60):%Y%m%d%H%M}".rjust(12, "0")


def _sane(seconds: int) -> int:
    # datetime ends in the year 9999, and a time that somebody set need not make sense.
    return min(max(seconds, 0), 253402300799)


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(_sane(seconds), UTC)


@lru_cache(maxsize=4096)
def _fact_text(text: str) -> str:
    return quote(text, _FACT_SAFE)


class LsRows:
    """Rows as ``ls -l`` writes them, for one listing at one moment (seconds since 1970)."""

    def __init__(self, now_s: float, role: Role) -> None:
        self._now_s = int(now_s)
        write = "w" if role >= Role.WRITE else "-"
        self._file = f"-r{write}-r--r--   1 tagfs    tagfs    "
        self._folder = f"dr{write}xr-xr-x   2 tagfs    tagfs    "
        self._dates: dict[int, str] = {}

    def __call__(self, item: Item) -> str:
        entry = item.entry
        if entry is None:
            return f"{self._folder}{0:12} {self._date(self._now_s)} {item.name}"
        return f"{self._file}{entry.content.size:12} {self._date(entry.content.modified // 1000)} {item.name}"

    def _date(self, seconds: int) -> str:
        minute = seconds // 60
        known = self._dates.get(minute)
        if known is None:
            if len(self._dates) > 4096:
                self._dates.clear()
            known = self._dates[minute] = self._format(seconds)
        return known

    def _format(self, seconds: int) -> str:
        at = _utc(seconds)
        recent = -60 <= self._now_s - seconds < _RECENT_S
        last = f"{at.hour:02}:{at.minute:02}" if recent else f"{at.year:5}"
        return f"{_MONTHS[at.month - 1]} {at.day:2} {last}"


_OF_ENTRY: dict[str, Callable[[Entry], str]] = {
    "size": lambda entry: str(entry.content.size),
    "modify": lambda entry: moment(entry.content.modified),
    "create": lambda entry: moment(entry.added),
    "unique": lambda entry: entry.id,
    "media-type": lambda entry: _fact_text(entry.content.type),
    "x.tags": lambda entry: ",".join(map(_fact_text, entry.tags)),
}


class FactRows:
    """Rows of MLSD and MLST with the chosen facts."""

    def __init__(self, facts: Iterable[str], role: Role) -> None:
        chosen = [fact for fact in FACTS if fact in facts]
        write = role >= Role.WRITE
        constant = {"type": "file", "perm": "adfrw" if write else "r"}
        self._columns = [(f"{fact}={constant.get(fact, '')}", _OF_ENTRY.get(fact)) for fact in chosen]
        of_folder = {"type": "{}", "perm": "cdeflmp" if write else "el"}
        self._folder = "".join(f"{fact}={of_folder[fact]};" for fact in chosen if fact in of_folder)

    def __call__(self, item: Item) -> str:
        """``type=file;size=1;… name``"""
        return f"{self.facts(item)} {item.name}"

    def facts(self, item: Item, kind: str = "dir") -> str:
        """The facts alone; ``kind`` is the type of a directory (``cdir`` for the one that is listed itself)."""
        entry = item.entry
        if entry is None:
            return self._folder.format(kind)
        return "".join([f"{head}{value(entry) if value else ''};" for head, value in self._columns])


def bare(item: Item) -> str:
    """The name alone."""
    return item.name


def classified(item: Item) -> str:
    """The name, with a slash behind a directory's, as ``ls -F``."""
    return item.name if item.entry is not None else f"{item.name}/"


def encode(rows: Iterable[Item], row: Callable[[Item], str], prefix: bytes = b"") -> bytes:
    """Rows as they go over a connection; names that are no UTF-8 go as the bytes they were."""
    end = b"\r\n"
    return b"".join(prefix + row(item).encode("utf-8", "surrogateescape") + end for item in rows)
