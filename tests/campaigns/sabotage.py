"""Nodes with a bug seeded on purpose: a campaign that does not catch them proves nothing.

``python -m tests.campaigns.sabotage BUG -n tagfs …`` runs twistd with that bug.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import reactor
from twisted.scripts.twistd import run

from tagfs.node import offload
from tagfs.node.receiving import Receiving


def acknowledge_before_commit() -> None:
    """Writes are answered while their group is still on its way to the disk."""
    commit = offload._commit

    def late(catalog: Any, blobs: Any, group: Sequence[Any]) -> None:
        commit(Late(catalog), blobs, group)

    class Late:
        """A catalog whose merge answers from a copy of the changes and writes half a second later."""

        def __init__(self, catalog: Any) -> None:
            self._catalog = catalog

        def __getattr__(self, name: str) -> Any:
            return getattr(self._catalog, name)

        def merge(self, changes: Sequence[Any]) -> Sequence[Any]:
            taken = list(changes)
            reactor.callFromThread(reactor.callLater, 0.5, self._catalog.merge, taken)  # type: ignore[attr-defined]
            return taken

    offload._commit = late


def record_before_content() -> None:
    """The record of a large content is durable before its bytes are."""
    store = Receiving._store

    async def early(self: Receiving, refs: Any, plan: Any) -> None:
        inflow = self._inflow
        if inflow.is_small:
            await store(self, refs, plan)
            return
        from blake3 import blake3

        from tagfs.storage.interfaces import Blob

        whole = Blob(blake3(str(inflow.size).encode()).digest(), inflow.size)
        await self._core.write(None, refs, lambda _, present: plan(whole, present))
        await inflow.finish()

    Receiving._store = early  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "acknowledge-before-commit": acknowledge_before_commit,
    "record-before-content": record_before_content,
}

if __name__ == "__main__":
    BUGS[sys.argv[1]]()
    del sys.argv[1]
    run()
