"""/api/v1/entries/ID/content: reading with ranges and conditions, replacing. Layer: front."""

from __future__ import annotations

from email.utils import formatdate

from twisted.internet.defer import DeferredLock

from tagfs.errors import BadRequest, Corrupt, NotFound
from tagfs.front.web.arriving import kept_type, replace
from tagfs.front.web.conditions import Span, is_matched, is_newer, is_unchanged, span_of
from tagfs.front.web.disposition import disposition, served_type
from tagfs.front.web.entries import PATH, entry_id
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.outflow import PIECE, Outflow, send_reading
from tagfs.front.web.reply import Refused, Reply, document
from tagfs.front.web.routes import Route
from tagfs.front.web.shapes import info_value
from tagfs.model.entry import Content, Entry
from tagfs.node.interfaces import Added, IReading

CONTENT_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
"""What a user's file may do when a browser shows it: be looked at, in an origin of its own."""


_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
"""The seconds since 1970 that a date can tell: year 1 to year 9999."""
_PRECONDITIONS = ("if-match", "if-none-match", "if-unmodified-since")
_CONDITIONS = ("range", "if-range", "if-modified-since", *_PRECONDITIONS)


async def get(exchange: Exchange) -> Reply:
    """A content or a part of it. HEAD reads nothing."""
    identifier, version = entry_id(exchange), exchange.query.optional("version")
    save = exchange.query.switch("download")
    if exchange.method == "HEAD" or any(exchange.header(name) is not None for name in _CONDITIONS):
        entry = (await exchange.node.info(exchange.principal, identifier)).entry
        return await _conditional(exchange, entry, version, save)
    reading = await exchange.node.read(exchange.principal, identifier, version=version)
    content = _content(reading.entry, version)
    return await _fill(_about(reading.entry, content, save), content, reading, version)


async def _conditional(exchange: Exchange, entry: Entry, version: str | None, save: bool) -> Reply:
    """What the conditions and the range of a request leave to be sent."""
    content = _content(entry, version)
    _require(exchange, content)
    reply = _about(entry, content, save)
    known = exchange.header("if-none-match")
    if known is None:
        unchanged = is_newer(_seconds(content), exchange.header("if-modified-since")) is False
    else:
        unchanged = is_unchanged(known, content.digest.hex())
    if unchanged:
        reply.status, reply.type = 304, ""
        return reply
    span = _span(exchange, content)
    if span is not None:
        reply.status = 206
        last = span.start + span.length - 1
        reply.headers.append(("Content-Range", f"bytes {span.start}-{last}/{content.size}"))
    start, reply.length = span or (0, content.size)
    if exchange.method == "HEAD":
        return reply
    reading = await exchange.node.read(exchange.principal, entry.id, start, reply.length, version)
    return await _fill(reply, content, reading, version)


def _about(entry: Entry, content: Content, save: bool) -> Reply:
    """The headers that a content always has."""
    headers = [
        ("ETag", f'"{content.digest.hex()}"'),
        ("Last-Modified", _http_date(content)),
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", disposition(entry.name, content.type, save)),
    ]
    return Reply(200, b"", served_type(content.type), headers, CONTENT_POLICY, "private, no-cache")


async def _fill(reply: Reply, content: Content, reading: IReading, version: str | None) -> Reply:
    """Puts an opened content into its answer; what fits into one piece is read now, to leave together with the headers."""
    reply.length = reading.length
    if content != _content(reading.entry, version):
        reading.close()
        raise Refused(503, "the content was replaced while it was asked for; ask again", ("Retry-After", "0"))
    if reading.length > PIECE:

        async def stream(outflow: Outflow) -> None:
            await send_reading(reading, outflow)

        reply.stream, reply.abandon = stream, reading.close
        return reply
    try:
        while len(reply.body) < reading.length and (data := await reading.read(reading.length)):
            reply.body += data
    finally:
        reading.close()
    if len(reply.body) < reading.length:
        raise Corrupt(f"the content of {reading.entry.id} is {reading.length - len(reply.body)} bytes short")
    return reply


async def put(exchange: Exchange) -> Reply:
    """Replaces a content; the old one is kept as a version."""
    identifier = entry_id(exchange)
    kind = kept_type(exchange)
    if (
        exchange.header("content-range") is not None
    ):  # RFC 9110 section 14.5: a part must not be kept as if it were the whole
        raise BadRequest("a content is replaced as a whole; Content-Range is not taken")
    info = await exchange.node.info(exchange.principal, identifier)
    _require_for_put(exchange, info.entry.content)
    receiving = await exchange.node.receive(exchange.principal, exchange.body.length)
    try:
        await replace(exchange, receiving)
        lock = exchange.door.replacing.setdefault(identifier, DeferredLock())
        await lock.acquire()
        try:
            if any(exchange.header(name) is not None for name in _PRECONDITIONS):  # another PUT may have been quicker
                _require_for_put(exchange, (await exchange.node.info(exchange.principal, identifier)).entry.content)
            added: Added = await receiving.replace(identifier, type=kind)
        finally:
            lock.release()
            if not lock.locked:
                exchange.door.replacing.pop(identifier, None)
    except BaseException:
        receiving.abort()
        raise
    exchange.changed("replaced the content", id=identifier)
    info = await exchange.node.info(exchange.principal, identifier)
    return document(info_value(info, added.copies), 200, [("ETag", f'"{info.entry.content.digest.hex()}"')])


def _content(entry: Entry, version: str | None) -> Content:
    if version is None:
        return entry.content
    for kept in entry.versions:
        if kept.stamp == version:
            return kept.content
    raise NotFound(f"entry {entry.id} has no version {version[:80]!r}")


def _http_date(content: Content) -> str:
    """When the content was last modified, as HTTP writes it; the nearest time that can be written."""
    return formatdate(_seconds(content), usegmt=True)


def _seconds(content: Content) -> int:
    return min(max(content.modified // 1000, _FIRST_S), _LAST_S)


def _require(exchange: Exchange, content: Content) -> None:
    """Raises Refused (412) where If-Match names other bytes, or in its place If-Unmodified-Since an earlier time."""
    wanted, since = exchange.header("if-match"), exchange.header("if-unmodified-since")
    if not is_matched(wanted, content.digest.hex()):
        raise _failed("the content is not the one that If-Match names", content)
    if wanted is None and is_newer(_seconds(content), since):
        raise _failed("the content is newer than If-Unmodified-Since says", content)


def _require_for_put(exchange: Exchange, content: Content) -> None:
    """The same for a replacement, which If-None-Match can forbid, too."""
    _require(exchange, content)
    if is_unchanged(exchange.header("if-none-match"), content.digest.hex()):
        raise _failed("there is a content that If-None-Match names", content)


def _failed(detail: str, content: Content) -> Refused:
    return Refused(412, detail, ("ETag", f'"{content.digest.hex()}"'))


def _span(exchange: Exchange, content: Content) -> Span | None:
    tag, size = content.digest.hex(), content.size
    try:
        return span_of(exchange.header("range"), exchange.header("if-range"), tag, _http_date(content), size)
    except ValueError:
        raise Refused(416, f"the content has {size} bytes", ("Content-Range", f"bytes */{size}")) from None


ROUTES = (
    Route("GET", PATH + "/{id}/content", get, ("version", "download")),
    Route("PUT", PATH + "/{id}/content", put),
)
