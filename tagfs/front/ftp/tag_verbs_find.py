"""FIND, LIST, COUNT, TAGS, INFO: asking. Layer: front."""

from __future__ import annotations

from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb
from tagfs.node.interfaces import Found
from tagfs.wire import tag_commands
from tagfs.wire.cursor import encode_cursor
from tagfs.wire.tag_commands import Find
from tagfs.wire.tag_rows import entry_rows, info_fields, plain, tag_rows

PAGE = 1000
"""Entries asked of the node at once, where they are not streamed."""
TAGS_AT_ONCE = 1000
"""Rows of tags made before others have their turn: about a millisecond."""
COLUMNS = "id, size, modified, name, tags"


async def find(exchange: Exchange) -> None:
    """``FIND [query] [| limit=N sort=[-]key after=CURSOR]``"""
    request = tag_commands.read_find(exchange.argument)
    if request.limit is None and request.after is None:
        await _stream(exchange, request)
    else:
        await _pages(exchange, request)


async def _stream(exchange: Exchange, request: Find) -> None:
    """All matches, in bounded memory: no more is made than the client reads."""
    listing = await exchange.node.listing(exchange.principal, request.query, request.sort, request.scope)
    try:
        entries = await listing.next()
        exchange.open(213, COLUMNS)
        while entries:
            await exchange.send(entry_rows(entries))
            entries = await listing.next()
    finally:
        listing.close()
    _end(exchange, listing.total, listing.complete)


async def _pages(exchange: Exchange, request: Find) -> None:
    """A page, or as many as the limit takes."""
    left = request.limit
    after = request.after
    total: int | None = None
    complete = True
    while True:
        size = PAGE if left is None else min(left, PAGE)
        page: Found = await exchange.node.find(
            exchange.principal, request.query, request.sort, after, size, request.scope
        )
        complete = complete and page.complete
        after = page.next
        if total is None:
            total = page.total
            exchange.open(213, COLUMNS)
        await exchange.send(entry_rows(page.entries))
        if left is not None:
            left -= len(page.entries)
        if after is None or not page.entries or not (left is None or left > 0):
            break
    _end(exchange, total, complete, "" if after is None else f" next={encode_cursor(after, request.sort)}")


def _end(exchange: Exchange, total: int, complete: bool, more: str = "") -> None:
    exchange.reply(213, f"total={total} complete={'yes' if complete else 'no'}{more}")


async def count(exchange: Exchange) -> None:
    """``COUNT [query]``"""
    query, scope = tag_commands.read_query(exchange.argument)
    exchange.reply(213, str(await exchange.node.count(exchange.principal, query, scope)))


async def tags(exchange: Exchange) -> None:
    """``TAGS [query] [| limit=N prefix=P sort=count|name]``"""
    request = tag_commands.read_tags(exchange.argument)
    found = await exchange.node.tags(exchange.principal, request.query, request.limit, request.prefix, request.by_name)
    exchange.open(214, "count, tag")
    for start in range(0, len(found.tags), TAGS_AT_ONCE):
        if start:
            await exchange.turn()
        await exchange.send(tag_rows(found.tags[start : start + TAGS_AT_ONCE]))
    exchange.reply(214, f"total={found.total}")


async def info(exchange: Exchange) -> None:
    """``INFO id``"""
    known = await exchange.node.info(exchange.principal, tag_commands.read_id(exchange.argument))
    exchange.open(213, "field, value")
    for field, value in info_fields(known.entry, known.home, known.copies[:2], known.nodes):
        exchange.row(f"{field}\t{plain(value)}")
    exchange.reply(213, "End")


VERBS = (
    Verb(
        "FIND",
        find,
        "FIND [query] [| limit=N sort=[-]name|size|added|modified after=CURSOR]",
        "lists the entries that match, newest first; all of them where no query is given",
    ),
    Verb("LIST", find, "LIST [query]", "as FIND; with a data connection set up, FTP's listing of a path"),
    Verb("COUNT", count, "COUNT [query]", "tells how many entries match"),
    Verb(
        "TAGS",
        tags,
        "TAGS [query] [| limit=N prefix=P sort=count|name]",
        "lists the tags of the entries that match, with how many have each",
    ),
    Verb("INFO", info, "INFO id", "tells everything known of one entry"),
)
