"""Times as the tag protocol writes them: RFC 3339 in UTC with milliseconds. Layer: cli."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime


def time_text(milliseconds: int) -> str:
    """Milliseconds since 1970 as text."""
    seconds, rest = divmod(milliseconds, 1000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        moment, rest = datetime.fromtimestamp(0, UTC), 0
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:03d}Z" if moment.year > 999 else "1970-01-01T00:00:00.000Z"


def milliseconds(text: str) -> int | None:
    """Inverse of :func:`time_text`; None for what is no time."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round((moment - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000)


def file_time(found: os.stat_result) -> str:
    """When a file was last modified."""
    return time_text(found.st_mtime_ns // 1_000_000)


def now_text() -> str:
    """The time now."""
    return time_text(time.time_ns() // 1_000_000)
