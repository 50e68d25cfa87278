"""Changes by query, and tags: /api/v1/retag, delete, restore, tags. Layer: front."""

from __future__ import annotations

from tagfs.errors import BadRequest
from tagfs.front.web.exchange import Exchange, list_member, text_member
from tagfs.front.web.reply import Reply, document
from tagfs.front.web.routes import Route
from tagfs.wire.tag_commands import MAX_TAGS_LISTED, read_query, read_selection

TAGS_PAGE = 100
"""Tags that are listed where no limit is given."""


async def retag(exchange: Exchange) -> Reply:
    """Gives and takes tags."""
    asked = await exchange.json(query=str, add_tags=list, delete_tags=list)
    query = read_selection(text_member(asked, "query"))
    add, delete = list_member(asked, "add_tags"), list_member(asked, "delete_tags")
    changed = await exchange.node.retag(exchange.principal, query, add, delete)
    return document({"changed": changed.changed})


async def delete(exchange: Exchange) -> Reply:
    """Moves to the trash."""
    query = read_selection(text_member(await exchange.json(query=str), "query"))
    return document({"changed": (await exchange.node.delete(exchange.principal, query)).changed})


async def restore(exchange: Exchange) -> Reply:
    """Takes out of the trash."""
    query = read_selection(text_member(await exchange.json(query=str), "query"))
    return document({"changed": (await exchange.node.restore(exchange.principal, query)).changed})


async def tags(exchange: Exchange) -> Reply:
    """Tags of the entries that match, with counts."""
    given = exchange.query
    query, _ = read_query(given.text("q"))
    limit = given.number("limit", TAGS_PAGE, 1, MAX_TAGS_LISTED)
    sort = given.text("sort", "count")
    if sort not in ("count", "name"):
        raise BadRequest(f"sort={sort[:40]}: tags are sorted by count or name")
    found = await exchange.node.tags(exchange.principal, query, limit, given.text("prefix"), sort == "name")
    return document({"total": found.total, "tags": [{"tag": tag, "count": count} for tag, count in found.tags]})


ROUTES = (
    Route("POST", "/api/v1/retag", retag),
    Route("POST", "/api/v1/delete", delete),
    Route("POST", "/api/v1/restore", restore),
    Route("GET", "/api/v1/tags", tags, ("q", "prefix", "limit", "sort"), lasting=True),
)
