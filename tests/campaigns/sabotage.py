"""Nodes with a bug seeded on purpose, which only a crash brings to light: a campaign that does not catch them proves nothing.

``python -m tests.campaigns.sabotage BUG -n tagfs …`` runs twistd with that bug.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from blake3 import blake3
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.scripts.twistd import run

from tagfs.model.record import merge_all
from tagfs.node import group_commit
from tagfs.node.receiving import Receiving
from tagfs.node.transfer import Inflow
from tagfs.storage.interfaces import Blob

LATE_S = 0.3


class LateCatalog:
    """A catalog that answers a merge at once, shows its outcome to who asks for the record, and writes it later."""

    waiting: dict[Any, list[Any]] = {}  # noqa: RUF012 - shared by all groups

    def __init__(self, catalog: Any) -> None:
        self._catalog = catalog

    def get(self, refs: Sequence[Any]) -> Sequence[Any]:
        found = []
        for ref, record in zip(refs, self._catalog.get(refs), strict=True):
            states = [*([record] if record else []), *self.waiting.get(ref, [])]
            found.append(merge_all(states) if states else None)
        return found

    def merge(self, changes: Sequence[Any], ready: Callable[[], None] = lambda: None) -> Sequence[Any]:
        ready()
        taken = list(changes)
        for change in taken:
            self.waiting.setdefault(change.ref, []).append(change)
        reactor.callFromThread(reactor.callLater, LATE_S, self._write, taken)  # type: ignore[attr-defined]
        return taken

    def _write(self, taken: list[Any]) -> None:
        self._catalog.merge(taken)
        for change in taken:
            self.waiting[change.ref].remove(change)


def acknowledge_before_commit() -> None:
    """Writes are answered while their records are still on the way to the disk."""
    commit = group_commit._commit
    group_commit._commit = lambda catalog, blobs, group: commit(LateCatalog(catalog), blobs, group)  # type: ignore[arg-type]


def record_before_content() -> None:
    """The record of a large content is durable, and acknowledged, before its bytes are."""
    store, write = Receiving._store, Inflow.write

    def hashing(self: Any, data: bytes) -> Any:
        self.hasher = getattr(self, "hasher", None) or blake3()
        self.hasher.update(data)
        return write(self, data)

    async def early(self: Any, refs: Any, plan: Any) -> Blob:
        inflow = self._inflow
        if inflow.is_small:
            return await store(self, refs, plan)
        blob = Blob(inflow.hasher.digest(), inflow.size)
        await self._core.write(None, refs, lambda _, present: plan(blob, present))
        reactor.callLater(LATE_S, lambda: Deferred.fromCoroutine(inflow.finish()))  # type: ignore[attr-defined]
        return blob

    Inflow.write = hashing  # type: ignore[method-assign]
    Receiving._store = early  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "acknowledge-before-commit": acknowledge_before_commit,
    "record-before-content": record_before_content,
}

if __name__ == "__main__":
    BUGS[sys.argv[1]]()
    del sys.argv[1]
    run()
