"""/api/v1/entries/ID/content: reading with ranges and conditions, replacing. Layer: front."""

from __future__ import annotations

from email.utils import formatdate

from twisted.internet.defer import DeferredLock

from tagfs.errors import NotFound
from tagfs.front.web.arriving import kept_type, replace
from tagfs.front.web.conditions import Span, is_matched, is_unchanged, span_of
from tagfs.front.web.disposition import disposition, served_type
from tagfs.front.web.entries import PATH, entry_id
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.outflow import PIECE, Outflow, send_reading
from tagfs.front.web.reply import Refused, Reply, document
from tagfs.front.web.routes import Route
from tagfs.front.web.shapes import info_value
from tagfs.model.entry import Content
from tagfs.node.interfaces import Added, EntryInfo

CONTENT_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
"""What a user's file may do when a browser shows it: be looked at, in an origin of its own."""


async def get(exchange: Exchange) -> Reply:
    """A content or a part of it. HEAD reads nothing."""
    identifier = entry_id(exchange)
    info = await exchange.node.info(exchange.principal, identifier)
    version = exchange.query.optional("version")
    content = _content(info, version)
    tag, modified = content.digest.hex(), formatdate(content.modified / 1000, usegmt=True)
    _require_match(exchange, content)
    headers = [
        ("ETag", f'"{tag}"'),
        ("Last-Modified", modified),
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", disposition(info.entry.name, content.type, exchange.query.switch("download"))),
    ]
    reply = Reply(200, headers=headers, policy=CONTENT_POLICY, cache="private, no-cache")
    if is_unchanged(exchange.header("if-none-match"), tag):
        reply.status = 304
        return reply
    reply.type = served_type(content.type)
    span = _span(exchange, tag, modified, content.size)
    if span is not None:
        reply.status = 206
        headers.append(("Content-Range", f"bytes {span.start}-{span.start + span.length - 1}/{content.size}"))
    part = span or Span(0, content.size)
    reply.length = part.length
    if exchange.method != "HEAD":
        await _fill(reply, exchange, part, content.size, version)
    return reply


async def put(exchange: Exchange) -> Reply:
    """Replaces a content; the old one is kept as a version."""
    identifier = entry_id(exchange)
    kind = kept_type(exchange)
    info = await exchange.node.info(exchange.principal, identifier)
    _require_match(exchange, info.entry.content)
    receiving = await exchange.node.receive(exchange.principal, exchange.body.length)
    try:
        await replace(exchange, receiving)
        lock = exchange.door.replacing.setdefault(identifier, DeferredLock())
        await lock.acquire()
        try:
            if exchange.header("if-match") is not None:  # another PUT may have been quicker
                _require_match(exchange, (await exchange.node.info(exchange.principal, identifier)).entry.content)
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


def _content(info: EntryInfo, version: str | None) -> Content:
    if version is None:
        return info.entry.content
    for kept in info.entry.versions:
        if kept.stamp == version:
            return kept.content
    raise NotFound(f"entry {info.entry.id} has no version {version[:80]!r}")


def _require_match(exchange: Exchange, content: Content) -> None:
    """Raises Refused (412) where If-Match names other bytes."""
    tag = content.digest.hex()
    if not is_matched(exchange.header("if-match"), tag):
        raise Refused(412, "the content is not the one that If-Match names", ("ETag", f'"{tag}"'))


def _span(exchange: Exchange, tag: str, modified: str, size: int) -> Span | None:
    try:
        return span_of(exchange.header("range"), exchange.header("if-range"), tag, modified, size)
    except ValueError:
        raise Refused(416, f"the content has {size} bytes", ("Content-Range", f"bytes */{size}")) from None


async def _fill(reply: Reply, exchange: Exchange, part: Span, size: int, version: str | None) -> None:
    """Opens the content; what fits into one piece is read now, so that it leaves together with its headers."""
    reading = await exchange.node.read(exchange.principal, entry_id(exchange), part.start, part.length, version)
    if (reading.size, reading.length) != (size, part.length):
        reading.close()
        raise Refused(503, "the content was replaced while it was asked for; ask again", ("Retry-After", "0"))
    if part.length > PIECE:

        async def stream(outflow: Outflow) -> None:
            await send_reading(reading, outflow)

        reply.stream, reply.abandon = stream, reading.close
        return
    try:
        while len(reply.body) < part.length and (data := await reading.read(part.length)):
            reply.body += data
    finally:
        reading.close()


ROUTES = (
    Route("GET", PATH + "/{id}/content", get, ("version", "download")),
    Route("PUT", PATH + "/{id}/content", put),
)
