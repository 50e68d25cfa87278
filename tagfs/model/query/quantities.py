"""Sizes and times as a query writes them, read and printed. Layer: model.

Sources: RFC 3339 (times), ISO 8601 (dates of reduced precision). A date or time is the period it leaves open:
``2026-11`` is the whole month, ``2026-11-03T10:00:00Z`` the whole second. Times without an offset are in UTC.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache

GREATEST = 1 << 62
"""Bound of all numbers in a query, far above any size, so that sums with them stay within 64 bits."""

_SIZE = re.compile(r"([0-9]{1,19})(\.[0-9]{1,9})?(?:([KMGTP])(?:i?B)?|B)?", re.ASCII | re.IGNORECASE)
_UNITS = " KMGTP"
_PERIOD = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[Tt]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?)?)?)?",
    re.ASCII,
)
_LONGEST_COUNT = 19
_LONGEST_PERIOD = 40
_EPOCH = date(1970, 1, 1).toordinal()
_DAY = 86_400_000
_START = datetime(1970, 1, 1)
FIRST = (date(1, 1, 1).toordinal() - _EPOCH) * _DAY
"""The first millisecond that can be written, year 1."""
BEYOND = (date(9999, 12, 31).toordinal() + 1 - _EPOCH) * _DAY
"""The first millisecond that can no longer be written, year 10000."""


def read_size(text: str) -> int | None:
    """Bytes of ``10M``, ``1.5GiB``, ``300``: units are powers of 1024, rounded down to whole bytes; None if no size."""
    found = _SIZE.fullmatch(text)
    if not found:
        return None
    whole, decimals, unit = found.groups()
    if not unit:
        return None if decimals or int(whole) > GREATEST else int(whole)
    size = int(Fraction(whole + (decimals or "")) * 1024 ** _UNITS.index(unit.upper()))
    return size if size <= GREATEST else None


def read_count(text: str) -> int | None:
    """A plain number of things; None where it is none."""
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_COUNT:
        return None
    return int(text) if int(text) <= GREATEST else None


def write_size(size: int) -> str:
    """The shortest whole number with a unit that :func:`read_size` reads back as ``size``."""
    unit = 0
    while size and size % 1024 == 0 and unit < len(_UNITS) - 1:
        size //= 1024
        unit += 1
    return f"{size}{_UNITS[unit]}".strip()


@lru_cache(maxsize=4096)
def read_period(text: str) -> tuple[int, int] | None:
    """The period that a date or time names: its first millisecond since 1970 in UTC, and the first one behind it;
    None where ``text`` is no date (``2026-02-30`` is none)."""
    found = _PERIOD.fullmatch(text) if len(text) <= _LONGEST_PERIOD else None
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        start = (date(int(year), int(month or 1), int(day or 1)).toordinal() - _EPOCH) * _DAY
    except ValueError:
        return None
    if hour:
        return _time(start, hour, minute, second, fraction, offset)
    if day:
        return start, start + _DAY
    if not month:
        return start, _month_start(int(year) + 1, 1)
    return start, _month_start(int(year) + int(month) // 12, int(month) % 12 + 1)


def write_period(first: int, last: int) -> str:
    """The shortest date or time, or range of two of one precision, whose period goes from the millisecond ``first`` to
    ``last``, both from year 1 to 9999."""
    for low, high in zip(_texts(first), _texts(last), strict=True):
        begins, ends = read_period(low), read_period(high)
        if begins and ends and (begins[0], ends[1]) == (first, last + 1):
            return low if low == high else f"{low}..{high}"
    raise AssertionError("the last form names any millisecond")


def write_start(moment: int) -> str:
    """The shortest date or time whose period begins at ``moment``, a millisecond from year 1 to 9999."""
    return next(text for text in _texts(moment) if (period := read_period(text)) and period[0] == moment)


def write_last(moment: int) -> str:
    """The shortest date or time whose period ends with ``moment``, a millisecond from year 1 to 9999."""
    return next(text for text in _texts(moment) if (period := read_period(text)) and period[1] == moment + 1)


def write_time(moment: int) -> str:
    """``moment``, milliseconds since 1970, as RFC 3339 in UTC with milliseconds; from year 1 to 9999."""
    return f"{(_START + timedelta(milliseconds=moment)).isoformat(timespec='milliseconds')}Z"


def _texts(moment: int) -> tuple[str, ...]:
    text = write_time(moment)
    return text[:4], text[:7], text[:10], f"{text[:19]}Z", text


def _month_start(year: int, month: int) -> int:
    return BEYOND if year > 9999 else (date(year, month, 1).toordinal() - _EPOCH) * _DAY


def _time(
    day: int, hour: str, minute: str, second: str | None, fraction: str | None, offset: str | None
) -> tuple[int, int] | None:
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
        return None
    start = day + (int(hour) * 60 + int(minute)) * 60_000 + int(second or 0) * 1000
    width = 1000 if second else 60_000
    if fraction:
        start += int(f"{fraction:0<3}"[:3])
        width = 10 ** max(0, 3 - len(fraction))
    if offset and offset not in "Zz":
        if int(offset[1:3]) > 23 or int(offset[4:]) > 59:
            return None
        shift = (int(offset[1:3]) * 60 + int(offset[4:])) * 60_000
        start += shift if offset[0] == "-" else -shift
    return (start, start + width) if FIRST <= start < BEYOND else None
