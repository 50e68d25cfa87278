"""The index as it was at one moment, copied in short steps while it goes on changing, and made again. Layer: storage.

What is about to change and was not copied yet is copied first (copy before write). So a change costs little more
while a copy is being made, and the copy is of the moment it was begun at.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import msgpack
from pyroaring import BitMap

from tagfs.storage.index.blocks import BLOCK, BLOCK_BITS, Block
from tagfs.storage.index.labels import Labels
from tagfs.storage.index.snapshot import Parts, read_snapshot, write_snapshot
from tagfs.storage.index.state import State

_LABELS = 1024
"""Labels that one step copies."""


class Saving:
    """A copy in the making. :meth:`step` is called under the lock of the index's owner, :meth:`write` without."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows = state.all.max() + 1 if state.all else 0
        self._head = _head(state)
        self._labels = [_LabelsImage(labels) for labels in (state.tags, state.types)]
        self._blocks: list[list[bytes] | None] = [None] * (self._rows + BLOCK - 1 >> BLOCK_BITS)
        self._done = False
        state.before_change = self._before_change

    def step(self) -> bool:
        """Copies for a few milliseconds; returns whether something is left to copy."""
        if any(image.step() for image in self._labels):
            return True
        for number, block in enumerate(self._blocks):
            if block is None:
                self._copy_block(number)
                return True
        if not self._done:
            assert self._state.before_change == self._before_change, "another copy was begun since"
            self._state.before_change = None
            self._done = True
        return False

    def write(self, path: str, position: bytes) -> None:
        """Puts the copy at ``path``, durably, whole or not at all; :func:`load` gives ``position`` back.

        All steps were taken before. Raises OSError; what was at ``path`` is then still there.
        """
        assert self._done
        write_snapshot(path, self._parts(position))

    def _before_change(self, row: int, tags: Iterable[int], types: Iterable[int]) -> None:
        for image, numbers in zip(self._labels, (tags, types), strict=True):
            image.copy(numbers)
        self._copy_block(row >> BLOCK_BITS)

    def _copy_block(self, number: int) -> None:
        if number < len(self._blocks) and self._blocks[number] is None:
            rows = min(BLOCK, self._rows - (number << BLOCK_BITS))
            self._blocks[number] = self._state.blocks.items[number].image(rows)

    def _parts(self, position: bytes) -> Iterator[bytes]:
        yield position
        yield from self._head
        for image in self._labels:
            yield from image.parts()
        for block in self._blocks:
            assert block is not None
            yield from block


class _LabelsImage:
    """A copy of labels in the making."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._names = list(labels.names)
        self._live = array("Q", labels.live)
        self._rows: list[bytes | None] = [None] * len(self._names)
        self._next = 0

    def copy(self, numbers: Iterable[int]) -> None:
        """Copies the rows of these labels, unless they were copied, or made later."""
        rows = self._rows
        for number in numbers:
            if number < len(rows) and rows[number] is None:
                rows[number] = self._labels.rows[number].serialize()

    def step(self) -> bool:
        """Copies some more; returns whether there was something left to copy."""
        start, self._next = self._next, min(self._next + _LABELS, len(self._rows))
        self.copy(range(start, self._next))
        return start < self._next

    def parts(self) -> Iterator[bytes]:
        rows = [image for image in self._rows if image is not None]
        yield msgpack.packb(self._names)
        yield self._live.tobytes()
        yield array("Q", map(len, rows)).tobytes()
        yield b"".join(rows)


def load(path: str, node: str) -> tuple[State, bytes] | None:
    """The state that was saved at ``path`` by this node, and its position. None where there is no such file, where it
    is damaged, of another version of the format, or another node's: then it is to be made anew."""
    parts = read_snapshot(path)
    if parts is None:
        return None
    with parts:
        position = parts.take()
        state = State(node)
        if not _read_head(state, parts):
            return None
        for labels in (state.tags, state.types):
            _read_labels(labels, parts)
        while parts.left():
            state.blocks.items.append(Block.of_image(parts.take))
    return state, position


def _head(state: State) -> list[bytes]:
    holders = state.holders
    bitmaps = (state.all, state.trash, state.untagged, holders.lacking, *holders.others.values())
    about = {"node": holders.node, "others": list(holders.others), "live_bytes": state.live_bytes}
    return [msgpack.packb(about), *(bitmap.serialize() for bitmap in bitmaps)]


def _read_head(state: State, parts: Parts) -> bool:
    about = msgpack.unpackb(parts.take())
    holders = state.holders
    if about["node"] != holders.node:
        return False
    state.live_bytes = about["live_bytes"]
    state.all, state.trash, state.untagged, holders.lacking = (BitMap.deserialize(parts.take()) for _ in range(4))
    holders.others = {node: BitMap.deserialize(parts.take()) for node in about["others"]}
    return True


def _read_labels(labels: Labels, parts: Parts) -> None:
    names = msgpack.unpackb(parts.take())
    live = array("Q", parts.take())
    lengths = array("Q", parts.take())
    images = parts.take()
    rows = []
    end = 0
    for length in lengths:
        rows.append(BitMap.deserialize(images[end : end + length]))
        end += length
    labels.restore(names, rows, live.tolist())
