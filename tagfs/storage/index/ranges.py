"""Rows whose number is in a range, found with the help of the zones. Layer: storage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagfs.storage.index.blocks import BLOCK_BITS, COLUMNS, ZONE_BITS, Blocks
from tagfs.storage.index.rowsets import bitmap_of, rows_of

_FEW = 1 << 16
"""So many rows are looked at one by one sooner than all rows zone by zone."""
_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1


def in_range(blocks: Blocks, column: str, low: int | None, high: int | None, within: BitMap) -> BitMap:
    """Rows whose number is from ``low`` to ``high`` (None: open), right for the rows of ``within``."""
    assert column in COLUMNS
    least = _LEAST if low is None else max(low, _LEAST)
    greatest = _GREATEST if high is None else min(high, _GREATEST)
    if least > greatest:
        return BitMap()
    if len(within) <= _FEW:
        rows = rows_of(within)
        values = blocks.gather(column, rows)
        return bitmap_of(rows[(values >= least) & (values <= greatest)])
    found = BitMap()
    bottoms, tops = blocks.bounds(column)
    inside = (bottoms >= least) & (tops <= greatest)
    for start, end in _runs(inside):
        found.add_range(start << ZONE_BITS, end << ZONE_BITS)
    for start, end in _runs(~inside & (bottoms <= greatest) & (tops >= least)):
        found |= _compared(blocks, column, least, greatest, start << ZONE_BITS, end << ZONE_BITS)
    return found


def _compared(blocks: Blocks, column: str, least: int, greatest: int, first: int, end: int) -> BitMap:
    """The rows from ``first`` to below ``end`` whose number is in the range."""
    found = BitMap()
    for number in range(first >> BLOCK_BITS, (end - 1 >> BLOCK_BITS) + 1):
        base = number << BLOCK_BITS
        start = max(first - base, 0)
        values = blocks.items[number].columns[column][start : end - base]
        places = np.flatnonzero((values >= least) & (values <= greatest))
        # Block by block, since no other thread runs while a bitmap is made; that of a million rows takes milliseconds.
        found |= bitmap_of((places + (base + start)).astype(np.uint32))
    return found


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where runs of true begin, and end."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
