"""What a path names: a directory, or an entry by its shown name. Layer: front."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from tagfs.errors import BadRequest, Conflict, NotFound
from tagfs.front.ftp.directory.folders import MadeFolders, is_at_or_below
from tagfs.model.entry import Entry, home_of
from tagfs.model.names import fold, name_key
from tagfs.model.order import NEWEST, Scope, Sort
from tagfs.model.paths import (
    RECENT,
    RECOVERED,
    VIEWS,
    Place,
    QueryFolder,
    Recent,
    Root,
    SavedSearches,
    TagFolder,
    Tree,
    UntaggedView,
    VirtualPath,
    below,
    both,
    child_folder,
    denoted,
    folder,
    holds,
    is_exactly,
    lookalike,
    narrowing,
    selection,
    shown_names,
)
from tagfs.model.paths.selection import Selection
from tagfs.model.principal import Principal
from tagfs.model.query import EVERYTHING, Or, Query, Text, parse
from tagfs.model.query.meaning import ranges_over
from tagfs.node.interfaces import INode

MAX_FOLDERS = 10_000
"""Directories that are asked for at once."""
MAX_DECLARED = 10_000
"""Declared tags that a node tells of at once."""
_WILD = frozenset("*?")


class Named(NamedTuple):
    """What a path turned out to be: an entry, or a directory where ``entry`` is None."""

    path: VirtualPath
    place: Place
    entry: Entry | None


class Lookup:
    """The directories of a node as one principal sees them."""

    def __init__(self, node: INode, principal: Principal, made: MadeFolders) -> None:
        self.node = node
        self.principal = principal
        self.made = made

    # Directories

    async def directory(self, path: VirtualPath) -> Place:
        """The directory at ``path``. Raises :class:`~tagfs.errors.NotFound` where there is none."""
        place = folder(path)
        if isinstance(place, TagFolder):
            for tag in place.tags:
                if not await self.knows_tag(tag):
                    raise NotFound(f"{path}: no such directory (there is no tag {tag})")
        elif isinstance(place, Tree):
            if not await self.has_home(place.home):
                raise NotFound(f"{path}: no such directory")
        elif isinstance(place, QueryFolder):
            await self.selected(place)
        return place

    async def knows_tag(self, tag: str) -> bool:
        """Whether a tag is in use or declared."""
        (shown,) = await self.node.shown_tags(self.principal, [tag])
        return shown is not None

    async def has_home(self, home: str) -> bool:
        """Whether the tree has that folder."""
        if not home or any(self.made.at_or_below(home)):
            return True
        if not _WILD.intersection(home):
            return await self.node.count(self.principal, _at_or_below(home)) > 0
        async for _ in self.at_or_below(home):
            return True
        return False

    async def folders(self, place: Place) -> AsyncIterator[list[str]]:
        """The names of the directories in a directory, as they are listed, at most :data:`MAX_FOLDERS` or so at a time."""
        if isinstance(place, Root):
            yield await self._views()
            async for some in self._tags():
                yield some
        elif isinstance(place, TagFolder):
            async for some in self._narrowing(place):
                yield some
        elif isinstance(place, Tree):
            async for some in self._subfolders(place.home):
                yield some
        elif isinstance(place, SavedSearches):
            yield [name for name, _ in await self.node.saved_searches(self.principal)]

    async def lists(self, place: Place, name: str, key: Callable[[str], str]) -> bool:
        """Whether one of the directories in a directory has that name, compared by ``key``."""
        if isinstance(place, Root):
            (shown,) = await self.node.shown_tags(self.principal, [name])
            return (shown is not None and key(shown) == key(name)) or key(name) in map(key, await self._views())
        async for some in self.folders(place):
            if key(name) in map(key, some):
                return True
        return False

    async def _views(self) -> list[str]:
        return [*VIEWS, RECOVERED] if await self.has_home(RECOVERED) else list(VIEWS)

    async def _tags(self) -> AsyncIterator[list[str]]:
        """All tags that are in use or declared, by name."""
        after: str | None = ""
        while after is not None:
            counts = await self.node.tags(self.principal, EVERYTHING, MAX_FOLDERS, by_name=True, after=after)
            used = [tag for tag, _ in counts.tags]
            declared = await self.node.declared(self.principal, after)
            # Of what is behind the last of a full page nothing is known yet.
            full = [page for page, most in ((used, MAX_FOLDERS), (declared, MAX_DECLARED)) if len(page) == most]
            after = min((fold(page[-1]) for page in full), default=None)
            tags = {fold(tag): tag for tag in (*declared, *used)}
            known = [(tag, 0) for folded, tag in tags.items() if after is None or folded <= after]
            yield narrowing(Root(), 0, known)

    async def _narrowing(self, place: TagFolder) -> AsyncIterator[list[str]]:
        if not narrowing(place, 2, [("\0", 1)]):
            return  # too deep for any
        chosen = selection(place)
        assert chosen is not None
        total = await self.node.count(self.principal, chosen.query)
        after: str | None = "" if total > 1 else None  # nothing narrows one entry
        while after is not None:
            counts = await self.node.tags(self.principal, chosen.query, MAX_FOLDERS, by_name=True, after=after)
            yield narrowing(place, total, counts.tags)
            after = counts.tags[-1][0] if len(counts.tags) == MAX_FOLDERS else None

    async def _subfolders(self, home: str) -> AsyncIterator[list[str]]:
        below = (child_folder(home, each) for each in self.made.at_or_below(home))
        made = {name for name in below if name is not None}
        after: str | None = ""
        while after is not None:
            names = await self.node.folders(self.principal, home, MAX_FOLDERS, after)
            last = names[-1] if len(names) == MAX_FOLDERS else None
            between = {name for name in made if name > after and (last is None or name <= last)}
            yield sorted({*names, *between})
            after = last

    async def at_or_below(self, home: str) -> AsyncIterator[Sequence[Entry]]:
        """The entries with their home at a folder of the tree or below it, some hundreds at a time, never none."""
        listing: Any = await self.node.listing(self.principal, _at_or_below(home))
        try:
            while entries := await listing.next():
                here = [entry for entry in entries if is_at_or_below(name_key(home_of(entry)), name_key(home))]
                if here:
                    yield here
        finally:
            listing.close()

    # Entries

    async def selected(self, place: Place) -> Selection | None:
        """What a directory shows. Raises :class:`~tagfs.errors.NotFound` for a query that cannot be read."""
        if not isinstance(place, QueryFolder):
            return selection(place)
        saved = dict(await self.node.saved_searches(self.principal))
        try:
            query = parse(saved.get(place.text, place.text))
        except BadRequest as error:
            raise NotFound(f"no such directory: {error}") from None
        return Selection(query, ranges_over(query, Scope.LIVE))

    async def named(self, place: Place, name: str) -> Sequence[Entry]:
        """The entries of a directory whose real name this is (in NFC), oldest first."""
        if isinstance(place, Tree):
            return await self.node.named(self.principal, name, place.home)
        if isinstance(place, Root | TagFolder | UntaggedView):
            return [entry for entry in await self.node.named(self.principal, name) if holds(place, entry)]
        if isinstance(place, Recent):
            return [entry for entry in await self.recent() if name_key(entry.name) == name_key(name)]
        chosen = await self.selected(place)
        if chosen is None:
            return []
        query = both(chosen.query, Text("name", name_key(name)))
        found = await self.node.find(self.principal, query, Sort("added"), None, 10_000, chosen.scope)
        return found.entries

    async def recent(self) -> Sequence[Entry]:
        """What ``/@recent`` shows, newest first."""
        return (await self.node.find(self.principal, EVERYTHING, NEWEST, None, RECENT, Scope.LIVE)).entries

    async def entry(self, path: VirtualPath) -> Entry:
        """The entry with the shown name ``path.name`` in its directory. Where a real name is asked for that several
        entries have: the one with exactly the tags of the path, else the newest. Raises NotFound."""
        place = folder(path.parent)
        found = await self._by_suffix(place, path.name)
        if found is not None:
            return found
        entries = await self.named(place, path.name)
        if not entries:
            raise NotFound(f"{path}: no such file")
        return max(entries, key=lambda entry: (_is_target(place, entry), entry.added, entry.id))

    async def sole_entry(self, path: VirtualPath) -> Entry:
        """As :meth:`entry`, for changes: raises :class:`~tagfs.errors.Conflict` where it is not clear which entry is meant."""
        place = folder(path.parent)
        found = await self._by_suffix(place, path.name)
        if found is not None:
            return found
        entries = await self.named(place, path.name)
        if not entries:
            raise NotFound(f"{path}: no such file")
        exact = [entry for entry in entries if _is_target(place, entry)] or entries
        if len(exact) > 1:
            names = " ".join(name for name, _ in shown_names(exact[:3]))
            raise Conflict(f"{path}: {len(exact)} files here are called so; say which one: {names}")
        return exact[0]

    async def replaced(self, place: Place, name: str) -> Entry | None:
        """The entry that storing ``name`` in this directory replaces: one named by its suffixed name, else the newest of
        that name with exactly the directory's tags (in the tree: at that home). None: storing makes a new entry."""
        found = await self._by_suffix(place, name)
        if found is not None:
            return found
        entries = [entry for entry in await self.named(place, name) if _is_target(place, entry)]
        return max(entries, key=lambda entry: (entry.added, entry.id), default=None)

    async def _by_suffix(self, place: Place, name: str) -> Entry | None:
        reading = lookalike(name)
        return denoted(reading.tail, await self.named(place, reading.name)) if reading else None

    # Either

    async def named_by(self, path: VirtualPath) -> Named:
        """What a path names, directory or entry. Raises NotFound.

        Where it could be both, it is what the directory above shows under that name.
        """
        entry = await self._entry_or_none(path)
        if entry is None:
            return Named(path, await self.directory(path), None)
        here = folder(path.parent)
        try:
            place = await self.directory(path)
        except NotFound:
            return Named(path, here, entry)
        if await self.lists(here, path.name, name_key):
            return Named(path, place, None)
        return Named(path, here, entry)

    async def _entry_or_none(self, path: VirtualPath) -> Entry | None:
        try:
            return await self.entry(path) if path.parts else None
        except NotFound:
            return None


def _at_or_below(home: str) -> Query:
    return Or((Text("home", name_key(home)), below(home))) if home else EVERYTHING


def _is_target(place: Place, entry: Entry) -> bool:
    return isinstance(place, Root | TagFolder | Tree | UntaggedView) and is_exactly(place, entry)
