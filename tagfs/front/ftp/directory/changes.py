"""Making, moving and removing what paths name. Layer: front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from twisted.internet.defer import Deferred, gatherResults

from tagfs.errors import BadRequest, Conflict, Forbidden, NotFound, TagfsError
from tagfs.front.ftp.directory.folders import is_at_or_below
from tagfs.front.ftp.directory.lookup import Lookup, Named
from tagfs.model.entry import Entry, home_of
from tagfs.model.names import check_home, check_name, fold
from tagfs.model.paths import (
    Place,
    QueryFolder,
    Root,
    TagFolder,
    Trash,
    Tree,
    UntaggedView,
    VirtualPath,
    folder,
    home_given,
    tags_given,
)
from tagfs.model.principal import Role
from tagfs.model.query import Text
from tagfs.node.interfaces import Added

Writable: TypeAlias = Root | TagFolder | Tree | UntaggedView
"""Directories that files can be stored in."""
PIECE = 256 * 1024
"""Bytes per read when a content is copied."""


class BadName(TagfsError):
    """A file or directory cannot be called so, or cannot be there."""

    ftp = 553
    http = 400


class Spot(NamedTuple):
    """Where something is stored: the directory, and the name in it."""

    path: VirtualPath
    place: Writable
    name: str


def writable(path: VirtualPath) -> Spot:
    """The spot at ``path``. Raises :class:`BadName` where nothing can be stored."""
    if not path.parts:
        raise BadName("a file needs a name")
    try:
        place = folder(path.parent)
        check_name(path.name)
        check_home(home_given(place) if isinstance(place, Writable) else "")
    except (NotFound, BadRequest) as error:
        raise BadName(str(error)) from None
    if not isinstance(place, Writable):
        raise BadName(f"{path}: nothing is stored there; store into tags (/beach/2024) or under /@tree")
    return Spot(path, place, path.name)


async def store(lookup: Lookup, spot: Spot, receiving: Any, modified: int | None = None) -> Added:
    """Makes a received content the file at ``spot``: replaces what is there, or adds an entry and declares its tags."""
    replaced = await lookup.replaced(spot.place, spot.name)
    if replaced is not None:
        return cast(Added, await receiving.replace(replaced.id, modified=modified))
    tags = tags_given(spot.place)
    await declare(lookup, tags)
    return cast(Added, await receiving.add(spot.name, tags, home=home_given(spot.place), modified=modified))


async def declare(lookup: Lookup, tags: Sequence[str]) -> None:
    """Makes directories of the tags that are none yet, so that they stay when their last file goes."""
    for tag in tags:
        await lookup.node.declare_tag(lookup.principal, tag)


async def copy(lookup: Lookup, source: Entry, receiving: Any, length: int | None = None) -> None:
    """Writes the content of an entry, or the first ``length`` bytes of it, to a receiving."""
    reading: Any = await lookup.node.read(lookup.principal, source.id, 0, length)
    try:
        while data := await reading.read(PIECE):
            wait = receiving.write(data)
            if wait is not None:
                await wait
    finally:
        reading.close()


async def delete(lookup: Lookup, path: VirtualPath) -> str:
    """DELE: moves a file to the trash; returns its id. In the trash already, it is left to PURGE."""
    place = folder(path.parent)
    entry = await lookup.sole_entry(path)
    if isinstance(place, Trash):
        raise Forbidden(f"{path}: is in the trash already; PURGE id:{entry.id} forgets it for ever")
    changed = await lookup.node.delete(lookup.principal, Text("id", entry.id))
    if not changed.changed:
        raise NotFound(f"{path}: no such file")
    if isinstance(place, Tree):
        lookup.made.add(place.home)  # a folder stays when its last file goes
    return entry.id


async def move(lookup: Lookup, source: Named, spot: Spot) -> None:
    """RNTO of a file: renames within a directory, re-tags between two; onto a file that storing would replace, becomes its
    content."""
    entry = source.entry
    assert entry is not None
    if entry.trashed is not None:
        await lookup.node.restore(lookup.principal, Text("id", entry.id))
    replaced = await lookup.replaced(spot.place, spot.name)
    if replaced is not None and replaced.id != entry.id:
        await _supersede(lookup, entry, replaced)
        return
    before, after = _tags(source.place), tags_given(spot.place)
    kept = frozenset(map(fold, after))
    leaving = [tag for tag in before if fold(tag) not in kept] if entry.trashed is None else []
    await declare(lookup, after)
    await lookup.node.move(
        lookup.principal,
        entry.id,
        name=None if spot.name == entry.name else spot.name,
        add=after,
        delete=leaving,
        home=home_given(spot.place) if _takes_home(source.place, entry, spot.place) else None,
    )
    if isinstance(source.place, Tree):
        lookup.made.add(source.place.home)


def _tags(place: Place) -> Sequence[str]:
    return tags_given(place) if isinstance(place, Writable) else ()


def _takes_home(before: Place, entry: Entry, after: Writable) -> bool:
    """Whether a moved entry is at home where it moved to: always in the tree, and from there; elsewhere only where it was
    at home in the directory that it left."""
    if isinstance(after, Tree) or isinstance(before, Tree):
        return True
    if not isinstance(before, Writable):
        return entry.home is None
    return set(map(fold, home_of(entry).split("/"))) == set(map(fold, home_given(before).split("/")))


async def _supersede(lookup: Lookup, entry: Entry, replaced: Entry) -> None:
    """Gives an entry the content of another, which goes to the trash: how uploads under a temporary name end."""
    receiving: Any = await lookup.node.receive(lookup.principal, entry.content.size)
    try:
        await copy(lookup, entry, receiving)
    except BaseException:
        receiving.abort()
        raise
    await receiving.replace(replaced.id, modified=entry.content.modified)
    await lookup.node.delete(lookup.principal, Text("id", entry.id))


# Directories


async def make_directory(lookup: Lookup, path: VirtualPath) -> None:
    """MKD. Raises Conflict where the directory above shows it already, BadName where it cannot be."""
    place = _place_to_be(path)
    if isinstance(place, TagFolder):
        if await lookup.lists(folder(path.parent), path.name, fold):
            raise Conflict(f"{path}: is there already")
        await declare(lookup, place.tags)
    elif isinstance(place, Tree) and not await lookup.has_home(place.home):
        lookup.principal.require(Role.WRITE, "making a folder")
        if await lookup.named(folder(path.parent), path.name):
            raise Conflict(f"{path}: is a file")
        lookup.made.add(place.home)
    elif isinstance(place, QueryFolder):
        raise BadName(f"{path}: a search is saved by SAVE name | query")
    else:
        raise Conflict(f"{path}: is there already")


async def remove_directory(lookup: Lookup, path: VirtualPath) -> None:
    """RMD. Raises Conflict where something is in it, NotFound where it is not there."""
    place = folder(path)
    if isinstance(place, TagFolder):
        await lookup.node.undeclare_tag(lookup.principal, place.tags[-1])
    elif isinstance(place, Tree) and place.home:
        await _remove_folder(lookup, path, place.home)
    elif isinstance(place, QueryFolder):
        await lookup.node.unsave_search(lookup.principal, place.text)
    else:
        raise Forbidden(f"{path}: is always there")


async def _remove_folder(lookup: Lookup, path: VirtualPath, home: str) -> None:
    made = list(lookup.made.at_or_below(home))
    if not await lookup.has_home(home):
        raise NotFound(f"{path}: no such directory")
    lookup.principal.require(Role.WRITE, "removing a folder")
    async for _ in lookup.at_or_below(home):
        raise Conflict(f"{path}: is not empty")
    if made != [home]:
        raise Conflict(f"{path}: is not empty")
    lookup.made.remove(home)


async def rename_directory(lookup: Lookup, old: VirtualPath, new: VirtualPath) -> None:
    """RNTO of a directory: renames a tag everywhere; in the tree, moves the folder with all that is below."""
    before, after = folder(old), _place_to_be(new)
    if isinstance(before, TagFolder) and isinstance(after, TagFolder):
        if folder(old.parent) != folder(new.parent):
            raise BadName(f"{new}: a tag is renamed in its directory, as {old.parent.child(new.name)}")
        await lookup.node.rename_tag(lookup.principal, old.name, new.name)
    elif isinstance(before, Tree) and isinstance(after, Tree) and before.home and after.home:
        await _move_folder(lookup, before.home, after.home)
    else:
        raise BadName(f"{old}: cannot become {new}")


async def _move_folder(lookup: Lookup, old: str, new: str) -> None:
    if is_at_or_below(new, old):
        raise BadName(f"a folder cannot move into itself: {new}")
    if await lookup.has_home(new):
        raise Conflict(f"/@tree/{new}: is there already")
    async for entries in lookup.at_or_below(old):
        # Together, so that they become durable together.
        await gatherResults(
            [Deferred.fromCoroutine(_rehome(lookup, entry, old, new)) for entry in entries], consumeErrors=True
        )
    lookup.made.rename(old, new)


async def _rehome(lookup: Lookup, entry: Entry, old: str, new: str) -> None:
    home = new + home_of(entry)[len(old) :]
    before, after = tags_given(Tree(home_of(entry))), tags_given(Tree(home))
    kept = frozenset(map(fold, after))
    leaving = [tag for tag in before if fold(tag) not in kept]
    await lookup.node.move(lookup.principal, entry.id, add=after, delete=leaving, home=home)


def _place_to_be(path: VirtualPath) -> Place:
    """The directory that ``path`` would be. Raises :class:`BadName` where it cannot be."""
    try:
        place = folder(path)
        if isinstance(place, Tree):
            check_home(place.home)
    except (NotFound, BadRequest) as error:
        raise BadName(str(error)) from None
    return place
