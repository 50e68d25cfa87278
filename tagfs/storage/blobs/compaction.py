"""Gives back the space of dropped contents: moves what is left of a segment, then removes it. Layer: storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tagfs.storage.blobs.index import Index
from tagfs.storage.blobs.packs import OVERHEAD, SEGMENT_HEADER, Item, Place
from tagfs.storage.blobs.segments import Segments

WORTH = 0.5
"""Share of garbage above which a segment is rewritten: at most as much is moved as is given back."""
_GROUP = 4 << 20
"""Bytes moved with one fdatasync."""


class Compaction:
    """One run over the segments that are worth it. ``set_aside`` is told digests whose stored bytes are bad."""

    def __init__(self, segments: Segments, index: Index, set_aside: Callable[[bytes], None], limit: int) -> None:
        self._segments = segments
        self._index = index
        self._set_aside = set_aside
        self._limit = limit
        self._moved = 0

    def run(self) -> int:
        """Returns the bytes freed, less those moved."""
        self._seal_garbage()
        freed = 0
        for number in self._worthwhile():
            if self._empty(number):
                # The index may lose this again in a power cut: then the moved items are found in the tail, and
                # a segment that is gone is forgotten, so nothing is missed.
                self._index.flush(self._segments.settled_to())
                freed += self._segments.remove(number)
                self._index.forget_segment(number)
        return max(0, freed - self._moved)

    def _seal_garbage(self) -> None:
        sizes = self._segments.sizes()
        if sizes and self._garbage(max(sizes), sizes[max(sizes)]) > WORTH:
            self._segments.seal()

    def _worthwhile(self) -> list[int]:
        sizes = self._segments.sizes()
        shares = [(self._garbage(number, sizes[number]), number) for number in self._segments.sealed()]
        return [number for share, number in sorted(shares, reverse=True) if share > WORTH]

    def _garbage(self, number: int, size: int) -> float:
        """Share of a segment that nothing refers to; 0 where it is empty."""
        items = size - len(SEGMENT_HEADER)
        return 1 - self._index.live(number).bytes / items if items > 0 else 0.0

    def _empty(self, number: int) -> bool:
        """Moves all that is wanted out of a segment; False where the limit was reached first."""
        for group in self._wanted(number):
            if self._moved >= self._limit:
                return False
            self._move(number, group)
        if self._index.live(number).count:
            # What the segment's own headers did not lead to: they are damaged.
            for digest in self._index.in_segment(number):
                self._set_aside(digest)
        return not self._index.live(number).count

    def _wanted(self, number: int) -> Iterator[list[Item]]:
        """The items of a segment that the index still points to, in groups."""
        group: list[Item] = []
        size = 0
        for found in self._segments.scan(number, 0):
            if not isinstance(found, Item):
                continue
            if self._index.find(found.digest) != Place(number, found.offset, found.length):
                continue
            if found.content is None:
                self._set_aside(found.digest)
                continue
            group.append(found)
            size += OVERHEAD + found.length
            if size >= _GROUP:
                yield group
                group = []
                size = 0
        if group:
            yield group

    def _move(self, number: int, items: list[Item]) -> None:
        contents = [(item.digest, item.content) for item in items if item.content is not None]
        group, places = self._segments.append(contents)
        try:
            self._segments.sync(group)
            for item in items:
                self._index.move(item.digest, Place(number, item.offset, item.length), places[item.digest])
        finally:
            self._segments.settle(group)
        self._moved += group.end - group.start
