"""Brings the index up to what is in the segments, after any stop. Layer: storage."""

from __future__ import annotations

import logging

from tagfs.storage.blobs.index import Index
from tagfs.storage.blobs.packs import SEGMENT_HEADER, Damage, Place
from tagfs.storage.blobs.segments import Segments

_LOG = logging.getLogger(__name__)


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
    index.flush(segments.settled_to())


def _take_in(segments: Segments, index: Index, number: int, start: int) -> int:
    """Adds the items of one segment from ``start`` on that are not known yet; where the last sound one ends."""
    segments.settle_device(number, start)
    end = max(start, len(SEGMENT_HEADER))
    damage: list[tuple[int, int]] = []
    for found in segments.scan(number, start):
        if isinstance(found, Damage):
            damage.append((found.offset, found.end))
            continue
        place = Place(number, found.offset, found.length)
        if found.content is None:
            damage.append((place.offset, place.end))
            continue
        end = place.end
        if index.find(found.digest) is None:
            index.add({found.digest: place})
        if index.is_due():
            index.flush({number: end})
    for first, behind in damage:
        if behind <= end:
            _LOG.error(
                "pack segment %d is damaged from byte %d to %d; what lay there is not served", number, first, behind
            )
    return end
