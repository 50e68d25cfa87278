"""Which entries a directory shows. Layer: model."""

from __future__ import annotations

from typing import NamedTuple

from tagfs.model.entry import Entry, home_of
from tagfs.model.names import fold, name_key, tag_fault
from tagfs.model.order import Scope
from tagfs.model.paths.place import (
    Place,
    QueryFolder,
    Recent,
    Root,
    SavedSearches,
    TagFolder,
    Trash,
    Tree,
    UntaggedView,
)
from tagfs.model.query import EVERYTHING, And, Not, Query, Tag, Text, Untagged

RECENT = 200
"""How many of the entries added last ``/@recent`` shows."""


class Selection(NamedTuple):
    """The query and scope of a directory; ``newest`` limits it to that many entries added last, 0 to none."""

    query: Query
    scope: Scope = Scope.LIVE
    newest: int = 0


def selection(place: Place) -> Selection | None:
    """What a directory shows; None for one without entries of its own.

    The text of a :class:`QueryFolder` needs a parser and the saved searches, hence it is asked of whoever has them.
    """
    if isinstance(place, Root | UntaggedView):
        return Selection(Untagged())
    if isinstance(place, TagFolder):
        return Selection(tagged(sorted(place.folded)))
    if isinstance(place, Tree):
        return Selection(Text("home", name_key(place.home)))
    if isinstance(place, Recent):
        return Selection(EVERYTHING, newest=RECENT)
    if isinstance(place, Trash):
        return Selection(EVERYTHING, Scope.TRASH)
    assert isinstance(place, SavedSearches | QueryFolder)
    return None


def tagged(folded: list[str]) -> Query:
    """Entries with all of some folded tags; everything where there is none."""
    tags = tuple(Tag(tag) for tag in folded)
    if not tags:
        return EVERYTHING
    return tags[0] if len(tags) == 1 else And(tags)


def below(home: str) -> Query:
    """Entries whose home is somewhere below ``home``. Matches more where ``home`` has ``*`` or ``?`` in it (patterns
    cannot escape them): check what comes with :func:`home_of`."""
    if not home:
        return Not(Text("home", ""))
    return Text("home", name_key(home) + "/*", glob=True)


def is_exactly(place: Place, entry: Entry) -> bool:
    """Whether storing the entry's name at this place replaces the entry: its tags are those of the path, no more; in the
    tree, its home is that folder."""
    if isinstance(place, Tree):
        return name_key(home_of(entry)) == name_key(place.home)
    wanted = place.folded if isinstance(place, TagFolder) else frozenset()
    return {fold(tag) for tag in entry.tags} == wanted


def holds(place: Root | TagFolder | Tree | UntaggedView, entry: Entry) -> bool:
    """Whether the directory shows this live entry."""
    if isinstance(place, TagFolder):
        return place.folded.issubset(map(fold, entry.tags))
    return is_exactly(place, entry)


def tags_given(place: Root | TagFolder | Tree | UntaggedView) -> tuple[str, ...]:
    """The tags that an entry gets by being stored at this place; in the tree, the parts of the home that can be tags."""
    if isinstance(place, TagFolder):
        return place.tags
    if isinstance(place, Tree):
        return tuple(part for part in place.home.split("/") if tag_fault(part) is None)
    return ()


def home_given(place: Root | TagFolder | Tree | UntaggedView) -> str:
    """The home that an entry gets by being stored at this place."""
    if isinstance(place, TagFolder):
        return "/".join(place.tags)
    return place.home if isinstance(place, Tree) else ""


def both(left: Query, right: Query) -> Query:
    """Entries that match both queries."""
    items = tuple(item for query in (left, right) for item in (query.items if isinstance(query, And) else (query,)))
    items = tuple(item for item in items if item != EVERYTHING)
    if not items:
        return EVERYTHING
    return items[0] if len(items) == 1 else And(items)
