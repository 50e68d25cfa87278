"""All that the index knows, and how it changes when an entry does. Layer: storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np
from pyroaring import BitMap

from tagfs.model.entry import Entry
from tagfs.model.names import fold
from tagfs.storage.index.blocks import BLOCK, Block, Blocks
from tagfs.storage.index.holders import Holders
from tagfs.storage.index.ids import decode, halves
from tagfs.storage.index.labels import Labels
from tagfs.storage.index.matching import Matching
from tagfs.storage.index.rowsets import bitmap_of


class State:
    """Bitmaps of rows, and the numbers of each row. For reading: only the methods here change anything.

    A row tells by itself what it was before a change, so that whoever changes it need not know.
    """

    def __init__(self, node: str) -> None:
        self.all = BitMap()
        self.trash = BitMap()
        self.untagged = BitMap()
        self.tags = Labels()
        self.types = Labels()
        """Media types, folded."""
        self.matching = Matching(self.tags)
        self.blocks = Blocks()
        self.holders = Holders(node)
        self.live_bytes = 0
        """Sum of the sizes of the entries outside the trash."""
        self.before_change: Callable[[int, Iterable[int], Iterable[int]], None] | None = None
        """Told the row, and the numbers of the tags and types whose rows change, before they do."""

    def put(self, row: int, entry: Entry, here: bool) -> None:
        """Makes a row what the entry is now, whether it was there before or not; ``here`` says whether this node holds its
        content, if that is new."""
        place = row & BLOCK - 1
        block = self.blocks.at(row)
        numbers = list(map(self.tags.number, entry.tags))
        kind = self.types.number(fold(entry.content.type))
        if self.before_change:
            self.before_change(row, (*numbers, *block.tags(place)), (kind, int(block.type[place])))
        is_new = row not in self.all
        if not is_new:
            self._uncount(row, block, place)
            self._change_labels(row, block, place, numbers, kind)
        else:
            self.all.add(row)
            self._set_labels(row, block, place, numbers, kind)
            high, low = halves(entry.id)
            block.set_number("high", place, high)
            block.set_number("low", place, low)
        block.set_number("added", place, entry.added)
        block.set_number("size", place, entry.content.size)
        block.set_number("modified", place, entry.content.modified)
        content = int.from_bytes(entry.content.digest[:8], "big", signed=True)
        if is_new or content != int(block.columns["content"][place]):
            block.set_number("content", place, content)
            self.holders.renew(row, here)
        if entry.trashed is None:
            self.trash.discard(row)
            self.tags.count_live(numbers, 1)
            self.live_bytes += entry.content.size
        else:
            self.trash.add(row)

    def put_many(self, rows: Sequence[int], entries: Sequence[Entry], here: bool) -> None:
        """Takes in many rows at once, as :meth:`put`; they ascend, and none of them was ever there."""
        if not rows:
            return
        where = np.fromiter(rows, dtype=np.uint32, count=len(rows))
        counts = np.fromiter((len(entry.tags) for entry in entries), dtype=np.uint32, count=len(rows))
        trashed = np.fromiter((entry.trashed is not None for entry in entries), dtype=np.bool_, count=len(rows))
        contents = [entry.content for entry in entries]
        high, low = decode([entry.id for entry in entries])
        columns = {
            "added": np.fromiter((entry.added for entry in entries), dtype=np.int64, count=len(rows)),
            "size": np.fromiter((content.size for content in contents), dtype=np.int64, count=len(rows)),
            "modified": np.fromiter((content.modified for content in contents), dtype=np.int64, count=len(rows)),
            "high": high,
            "low": low,
            "content": np.frombuffer(b"".join([content.digest[:8] for content in contents]), ">i8").astype(np.int64),
        }
        tags = self.tags.numbers_of(list(chain.from_iterable(entry.tags for entry in entries)))
        folded = {name: fold(name) for name in {content.type for content in contents}}
        kinds = self.types.numbers_of([folded[content.type] for content in contents])
        if self.before_change:
            # One row will do: what blocks have of rows that were not there does not matter.
            self.before_change(rows[0], np.unique(tags).tolist(), np.unique(kinds).tolist())
        self.blocks.fill(where, columns, kinds, counts, tags)
        self.tags.put_many(np.repeat(where, counts), tags)
        self.tags.count_many_live(tags[np.repeat(~trashed, counts)])
        self.types.put_many(where, kinds)
        self.holders.begin(rows, here)
        self.all |= bitmap_of(where)
        self.trash |= bitmap_of(where[trashed])
        self.untagged |= bitmap_of(where[counts == 0])
        self.live_bytes += int(columns["size"][~trashed].sum())

    def remove(self, row: int) -> None:
        """Forgets a row for ever; harmless where it is not there."""
        if row not in self.all:
            return
        place = row & BLOCK - 1
        block = self.blocks.at(row)
        if self.before_change:
            self.before_change(row, block.tags(place), (int(block.type[place]),))
        self._uncount(row, block, place)
        self.tags.take(row, block.tags(place))
        self.types.take(row, (int(block.type[place]),))
        block.set_tags(place, ())
        self.holders.forget(row)
        for rows in (self.all, self.trash, self.untagged):
            rows.discard(row)

    def _uncount(self, row: int, block: Block, place: int) -> None:
        """Takes the row out of what is counted for live rows."""
        if row not in self.trash:
            self.tags.count_live(block.tags(place), -1)
            self.live_bytes -= int(block.columns["size"][place])

    def _set_labels(self, row: int, block: Block, place: int, numbers: list[int], kind: int) -> None:
        if numbers:
            self.tags.put(row, numbers)
            block.set_tags(place, numbers)
        else:
            self.untagged.add(row)
        self.types.put(row, (kind,))
        block.type[place] = kind

    def _change_labels(self, row: int, block: Block, place: int, numbers: list[int], kind: int) -> None:
        before = block.tags(place)
        if numbers != before:
            self.tags.put(row, set(numbers).difference(before))
            self.tags.take(row, set(before).difference(numbers))
            block.set_tags(place, numbers)
            if numbers:
                self.untagged.discard(row)
            else:
                self.untagged.add(row)
        known = int(block.type[place])
        if kind != known:
            self.types.put(row, (kind,))
            self.types.take(row, (known,))
            block.type[place] = kind
