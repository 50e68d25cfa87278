"""Conditional and range requests (RFC 9110 sections 13 and 14), decided from header texts. Pure; layer: front."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple

_TAG = re.compile(r'\s*(?:(W/)?"([\x21\x23-\x7e\x80-\U0010ffff]*)"|(\*))\s*(?:,|$)')
_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})", re.IGNORECASE)


class Span(NamedTuple):
    """A part of a content, in bytes."""

    start: int
    length: int


def _listed(header: str, tag: str, weak: bool) -> bool:
    """Whether an If-Match or If-None-Match header names the tag (or ``*``); a malformed rest of it names nothing."""
    at = 0
    while at < len(header):
        found = _TAG.match(header, at)
        if found is None:
            return False
        if found[3] or (found[2] == tag and (weak or not found[1])):
            return True
        at = found.end()
    return False


def is_matched(if_match: str | None, tag: str) -> bool:
    """Whether If-Match lets a request pass for what has this tag (without quotes): strong comparison."""
    return if_match is None or _listed(if_match, tag, weak=False)


def is_unchanged(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has this already (304), by If-None-Match: weak comparison."""
    return if_none_match is not None and _listed(if_none_match, tag, weak=True)


def is_newer(modified: int, header: str | None) -> bool | None:
    """Whether what was last modified then (seconds since 1970) is newer than the date of a header; None where there is none
    that can be read, which then counts as not sent (RFC 9110 sections 13.1.3 and 13.1.4)."""
    if header is None:
        return None
    try:
        moment = parsedate_to_datetime(header)
        return modified > (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def span_of(header: str | None, if_range: str | None, tag: str, modified: str, size: int) -> Span | None:
    """The part that is asked for; None means the whole.

    Several parts, other units, malformed headers and an If-Range of other bytes give the whole (RFC 9110 section 14.2 lets a
    server ignore them). Raises ValueError where the part is beyond the content (416).
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or (if_range is not None and if_range.strip() not in (f'"{tag}"', modified)):
        return None
    first, last = found[1], found[2]
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        if not length:
            raise ValueError(header)
        return Span(size - length, length)
    start, end = int(first), min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    if start >= size:
        raise ValueError(header)
    return Span(start, end - start + 1)
