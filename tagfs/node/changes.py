"""Changes of many entries by a query: resolved to entry ids once, then made in bounded batches. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tagfs.errors import BadRequest
from tagfs.model.entry import KIND, change, is_whole, tagging
from tagfs.model.order import Scope
from tagfs.model.query import EVERYTHING, Query
from tagfs.model.query.meaning import ranges_over
from tagfs.model.record import Record, Ref
from tagfs.model.stamp import Stamp
from tagfs.node.core import Core

BATCH = 1_000
"""Entries changed in one durable step of a bulk change."""

Edit = Callable[[Record, Stamp], Record | None]
"""From an entry's present record and a fresh stamp, the change to make, or None where there is nothing to do."""


async def change_matching(core: Core, query: Query, scope: Scope, edit: Edit, extra: Sequence[Record] = ()) -> int:
    """Makes ``edit`` on every entry that matches now; returns how many it changed.

    Each entry changes whole or not at all; where a failure stops the work, those before it stay changed.
    ``extra`` records are merged with the first batch. Raises BadRequest for the empty query.
    """
    if query == EVERYTHING:
        raise BadRequest("an empty query would change every entry; name:* says so on purpose")
    selection = await core.readers.run(lambda: core.catalog.select(query, ranges_over(query, scope)))
    batches = selection.ids(BATCH)
    changed = 0
    pending = list(extra)
    while ids := await core.readers.run(lambda: next(batches, ())):
        changed += await _change_batch(core, ids, edit, pending)
        pending = []
    if pending:
        await core.write(None, (), lambda _blob, _present: pending)
    return changed


async def _change_batch(core: Core, ids: Sequence[str], edit: Edit, extra: Sequence[Record]) -> int:
    count = 0

    def plan(_blob: object, present: Sequence[Record | None]) -> Sequence[Record]:
        nonlocal count
        changes = []
        for record in present:
            if record is not None and is_whole(record):
                made = edit(record, core.stamp(record.greatest()))
                if made is not None:
                    changes.append(made)
        count = len(changes)
        return [*extra, *changes]

    await core.write(None, [Ref(KIND, identifier) for identifier in ids], plan)
    return count


def retagging(present: Sequence[str], absent: Sequence[str]) -> Edit:
    """Takes the (folded) tags ``absent``, then gives ``present``; nothing where that changes nothing, or in the trash."""
    gone = [tag for tag in absent if tag not in present]

    def edit(record: Record, stamp: Stamp) -> Record | None:
        if record.value("trash"):
            return None
        return _differing(record, stamp, present, gone)

    return edit


def renaming(old: str, new: str | None) -> Edit:
    """Takes the (folded) tag ``old`` and gives ``new`` (if any) instead, in the trash too."""

    def edit(record: Record, stamp: Stamp) -> Record | None:
        if not record.value(f"tag:{old}"):
            return None
        return _differing(record, stamp, () if new is None else (new,), (old,))

    return edit


def _differing(record: Record, stamp: Stamp, present: Sequence[str], absent: Sequence[str]) -> Record | None:
    lacking = [tag for tag in present if not record.value(f"tag:{tag}")]
    surplus = [tag for tag in absent if record.value(f"tag:{tag}")]
    return tagging(record.key, stamp, lacking, surplus) if lacking or surplus else None


def trash(record: Record, stamp: Stamp) -> Record | None:
    """Moves a live entry to the trash."""
    return None if record.value("trash") else change(record.key, stamp, trash=True)


def restore(record: Record, stamp: Stamp) -> Record | None:
    """Takes an entry out of the trash."""
    return change(record.key, stamp, trash=False) if record.value("trash") else None


def purge(record: Record, stamp: Stamp) -> Record | None:
    """Forgets an entry in the trash for ever."""
    return change(record.key, stamp, purged=True) if record.value("trash") else None
