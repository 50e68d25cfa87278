"""Answers: a status, headers, and a body in memory or streamed; errors as RFC 9457 problems. Layer: front."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import orjson
from attrs import define, field

from tagfs.errors import QueryError, TagfsError, Unavailable
from tagfs.front.web.outflow import Outflow

JSON = "application/json"
PROBLEM = "application/problem+json"
_WORTH_PACKING = 1024
"""Bytes from which a body is compressed for who accepts it."""

STRICT = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
)
"""Headers of every answer."""
INERT = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""Content-Security-Policy of everything but the page itself: nothing runs, and nothing belongs to the site."""


@define(eq=False)
class Reply:
    """An answer. ``stream`` sends the ``length`` bytes of the body in place of ``body``, or as many as it likes where it is
    ``endless``; ``abandon`` is called where it will not be asked to. ``packed``: it was decided whether to compress it."""

    status: int = 200
    body: bytes = b""
    type: str = ""
    headers: list[tuple[str, str]] = field(factory=list)
    policy: str = INERT
    cache: str = "no-store"
    stream: Callable[[Outflow], Coroutine[Any, Any, None]] | None = None
    length: int | None = None
    endless: bool = False
    packed: bool = False
    abandon: Callable[[], None] = lambda: None


def document(value: object, status: int = 200, headers: list[tuple[str, str]] | None = None) -> Reply:
    """JSON."""
    return Reply(status, orjson.dumps(value) + b"\n", JSON, headers or [])


def problem(status: int, detail: str, kind: str = "", **more: object) -> Reply:
    """An error as ``application/problem+json``. ``kind`` is a word for programs; ``more`` are members of its own."""
    title = HTTPStatus(status).phrase
    kind = kind or title.lower().replace(" ", "-")
    value = {"type": f"urn:tagfs:problem:{kind}", "title": title, "status": status, "detail": detail, **more}
    return Reply(status, orjson.dumps(value) + b"\n", PROBLEM)


class Refused(Exception):
    """A request that HTTP itself, not tagfs, does not allow; carries the answer."""

    def __init__(self, status: int, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.reply = problem(status, detail)
        self.reply.headers.extend(headers)


def problem_of(error: TagfsError) -> Reply:
    """What an error of tagfs looks like here."""
    if isinstance(error, QueryError):
        more: dict[str, object] = {"column": error.column}
        if error.expected:
            more["expected"] = error.expected
        return problem(error.http, str(error), "bad-query", **more)
    reply = problem(error.http, str(error), error.wire)
    if isinstance(error, Unavailable):
        reply.headers.append(("Retry-After", "1"))
    return reply


def pack(reply: Reply, accepts: str | None) -> None:
    """Compresses JSON and text of some size for a client that takes gzip."""
    if reply.packed or reply.stream is not None or not reply.type.startswith(("application/", "text/")):
        return
    if len(reply.body) < _WORTH_PACKING:
        return
    reply.packed = True
    reply.headers.append(("Vary", "Accept-Encoding"))
    if takes_gzip(accepts):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        reply.body = packer.compress(reply.body) + packer.flush()
        reply.headers.append(("Content-Encoding", "gzip"))


def takes_gzip(accepts: str | None) -> bool:
    """Whether an Accept-Encoding header (RFC 9110 section 12.5.3) allows gzip."""
    if accepts is None:
        return False
    for item in accepts.split(","):
        coding, _, weight = item.partition(";")
        if coding.strip().lower() == "gzip":
            return weight.replace(" ", "").lower().rstrip("0.") not in ("q=", "q")
    return False
