"""One directory as a stream of what it shows, in bounded memory however large it is. Layer: front."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

from tagfs.front.ftp.directory.lookup import Lookup
from tagfs.front.ftp.directory.taken import Names, TagNames
from tagfs.model.entry import Entry
from tagfs.model.order import Sort
from tagfs.model.paths import NameStream, Place, Root, denoted, lookalike, shown_names


class Item(NamedTuple):
    """One row of a directory: a shown name, and the entry, or None for a directory."""

    name: str
    entry: Entry | None


async def items(lookup: Lookup, place: Place) -> AsyncIterator[list[Item]]:
    """What a directory shows, some hundreds of items at a time: directories first, then entries by name."""
    taken = TagNames(lookup) if isinstance(place, Root) else Names()
    async for folders in lookup.folders(place):
        yield [Item(name, None) for name in folders]
        taken.folders(folders)
    chosen = await lookup.selected(place)
    if chosen is None:
        return
    if chosen.newest:
        yield _items(shown_names(await lookup.recent(), taken))
        return
    stream = NameStream(taken)
    listing: Any = await lookup.node.listing(lookup.principal, chosen.query, Sort("name"), chosen.scope)
    try:
        while entries := await listing.next():
            await taken.ask(entries)
            yield _items(stream.feed(entries, await _denoting(lookup, place, entries)))
    finally:
        listing.close()
    yield _items(stream.finish())


def _items(named: Iterable[tuple[str, Entry]]) -> list[Item]:
    return [Item(name, entry) for name, entry in named]


async def _denoting(lookup: Lookup, place: Place, entries: Sequence[Entry]) -> set[str]:
    """Those of the entries' names that read as the suffixed name of an entry here; hardly ever any."""
    denoting = set()
    for entry in entries:
        reading = lookalike(entry.name) if "~" in entry.name else None
        if reading and denoted(reading.tail, await lookup.named(place, reading.name)):
            denoting.add(entry.name)
    return denoting
