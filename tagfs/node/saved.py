"""Saved searches of one node: records that hold a query's text. Layer: node."""

from __future__ import annotations

from collections.abc import Sequence

from tagfs.errors import NotFound
from tagfs.model import searches
from tagfs.model.query import parse
from tagfs.model.record import Record, Ref
from tagfs.model.stamp import Stamp
from tagfs.node.core import Core
from tagfs.storage.interfaces import MAX_PAGE


async def save(core: Core, name: str, query: str) -> None:
    """Saves a query's text. Raises BadRequest for a name or query that cannot be."""
    key = searches.check_search(name)
    parse(query)
    await core.change(Ref(searches.KIND, key), lambda _present, stamp: [searches.saved(key, query, stamp)])


async def all_of(core: Core) -> Sequence[tuple[str, str]]:
    """Names and query texts, by name."""
    records = await core.readers.run(lambda: core.catalog.records(searches.KIND, "", MAX_PAGE))
    return [(record.key, text) for record in records if (text := searches.query_of(record)) is not None]


async def forget(core: Core, name: str) -> None:
    """Forgets one. Raises NotFound."""
    key = searches.check_search(name)

    def plan(present: Record | None, stamp: Stamp) -> Sequence[Record]:
        if present is None or searches.query_of(present) is None:
            raise NotFound(f"there is no saved search {name!r}")
        return [searches.forgotten(key, stamp)]

    await core.change(Ref(searches.KIND, key), plan)
