"""Selections of the reference catalog: sorted naively, shown as entries are now. Layer: storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from zope.interface import implementer

from tagfs.model.entry import Entry
from tagfs.model.names import name_key
from tagfs.model.order import Cursor, Sort
from tagfs.storage.interfaces import MAX_PAGE, ISelection, Page


def sort_value(found: Entry, key: str) -> int | str:
    """What an entry is ordered by."""
    if key == "name":
        return name_key(found.name)
    if key == "size":
        return found.content.size
    return found.added if key == "added" else found.content.modified


@implementer(ISelection)
class MemorySelection:
    """The ids that matched. ``fetch`` gives those of the entries that are still there, as they are now."""

    def __init__(self, fetch: Callable[[Iterable[str]], list[Entry]], ids: Sequence[str]) -> None:
        self._fetch = fetch
        self._ids = ids
        self.total = len(ids)

    def page(self, sort: Sort, after: Cursor | None, limit: int) -> Page:
        assert 1 <= limit <= MAX_PAGE
        ordered = self._ordered(sort)
        if after is not None:
            ordered = [found for found in ordered if _is_behind(found, sort, after)]
        shown = ordered[:limit]
        last = shown[-1] if len(ordered) > limit else None
        return Page(shown, None if last is None else Cursor(sort_value(last, sort.key), last.id))

    def pages(self, sort: Sort, limit: int) -> Iterator[Sequence[Entry]]:
        ordered = self._ordered(sort)
        for start in range(0, len(ordered), limit):
            yield self._fetch(found.id for found in ordered[start : start + limit])

    def ids(self, limit: int) -> Iterator[Sequence[str]]:
        for start in range(0, len(self._ids), limit):
            yield self._ids[start : start + limit]

    def _ordered(self, sort: Sort) -> list[Entry]:
        found = self._fetch(self._ids)
        found.sort(key=lambda each: (sort_value(each, sort.key), each.id), reverse=sort.descending)
        return found


def _is_behind(found: Entry, sort: Sort, after: Cursor) -> bool:
    here = (sort_value(found, sort.key), found.id)
    there = (after.value, after.id)
    return here < there if sort.descending else here > there
