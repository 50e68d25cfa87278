"""/api/v1/entries: asking, storing, and changes of one entry. Layer: front."""

from __future__ import annotations

from tagfs.errors import BadRequest, NotFound
from tagfs.front.web.arriving import store
from tagfs.front.web.exchange import Exchange, list_member
from tagfs.front.web.reply import Reply, document
from tagfs.front.web.routes import Route
from tagfs.front.web.shapes import entry_json, info_value
from tagfs.model.entry import check_entry_id
from tagfs.model.names import check_tag
from tagfs.model.order import NEWEST
from tagfs.model.query import Query, Text
from tagfs.wire.cursor import decode_cursor, encode_cursor, read_sort, sort_text
from tagfs.wire.tag_commands import read_query

PATH = "/api/v1/entries"
PAGE = 100
"""Entries of a page where no limit is given."""
MAX_PAGE = 1000


async def find(exchange: Exchange) -> Reply:
    """A page of the entries that match."""
    given = exchange.query
    query, scope = read_query(given.text("q"))
    sort = read_sort(given.text("sort", sort_text(NEWEST)))
    cursor = given.text("after")
    after = decode_cursor(cursor, sort) if cursor else None
    limit = given.number("limit", PAGE, 0, MAX_PAGE)
    found = await exchange.node.find(exchange.principal, query, sort, after, limit, scope)
    return document(
        {
            "total": found.total,
            "complete": found.complete,
            "next": None if found.next is None else encode_cursor(found.next, sort),
            "entries": [entry_json(entry) for entry in found.entries],
        }
    )


async def add(exchange: Exchange) -> Reply:
    """Stores the body as a new entry."""
    added = await store(exchange)
    info = await exchange.node.info(exchange.principal, added.id)
    if added.new:
        exchange.changed("stored", id=added.id, name=info.entry.name, size=info.entry.content.size)
    return document(info_value(info, added.copies), 201, [("Location", f"{PATH}/{added.id}")])


async def show(exchange: Exchange) -> Reply:
    """Everything known of one entry."""
    return document(info_value(await exchange.node.info(exchange.principal, entry_id(exchange))))


async def change(exchange: Exchange) -> Reply:
    """A new name, tags given, tags taken, in one change."""
    identifier = entry_id(exchange)
    asked = await exchange.json(name=str, add_tags=list, delete_tags=list)
    name = asked.get("name")
    add, delete = list_member(asked, "add_tags"), list_member(asked, "delete_tags")
    if not asked:
        raise BadRequest("nothing is asked for: give name, add_tags or delete_tags")
    for tag in (*add, *delete):
        check_tag(tag)
    await exchange.node.move(
        exchange.principal, identifier, name=None if name is None else str(name), add=add, delete=delete
    )
    return document(info_value(await exchange.node.info(exchange.principal, identifier)))


async def delete(exchange: Exchange) -> Reply:
    """Moves one entry to the trash; done twice, it is there all the same."""
    identifier = entry_id(exchange)
    await exchange.node.info(exchange.principal, identifier)
    await exchange.node.delete(exchange.principal, only(identifier))
    return Reply(204)


def entry_id(exchange: Exchange) -> str:
    """The id in the path; one that cannot be any entry's is not found."""
    try:
        return check_entry_id(exchange.values["id"])
    except BadRequest as error:
        raise NotFound(str(error)) from None


def only(identifier: str) -> Query:
    """The query that selects one entry."""
    return Text("id", identifier)


ROUTES = (
    Route("GET", PATH, find, ("q", "limit", "sort", "after"), lasting=True),
    Route("POST", PATH, add, ("name", "tag", "folder", "modified"), ("tag",)),
    Route("GET", PATH + "/{id}", show),
    Route("PATCH", PATH + "/{id}", change),
    Route("DELETE", PATH + "/{id}", delete),
)
