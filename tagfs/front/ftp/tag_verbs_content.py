"""ADD and GET: contents in and out on the control connection. Layer: front."""

from __future__ import annotations

from tagfs.errors import Corrupt
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb
from tagfs.node.interfaces import Added, Copies, IReceiving
from tagfs.wire import tag_commands
from tagfs.wire.tag_commands import Add

PIECE = 1 << 18
"""Bytes of content read and sent at once."""


async def add(exchange: Exchange) -> None:
    """``ADD size name [tag …] [| key=K modified=T folder=F]``, then the content.

    What the node refuses is dropped by the session when this raises, so that the next command is in step.
    """
    request = tag_commands.read_add(exchange.argument)
    receiving = await exchange.node.receive(exchange.principal, request.size)
    try:
        exchange.reply(150, "the content")
        added = await _store(exchange, request, receiving)
    except BaseException:
        receiving.abort()
        raise
    exchange.session.tally("stored" if added.new else "repeated")
    exchange.reply(250, f"{added.id} {copies_text(added.copies)}")


async def _store(exchange: Exchange, request: Add, receiving: IReceiving) -> Added:
    body = exchange.body
    assert body is not None
    while data := await body.read():
        full = receiving.write(data)
        if full is not None:
            await full
    return await receiving.add(
        request.name, request.tags, home=request.folder, modified=request.modified, key=request.key
    )


async def get(exchange: Exchange) -> None:
    """``GET id [| offset=O length=L version=V]``"""
    request = tag_commands.read_get(exchange.argument)
    reading = await exchange.node.read(exchange.principal, request.id, request.offset, request.length, request.version)
    try:
        exchange.raw(reading.length)
        left = reading.length
        while left:
            data = await reading.read(min(PIECE, left))
            if not data:
                raise Corrupt(f"the content of {request.id} is {left} bytes short")
            left -= len(data)
            await exchange.send(data)
    finally:
        reading.close()
    exchange.session.tally("sent")
    exchange.reply(226, "sent")


def copies_text(copies: Copies) -> str:
    """``copies=K/N [degraded]``"""
    return f"copies={copies.have}/{copies.want}{' degraded' if copies.degraded else ''}"


VERBS = (
    Verb(
        "ADD",
        add,
        "ADD size name [tag …] [| key=K modified=T folder=F]",
        "stores the size bytes that follow the line; with the same key a second time, nothing",
        overlaps=True,
        body=tag_commands.announced_size,
        finishes=True,
    ),
    Verb("GET", get, "GET id [| offset=O length=L version=V]", "sends an entry's content: 150 SIZE, SIZE bytes, 226"),
)
