"""Recognises HTTP on the tag port, so that a browser can never be made to run commands. Layer: wire.

A page on any web site can make a visitor's browser send a request with lines of its choosing to any port of the
visitor's machine. Such a request begins with a request line and with headers (RFC 9112 sections 3 and 5), so a session
is closed at the first line that looks like either; no command of tagfs does.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_HTTP: Final = re.compile(
    # Host: …, Origin: …
    rb" *" + _TOKEN + rb":"
    # METHOD target HTTP/1.1; a path http/1 alone is none
    rb"|" + _TOKEN + rb" .* HTTP/\d(\.\d)?\s*\Z"
    # GET /x as HTTP/0.9 has it. No entry id, tag or query begins with / or http:.
    rb"|(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH) +(?:/|https?:)",
    re.IGNORECASE | re.DOTALL,
)


def looks_like_http(line: bytes) -> bool:
    """Whether a line is an HTTP request line or an HTTP header, rather than a command."""
    return _HTTP.match(line) is not None


def long_line_looks_like_http(head: bytes, tail: bytes) -> bool:
    """As :func:`looks_like_http` for a line of which only both ends are known: it cannot hide by its length."""
    return looks_like_http(head + b" " + tail)
