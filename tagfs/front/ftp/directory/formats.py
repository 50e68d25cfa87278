"""How rows of directories are written: as ``ls -l``, as MLSD facts, as bare names. Layer: front. Pure.

Sources: RFC 3659 section 7 (facts); what clients parse of LIST is the format of ``ls -l``
(https://cr.yp.to/ftp/list/binls.html).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from urllib.parse import quote

from tagfs.front.ftp.directory.listing import Item
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
    return _utc(milliseconds // 1000).strftime("%Y%m%d%H%M%S").rjust(14, "0")


def _utc(seconds: int) -> datetime:
    # datetime ends in the year 9999, and a time that somebody set need not make sense.
    return datetime.fromtimestamp(min(max(seconds, 0), 253402300799), UTC)


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


class FactRows:
    """Rows of MLSD and MLST with the chosen facts."""

    def __init__(self, facts: Iterable[str], role: Role) -> None:
        self._facts = [fact for fact in FACTS if fact in facts]
        write = role >= Role.WRITE
        self._perms = ("adfrw" if write else "r", "cdeflmp" if write else "el")

    def __call__(self, item: Item) -> str:
        """``type=file;size=1;… name``"""
        return f"{self.facts(item)} {item.name}"

    def facts(self, item: Item, kind: str = "") -> str:
        """The facts alone; ``kind`` is the type of a directory that is not listed in another (``cdir``)."""
        values = self._of_folder(kind) if item.entry is None else self._of_entry(item)
        return "".join(f"{fact}={values[fact]};" for fact in self._facts if fact in values)

    def _of_folder(self, kind: str) -> dict[str, str]:
        return {"type": kind or "dir", "perm": self._perms[1]}

    def _of_entry(self, item: Item) -> dict[str, str]:
        entry = item.entry
        assert entry is not None
        content = entry.content
        values = {"type": "file", "size": str(content.size), "perm": self._perms[0], "unique": entry.id}
        if "modify" in self._facts:
            values["modify"] = moment(content.modified)
        if "create" in self._facts:
            values["create"] = moment(entry.added)
        if "media-type" in self._facts:
            values["media-type"] = quote(content.type, _FACT_SAFE)
        if "x.tags" in self._facts:
            values["x.tags"] = ",".join(quote(tag, _FACT_SAFE) for tag in entry.tags)
        return values


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
