"""Contents on their way in: the body, or the file of a form, straight to the node. Layer: front."""

from __future__ import annotations

from tagfs.errors import BadRequest
from tagfs.front.web.disposition import UNKNOWN_TYPE, is_media_type
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.form import Form, is_form
from tagfs.front.web.reply import Refused
from tagfs.model.names import check_home, check_name, check_tag
from tagfs.model.query.quantities import read_period
from tagfs.node.interfaces import Added, IDrawing, IReceiving

MAX_KEY = 255
"""Characters of an Idempotency-Key."""
_UNTOLD = frozenset({"", UNKNOWN_TYPE, "application/x-www-form-urlencoded"})
"""Types that say nothing of a body: none, any bytes, and what curl sends by itself."""


async def store(exchange: Exchange) -> Added:
    """Stores the body as a new entry, named and tagged by the URL or by the fields of a form. What can be refused by the
    headers is refused before the body comes."""
    given = exchange.query
    name, tags, folder = given.optional("name"), given.texts("tag"), given.optional("folder")
    modified, key = _moment(given.optional("modified")), _key(exchange)
    kind = kept_type(exchange)
    if name is not None:
        check_name(name)
    for tag in tags:
        check_tag(tag)
    if folder is not None:
        check_home(folder)
    if is_form(exchange.media_type):
        return await _store_form(exchange, name, tags, folder, modified, key)
    if name is None:
        raise BadRequest("the parameter name is missing; the new entry needs one")
    receiving = await exchange.node.receive(exchange.principal, exchange.body.length)
    try:
        await _take_body(exchange, receiving)
        return await receiving.add(name, tags, home=folder, modified=modified, type=kind, key=key)
    except BaseException:
        receiving.abort()
        raise


async def replace(exchange: Exchange, receiving: IReceiving) -> None:
    """Takes the body; the caller then says whose content it becomes."""
    await _take_body(exchange, receiving)


async def _take_body(exchange: Exchange, receiving: IReceiving) -> None:
    body, drawing = exchange.body, IDrawing(receiving, None)
    while data := await body.read():
        full = receiving.write(data)
        if full is not None:
            await full
        if drawing is not None:
            await body.draw(drawing)


async def _store_form(
    exchange: Exchange, name: str | None, tags: list[str], folder: str | None, modified: int | None, key: str | None
) -> Added:
    """multipart/form-data: one file, and the fields ``name`` and ``tag`` (several) before or after it."""
    receiving = await exchange.node.receive(exchange.principal)
    try:
        form = Form(exchange.header("content-type") or "")
        while data := await exchange.body.read():
            for piece in form.feed(data):
                full = receiving.write(piece)
                if full is not None:
                    await full
        form.end()
        name = name or form.text("name") or form.file_name
        if not name:
            raise BadRequest("the form has no name for the file: give the field name")
        kind = form.file_type if form.file_type not in _UNTOLD and is_media_type(form.file_type) else None
        tags = [*tags, *form.texts("tag")]
        return await receiving.add(name, tags, home=folder, modified=modified, type=kind, key=key)
    except BaseException:
        receiving.abort()
        raise


def kept_type(exchange: Exchange) -> str | None:
    """The media type that the client says the body has, or None where it says nothing of use."""
    given = (exchange.header("content-type") or "").strip()
    if exchange.media_type in _UNTOLD:
        return None
    if not is_media_type(given):
        raise Refused(415, f"{given[:80]!r} is no media type")
    return given


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    period = read_period(text)
    if period is None:
        raise BadRequest(f"modified={text[:40]}: that is no time as in 2026-11-23T10:15:00Z")
    return period[0]


def _key(exchange: Exchange) -> str | None:
    key = exchange.header("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise BadRequest(f"Idempotency-Key has 1 to {MAX_KEY} characters, not {len(key)}")
    return key
