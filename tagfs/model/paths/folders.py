"""Which directories a directory lists. Layer: model.

Listing every co-occurring tag at every level makes trees that recursive clients never finish: one entry with eight tags
would be reachable by 109,601 paths. So a tag folder lists only tags that narrow it, and only down to three levels;
deeper paths are accepted all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from tagfs.model.names import fold
from tagfs.model.paths.place import Root, TagFolder

MAX_LISTED_LEVEL = 3
"""Tags in the longest path that listings lead to."""


def narrowing(place: Root | TagFolder, total: int, counts: Iterable[tuple[str, int]]) -> list[str]:
    """The tags that a directory of ``total`` entries lists as directories, by name.

    ``counts`` are the tags of its entries with how many carry them. At the top every tag is listed; below, those that
    strictly narrow the list.
    """
    if isinstance(place, Root):
        tags = [tag for tag, _ in counts]
    elif len(place.tags) >= MAX_LISTED_LEVEL:
        return []
    else:
        tags = [tag for tag, count in counts if 0 < count < total and fold(tag) not in place.folded]
    return sorted(tags, key=lambda tag: (fold(tag), tag))


def child_folder(parent: str, home: str) -> str | None:
    """The name of the directory of the tree's folder ``parent`` that leads to ``home``, or None where it is not below."""
    if not home or home == parent:
        return None
    if not parent:
        return home.partition("/")[0]
    if not home.startswith(parent + "/"):
        return None
    return home[len(parent) + 1 :].partition("/")[0]
