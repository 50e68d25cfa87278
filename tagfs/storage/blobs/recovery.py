"""Brings the index up to what is in the segments, after any stop. Layer: storage."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from tagfs.errors import StorageFull
from tagfs.storage.blobs.index import Index
from tagfs.storage.blobs.packs import SEGMENT_HEADER, Item, Place
from tagfs.storage.blobs.segments import Segments

_LOG = logging.getLogger(__name__)
_AT_ONCE = 1000
"""Items that are looked up together."""


def settle_segments(segments: Segments, index: Index) -> None:
    """Looks at what the index does not cover yet, makes it durable, and cuts off the torn end of the last segment.

    Every sound item found is served, acknowledged or not: contents are named by their digest, so one too many
    is an orphan at worst. An item that is not sound is reported and never served; those behind it stay.
    """
    sizes = segments.sizes()
    for number in set(index.covered_to()) - set(sizes):
        index.forget_segment(number)
    last = max(sizes, default=0)
    for number, size in sorted(sizes.items()):
        covered = index.covered_to().get(number, 0)
        if covered > size:
            _LOG.warning("pack segment %d is shorter than it was; its contents are looked for anew", number)
            index.forget_segment(number)
            covered = 0
        end = covered if covered == size else _take_in(segments, index, number, covered)
        if number == last:
            if end < size:
                _LOG.info("pack segment %d: %d bytes of an unfinished write were cut off", number, size - end)
            segments.resume(number, end)
    _flush(index, segments.settled_to())


def _take_in(segments: Segments, index: Index, number: int, start: int) -> int:
    """Adds the items of one segment from ``start`` on that are not known yet; where the last sound one ends."""
    segments.settle_device(number, start)
    end = max(start, len(SEGMENT_HEADER))
    found: dict[bytes, Place] = {}
    damaged: list[tuple[int, int]] = []
    for piece in segments.scan(number, start):
        if not isinstance(piece, Item):
            damaged.append(piece)
            continue
        place = Place(number, piece.offset, piece.length)
        if piece.content is None:
            damaged.append((place.offset, place.end))
            continue
        end = place.end
        found.setdefault(piece.digest, place)
        if len(found) >= _AT_ONCE:
            _add_unknown(index, found, end)
            found = {}
    _add_unknown(index, found, end)
    for first, behind in damaged:
        if behind <= end:
            _LOG.error("pack segment %d is damaged from byte %d to %d: nothing there is served", number, first, behind)
    return end


def _add_unknown(index: Index, found: dict[bytes, Place], end: int) -> None:
    known = index.find_many(list(found))
    unknown = {digest: place for digest, place in found.items() if digest not in known}
    if unknown:
        index.add(unknown)
    if index.is_due():
        (segment,) = {place.segment for place in unknown.values()}
        _flush(index, {segment: end})


def _flush(index: Index, covered: Mapping[int, int]) -> None:
    """Writes the index, if there is space: what it holds in memory serves as well, and the next start looks again."""
    try:
        index.flush(covered)
    except StorageFull as error:
        _LOG.warning("%s", error)
