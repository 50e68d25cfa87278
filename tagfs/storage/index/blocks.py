"""What the index knows of each row: numbers to sort and filter by, and the row's tags. Layer: storage.

Rows are kept in blocks of :data:`BLOCK`, so that nothing is ever copied as a whole when the index grows, is
compacted or is saved. For every :data:`ZONE` rows a block keeps bounds of each number (a zone map): a page in
order of that number then looks at few zones. Bounds are only ever widened, so they hold after any change.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tagfs.storage.index.rowsets import Rows

BLOCK_BITS = 16
BLOCK = 1 << BLOCK_BITS
"""Rows per block, as many as a container of a roaring bitmap has."""
ZONE_BITS = 12
ZONE = 1 << ZONE_BITS
"""Rows per zone."""
ZONES = BLOCK // ZONE

ZONED = ("added", "size", "modified", "high")
"""Numbers with bounds per zone; ``high`` is the first half of the entry id."""
COLUMNS = (*ZONED, "low", "content")
"""All signed numbers of a row; ``content`` are the first 8 bytes of its digest."""

Numbers = NDArray[np.int64]
Places = NDArray[np.intp]
TagNumbers = NDArray[np.uint32]

_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1
_SLACK = 4096


class Block:
    """The numbers and tags of up to :data:`BLOCK` rows. A row is named by its place in the block."""

    def __init__(self) -> None:
        # Memory of zeros costs nothing until it is written to.
        self.columns = {name: np.zeros(BLOCK, dtype=np.int64) for name in COLUMNS}
        self.type = np.zeros(BLOCK, dtype=np.uint32)
        self.start = np.zeros(BLOCK, dtype=np.uint32)
        self.count = np.zeros(BLOCK, dtype=np.uint32)
        self.pool = np.zeros(_SLACK, dtype=np.uint32)
        self.used = 0
        self.garbage = 0
        self.least = {name: array("q", [_GREATEST] * ZONES) for name in ZONED}
        self.greatest = {name: array("q", [_LEAST] * ZONES) for name in ZONED}

    def set_number(self, name: str, place: int, value: int) -> None:
        """Sets one number of a row."""
        self.columns[name][place] = value
        if name in ZONED:
            self._widen(name, place >> ZONE_BITS, value, value)

    def tags(self, place: int) -> list[int]:
        """The numbers of the row's tags."""
        start = int(self.start[place])
        return self.pool[start : start + int(self.count[place])].tolist()  # type: ignore[no-any-return]

    def set_tags(self, place: int, numbers: Sequence[int]) -> None:
        """Sets the numbers of the row's tags."""
        self.garbage += int(self.count[place])
        self.count[place] = 0
        if self.garbage > _SLACK and self.garbage * 2 > self.used:
            self._compact()
        end = self.used + len(numbers)
        self._reserve(end)
        self.pool[self.used : end] = numbers
        self.start[place] = self.used
        self.count[place] = len(numbers)
        self.used = end

    def gather_tags(self, places: Places) -> TagNumbers:
        """The numbers of the tags of all these rows, one after the other."""
        counts = self.count[places]
        ends = np.cumsum(counts, dtype=np.intp)
        if not len(ends) or not ends[-1]:
            return self.pool[:0]
        # Position i of the result belongs to the row it falls into: its start, less what came before that row.
        positions = np.repeat(self.start[places] - (ends - counts), counts)
        positions += np.arange(len(positions))
        return self.pool.take(positions)

    def fill(
        self,
        places: Places,
        numbers: Mapping[str, Numbers],
        types: NDArray[np.uint32],
        counts: NDArray[np.uint32],
        tags: TagNumbers,
    ) -> None:
        """As :meth:`Blocks.fill`, for the rows at these places."""
        for name, values in numbers.items():
            self.columns[name][places] = values
        self.type[places] = types
        self.start[places] = self.used + np.cumsum(counts) - counts
        self.count[places] = counts
        end = self.used + len(tags)
        self._reserve(end)
        self.pool[self.used : end] = tags
        self.used = end
        bounds = np.searchsorted(places, np.arange(ZONES + 1) * ZONE)
        for zone in np.flatnonzero(np.diff(bounds)).tolist():
            part = slice(bounds[zone], bounds[zone + 1])
            for name in ZONED:
                self._widen(name, zone, int(numbers[name][part].min()), int(numbers[name][part].max()))

    def image(self, rows: int) -> list[bytes]:
        """A copy of all about the first ``rows`` rows: as many parts as :meth:`of_image` takes."""
        bounds = [bounds[name] for name in ZONED for bounds in (self.least, self.greatest)]
        return [
            self.garbage.to_bytes(8, "little"),
            *(values[:rows].tobytes() for values in self.columns.values()),
            *(values[:rows].tobytes() for values in (self.type, self.start, self.count)),
            self.pool[: self.used].tobytes(),
            *(part.tobytes() for part in bounds),
        ]

    @classmethod
    def of_image(cls, take: Callable[[], bytes]) -> Block:
        """The block that the next parts are an image of."""
        block = cls()
        block.garbage = int.from_bytes(take(), "little")
        for column in block.columns.values():
            numbers = np.frombuffer(take(), dtype=np.int64)
            column[: len(numbers)] = numbers
        for values in (block.type, block.start, block.count):
            found = np.frombuffer(take(), dtype=np.uint32)
            values[: len(found)] = found
        block.pool = np.frombuffer(take(), dtype=np.uint32).copy()
        block.used = len(block.pool)
        for name in ZONED:
            for bounds in (block.least, block.greatest):
                bounds[name] = array("q", take())
        return block

    def _widen(self, name: str, zone: int, least: int, greatest: int) -> None:
        bounds = self.least[name]
        if least < bounds[zone]:
            bounds[zone] = least
        bounds = self.greatest[name]
        if greatest > bounds[zone]:
            bounds[zone] = greatest

    def _reserve(self, end: int) -> None:
        if end > len(self.pool):
            grown = np.zeros(max(end + _SLACK, end + end // 8), dtype=np.uint32)
            grown[: self.used] = self.pool[: self.used]
            self.pool = grown

    def _compact(self) -> None:
        """Writes the pool anew in order of the rows, without what nobody refers to."""
        places = np.flatnonzero(self.count)
        counts = self.count[places]
        pool = self.gather_tags(places)
        self.start[places] = np.cumsum(counts) - counts
        self.pool, self.used, self.garbage = pool, len(pool), 0


class Blocks:
    """All blocks, by row number."""

    def __init__(self) -> None:
        self.items: list[Block] = []

    def at(self, row: int) -> Block:
        """The block of a row, made where it is not there yet."""
        number = row >> BLOCK_BITS
        while number >= len(self.items):
            self.items.append(Block())
        return self.items[number]

    def split(self, rows: Rows) -> Iterator[tuple[Block, slice, Places]]:
        """For ascending rows: each block concerned, which of the rows are in it, and their places there."""
        bounds = np.searchsorted(rows, np.arange(len(self.items) + 1, dtype=np.int64) << BLOCK_BITS)
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            part = slice(int(bounds[number]), int(bounds[number + 1]))
            yield self.items[number], part, (rows[part] & np.uint32(BLOCK - 1)).astype(np.intp)

    def fill(
        self,
        rows: Rows,
        numbers: Mapping[str, Numbers],
        types: NDArray[np.uint32],
        counts: NDArray[np.uint32],
        tags: TagNumbers,
    ) -> None:
        """Sets everything of many rows (ascending) that were never set before; ``tags`` are those of the first row,
        of the second, and so on: ``counts`` says how many."""
        self.at(int(rows[-1]))
        ends = np.concatenate(([0], np.cumsum(counts, dtype=np.intp)))
        for block, part, places in self.split(rows):
            own = {name: values[part] for name, values in numbers.items()}
            block.fill(places, own, types[part], counts[part], tags[ends[part.start] : ends[part.stop]])

    def gather(self, name: str, rows: Rows) -> Numbers:
        """One number of each of these rows (ascending)."""
        values = np.empty(len(rows), dtype=np.int64)
        for block, part, places in self.split(rows):
            values[part] = block.columns[name][places]
        return values

    def bounds(self, name: str) -> tuple[Numbers, Numbers]:
        """The least and the greatest value in each zone of all blocks; where a zone is empty, least > greatest."""
        least = b"".join(block.least[name].tobytes() for block in self.items)
        greatest = b"".join(block.greatest[name].tobytes() for block in self.items)
        return np.frombuffer(least, dtype=np.int64), np.frombuffer(greatest, dtype=np.int64)
