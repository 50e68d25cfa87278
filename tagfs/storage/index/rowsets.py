"""Sets of rows as bitmaps and as numpy arrays. Layer: storage."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

Rows = NDArray[np.uint32]

NOTHING = BitMap()
"""No rows; not to be changed."""
_JOINED = 128
"""Bitmaps that are joined at once: at most a millisecond."""


def rows_of(bitmap: BitMap) -> Rows:
    """The rows of a bitmap, ascending."""
    return np.frombuffer(bitmap.to_array(), dtype=np.uint32)


def rows_between(bitmap: BitMap, start: int, end: int) -> Rows:
    """Those rows of a bitmap that are ``start`` or more and below ``end``, ascending."""
    return rows_of(bitmap & BitMap(range(start, end)))


def bitmap_of(rows: Rows) -> BitMap:
    """The bitmap of rows in any order."""
    # From an array.array it is thirteen times as quick as from numpy's.
    return BitMap(array("I", rows.tobytes()), optimize=False)


def union(bitmaps: list[BitMap]) -> BitMap:
    """The rows in any of the bitmaps.

    Of very many, some at a time: no other thread runs during one union, and one of ten thousand takes 30 ms, twice as
    long as those of all parts.
    """
    while len(bitmaps) > _JOINED:
        bitmaps = [BitMap.union(*bitmaps[start : start + _JOINED]) for start in range(0, len(bitmaps), _JOINED)]
    return BitMap.union(*bitmaps) if bitmaps else NOTHING
