"""Rows as holdings (:mod:`tagfs.storage.holdings`) and back: what nodes tell each other of their copies. Layer: storage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagfs.storage.holdings import HOLDING, ID
from tagfs.storage.index.blocks import BLOCK_BITS
from tagfs.storage.index.ids import unsigned
from tagfs.storage.index.rowsets import Rows, bitmap_of, rows_of
from tagfs.storage.index.state import State

Items = NDArray[np.bytes_]

LAST_OF_ID = ID - 1
"""Where in a holding the partition is."""


def holdings(state: State, rows: BitMap) -> bytes:
    """The holdings of these rows, sorted."""
    return np.sort(_items(state, rows_of(rows))).tobytes()


def of_partition(state: State, partition: int) -> BitMap:
    """The rows of a partition."""
    found = BitMap()
    for number, block in enumerate(state.blocks.items):
        places = np.flatnonzero((block.columns["low"] & 255) == partition)
        found |= bitmap_of((places + (number << BLOCK_BITS)).astype(np.uint32))
    return found & state.all


def find(state: State, packed: bytes, candidates: BitMap) -> tuple[BitMap, bytes]:
    """Those of the candidates that the holdings name, and the holdings that name none of them, in their order."""
    rows = rows_of(candidates & state.all)
    if not len(rows):
        return BitMap(), packed
    wanted = np.frombuffer(packed, dtype=f"S{HOLDING}")
    known = _items(state, rows)
    order = np.argsort(known, kind="stable")
    places = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    found = order[places]
    fits = known[found] == wanted
    return bitmap_of(rows[found[fits]]), wanted[~fits].tobytes()


def _items(state: State, rows: Rows) -> Items:
    high, low, content = (state.blocks.gather(column, rows) for column in ("high", "low", "content"))
    table = np.stack([unsigned(high), unsigned(low), content.view(np.uint64)], axis=1)
    return np.frombuffer(table.astype(">u8").tobytes(), dtype=f"S{HOLDING}")
