"""The index as it was at one moment, written to a file while it goes on changing, and read again. Layer: storage.

What is about to change and was not written yet is copied first (copy before write). So a change costs little more
while the index is being saved, and what is saved is the moment that was begun at. Who holds which content is not
saved: that is told anew after a start.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import msgpack
from pyroaring import BitMap

from tagfs.storage.index.blocks import BLOCK, BLOCK_BITS, Block
from tagfs.storage.index.labels import Labels
from tagfs.storage.index.snapshot import Parts, read_snapshot, write_snapshot
from tagfs.storage.index.state import State

Lock = AbstractContextManager[object]

_LABELS = 1024
"""Labels that are copied in one turn."""


class Saving:
    """The index at the moment this was made, to be written. Made under the lock of the index's owner."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows = state.all.max() + 1 if state.all else 0
        self._head = [part.serialize() for part in (state.all, state.trash, state.untagged)]
        self._live_bytes = state.live_bytes
        self._labels = [_LabelsImage(labels) for labels in (state.tags, state.types)]
        self._blocks = self._rows + BLOCK - 1 >> BLOCK_BITS
        self._next_block = 0
        self._kept: dict[int, list[bytes]] = {}
        state.before_change = self._before_change

    def write(self, path: str, position: bytes, lock: Lock) -> None:
        """Puts what is saved at ``path``, durably, whole or not at all; :func:`load` gives ``position`` back.

        Called without the lock, which is taken for a millisecond at a time. Raises OSError; what was at ``path`` is
        then still there. Can be done once.
        """
        assert self._state.before_change == self._before_change, "written already, or another was begun since"
        try:
            write_snapshot(path, self._parts(position, lock))
        finally:
            with lock:
                if self._state.before_change == self._before_change:
                    self._state.before_change = None

    def _before_change(self, row: int, tags: Iterable[int], types: Iterable[int]) -> None:
        for image, numbers in zip(self._labels, (tags, types), strict=True):
            image.keep(numbers)
        number = row >> BLOCK_BITS
        if self._next_block <= number < self._blocks and number not in self._kept:
            self._kept[number] = self._image(number)

    def _image(self, number: int) -> list[bytes]:
        return self._state.blocks.items[number].image(min(BLOCK, self._rows - (number << BLOCK_BITS)))

    def _parts(self, position: bytes, lock: Lock) -> Iterator[bytes]:
        yield position
        yield self._live_bytes.to_bytes(16, "little")
        yield from self._head
        for image in self._labels:
            yield from image.parts(lock)
        for number in range(self._blocks):
            with lock:
                block = self._kept.pop(number, None) or self._image(number)
                self._next_block = number + 1
            yield from block


class _LabelsImage:
    """Labels as they were when this was made."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._names = list(labels.names)
        self._live = labels.live.tobytes()
        self._next = 0
        self._kept: dict[int, bytes] = {}

    def keep(self, numbers: Iterable[int]) -> None:
        """The rows of these labels are about to change."""
        for number in numbers:
            if self._next <= number < len(self._names) and number not in self._kept:
                self._kept[number] = self._labels.postings.pack(number)

    def parts(self, lock: Lock) -> Iterator[bytes]:
        yield msgpack.packb(self._names)
        yield self._live
        while self._next < len(self._names):
            with lock:
                rows = self._take()
            yield array("Q", map(len, rows)).tobytes()
            yield b"".join(rows)

    def _take(self) -> list[bytes]:
        numbers = range(self._next, min(self._next + _LABELS, len(self._names)))
        self._next = numbers.stop
        pack = self._labels.postings.pack
        # What was kept may be empty: the number was free.
        return [self._kept.pop(number) if number in self._kept else pack(number) for number in numbers]


def load(path: str, node: str) -> tuple[State, bytes] | None:
    """The state that was saved at ``path``, now of ``node``, and its position. None where there is no such file, or it is
    damaged or of another version of the format: then the index is to be made anew."""
    parts = read_snapshot(path)
    if parts is None:
        return None
    with parts:
        position = parts.take()
        state = State(node)
        state.live_bytes = int.from_bytes(parts.take(), "little")
        state.all, state.trash, state.untagged = (BitMap.deserialize(parts.take()) for _ in range(3))
        for labels in (state.tags, state.types):
            _read_labels(labels, parts)
        while parts.left():
            state.blocks.items.append(Block.of_image(parts.take))
    return state, position


def _read_labels(labels: Labels, parts: Parts) -> None:
    names = msgpack.unpackb(parts.take())
    live = array("Q", parts.take())
    labels.restore(names, _packed_rows(parts, len(names)), live)


def _packed_rows(parts: Parts, count: int) -> Iterator[bytes]:
    while count > 0:
        lengths = array("Q", parts.take())
        packed = parts.take()
        count -= len(lengths)
        end = 0
        for length in lengths:
            yield packed[end : end + length]
            end += length
