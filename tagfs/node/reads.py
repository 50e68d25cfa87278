"""Answers to queries: pages, listings without end, tags with counts, everything known of an entry. Layer: node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zope.interface import implementer

from tagfs.errors import BadRequest, NotFound
from tagfs.model.entry import KIND, Content, Entry, check_entry_id, home_of, is_whole
from tagfs.model.entry import entry as entry_of
from tagfs.model.names import fold
from tagfs.model.order import SORT_KEYS, Cursor, Scope, Sort
from tagfs.model.query import Query, Tag
from tagfs.model.query.meaning import ranges_over
from tagfs.model.record import Ref
from tagfs.node.core import Core
from tagfs.node.interfaces import EntryInfo, Found, IListing, IReading, TagCounts
from tagfs.node.transfer import LargeReading, Reading
from tagfs.storage.interfaces import MAX_PAGE, SMALL_CONTENT, IBlobReader, ISelection

PIECE = 512
"""Entries that a listing without end gives at a time."""


def _check_sort(sort: Sort) -> None:
    if sort.key not in SORT_KEYS:
        raise BadRequest(f"cannot sort by {sort.key!r}; choose one of {', '.join(SORT_KEYS)}")


async def count(core: Core, query: Query, scope: Scope) -> int:
    """How many entries match; at once where the catalog answers from memory."""
    scope = ranges_over(query, scope)
    if core.catalog.is_quick(query):
        return core.catalog.count(query, scope)
    return await core.readers.run(lambda: core.catalog.count(query, scope))


async def find(core: Core, query: Query, sort: Sort, after: Cursor | None, limit: int, scope: Scope) -> Found:
    """One page, with display spellings."""
    _check_sort(sort)
    if not 0 <= limit <= MAX_PAGE:
        raise BadRequest(f"limit={limit} is out of bounds; a page has 0 to {MAX_PAGE} entries")

    # Before the question, not after: what arrives in between is more than was promised.
    complete = core.replication.complete

    def work() -> Found:
        selection = core.catalog.select(query, ranges_over(query, scope))
        if limit == 0:
            return Found((), selection.total, complete, None)
        page = selection.page(sort, after, limit)
        return Found(
            [core.vocabulary.show_entry(entry) for entry in page.entries], selection.total, complete, page.next
        )

    return await core.readers.run(work)


async def listing(core: Core, query: Query, sort: Sort, scope: Scope) -> Listing:
    """All matches as a stream."""
    _check_sort(sort)
    complete = core.replication.complete
    selection = await core.readers.run(lambda: core.catalog.select(query, ranges_over(query, scope)))
    return Listing(core, selection, sort, complete)


@implementer(IListing)
class Listing:
    """INode's IListing over a selection: pages are made in a reader's thread, when asked for."""

    def __init__(self, core: Core, selection: ISelection, sort: Sort, complete: bool) -> None:
        self._core = core
        self.complete = complete
        self._pages: Iterator[Sequence[Entry]] | None = selection.pages(sort, PIECE)
        self.total: int = selection.total

    async def next(self) -> Sequence[Entry]:
        pages = self._pages
        if pages is None:
            return ()
        show = self._core.vocabulary.show_entry
        return await self._core.readers.run(lambda: [show(entry) for entry in next(pages, ())])

    def close(self) -> None:
        self._pages = None


async def tags(core: Core, query: Query, limit: int, prefix: str, by_name: bool, after: str) -> TagCounts:
    """Tags of the entries that match, in display spelling."""
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"limit={limit} is out of bounds; 1 to {MAX_PAGE} tags can be asked for")

    def work() -> TagCounts:
        scope = ranges_over(query, Scope.LIVE)
        facets = core.catalog.facets(query, limit, fold(prefix), by_name, scope, fold(after))
        return TagCounts([(core.vocabulary.show(tag), number) for tag, number in facets.tags], facets.total)

    return await core.readers.run(work)


async def named(core: Core, name: str, home: str | None) -> Sequence[Entry]:
    """The live entries of that name, oldest first, in display spelling."""

    def work() -> Sequence[Entry]:
        return [core.vocabulary.show_entry(entry) for entry in core.catalog.named(name, home)]

    return await core.nearby.run(core.readers, work)


async def shown_tags(core: Core, tags: Sequence[str]) -> Sequence[str | None]:
    """For each tag how it is shown, where it is in use or declared."""
    if len(tags) > MAX_PAGE:
        raise BadRequest(f"{len(tags)} tags are too many; at most {MAX_PAGE} can be asked for")

    def shown(tag: str) -> str | None:
        folded = fold(tag)
        there = core.vocabulary.is_declared(folded) or core.catalog.count(Tag(folded))
        return core.vocabulary.show(folded) if there else None

    def work() -> Sequence[str | None]:
        return [shown(tag) for tag in tags]

    if len(tags) == 1:
        return await core.nearby.run(core.readers, work)
    return await core.readers.run(work)


async def declared(core: Core, after: str) -> Sequence[str]:
    """The declared tags behind ``after``, in display spelling."""
    return await core.readers.run(lambda: core.vocabulary.declared(fold(after), MAX_PAGE))


async def folders(core: Core, home: str, limit: int, after: str) -> Sequence[str]:
    """The folders directly in a folder of homes."""
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"limit={limit} is out of bounds; 1 to {MAX_PAGE} folders can be asked for")
    return await core.readers.run(lambda: core.catalog.folders(home, limit, after))


async def entry(core: Core, identifier: str) -> Entry:
    """One entry, in the trash or not, with folded tags. Raises NotFound."""
    identifier = check_entry_id(identifier)
    found = core.recent.find(identifier)
    if found is None:
        question = core.recent.ask(identifier)
        try:
            found = await core.nearby.run(core.readers, lambda: _entry(core, identifier))
        finally:
            core.recent.answer(identifier, question, found)
    return found


def _entry(core: Core, identifier: str) -> Entry:
    (record,) = core.catalog.get([Ref(KIND, identifier)])
    if record is None or not is_whole(record):
        raise NotFound(f"there is no entry {identifier}")
    return entry_of(record)


async def info(core: Core, identifier: str) -> EntryInfo:
    """Everything known of one entry."""
    found = await entry(core, identifier)
    if core.contents is not None:
        known, nodes = await core.contents.copies(found)
        return EntryInfo(core.vocabulary.show_entry(found), home_of(found), known, nodes)
    here = await core.nearby.run(core.readers, lambda: core.blobs.stat(found.content.digest)) is not None
    copies = core.replication.copies(1 if here else 0)
    return EntryInfo(core.vocabulary.show_entry(found), home_of(found), copies, [core.node_id] if here else [])


async def open_content(core: Core, identifier: str, offset: int, length: int | None, version: str | None) -> IReading:
    """A reading of an entry's content, or of one of its versions."""
    identifier = check_entry_id(identifier)

    known = core.recent.find(identifier)
    if known is not None:
        content, wanted = _wanted(known, offset, length, version)
        now = core.blobs.open_now(content.digest) if content.size <= SMALL_CONTENT else None
        if now is not None:
            return Reading(known, now, core.transfers, offset, wanted)

    def work() -> tuple[Entry, Content, int, IBlobReader | None]:
        found = _entry(core, identifier)
        content, wanted = _wanted(found, offset, length, version)
        at_once = core.contents is None and content.size <= SMALL_CONTENT
        return found, content, wanted, core.blobs.open_now(content.digest) if at_once else None

    found = None
    question = core.recent.ask(identifier)
    try:
        found, content, wanted, reader = await core.nearby.run(core.transfers, work)
    finally:
        core.recent.answer(identifier, question, found)
    if core.contents is not None:
        return await core.contents.read(found, content, offset, wanted)
    if reader is None:
        reader = await core.transfers.run(lambda: core.blobs.open(content.digest))
    if reader.in_memory:
        return Reading(found, reader, core.transfers, offset, wanted)
    return LargeReading(found, reader, core.transfers, core.pours, offset, wanted)


def _wanted(found: Entry, offset: int, length: int | None, version: str | None) -> tuple[Content, int]:
    """The content that is asked for, and how many bytes of it. Raises NotFound or BadRequest."""
    content = found.content if version is None else _version(found, version)
    if not 0 <= offset <= content.size or (length is not None and length < 0):
        raise BadRequest(f"offset {offset} is beyond the content, which has {content.size} bytes")
    rest = content.size - offset
    return content, rest if length is None else min(length, rest)


def _version(found: Entry, stamp: str) -> Content:
    for version in found.versions:
        if version.stamp == stamp:
            return version.content
    raise NotFound(f"entry {found.id} has no version {stamp[:80]!r}; INFO lists those that are kept")
