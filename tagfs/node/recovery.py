"""What only this node knew before its cluster forgot it, taken in again as new entries. Layer: node.

A node that was forgotten never merges its old records: the others may have dropped the tombstones of what was deleted meanwhile.
It began anew under another id, with the same contents; once it has all records of the cluster, each old entry is looked at:

- the cluster knows the entry with that content, or purged it: nothing is to be done;
- it was in the trash here: it stays away;
- else a new entry is made of it, with its name, tags and content, under the home ``@recovered`` (``/@recovered`` for people).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from tagfs.errors import BadRequest, TagfsError, Unavailable
from tagfs.model import vocabulary
from tagfs.model.entry import KIND, Entry, creation, digests, entry, entry_id_for_key, home_of, is_gone, is_whole
from tagfs.model.names import check_home
from tagfs.model.paths import RECOVERED
from tagfs.model.record import Record, Ref
from tagfs.node.core import Core
from tagfs.node.durable import write_durably
from tagfs.storage.interfaces import ICatalog
from tagfs.storage.stores import open_catalog

PAGE = 500
"""Old records looked at in one turn of a thread."""
LOOK_S = 1.0
"""Seconds between two looks whether this node has all records of its cluster."""
AGAIN_S = 60.0
"""Seconds after which what failed is tried again."""
DONE_FILE = "recovered.json"
"""In the directory of a former catalog: what became of it. Nothing of it is needed any more."""


class Recovery:
    """Takes in what is in ``formers``, directories of former catalogs named by the ids that this node had. ``ready`` says whether
    this node has heard of everything, and may write."""

    log = Logger()

    def __init__(self, core: Core, clock: IReactorTime, formers: Sequence[Path], ready: Callable[[], bool]) -> None:
        self._core = core
        self._clock = clock
        self._formers = [former for former in formers if not (former / DONE_FILE).exists()]
        self._ready = ready
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        """Begins, where there is something to be done."""
        if self._formers:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)
            self._running.addErrback(
                lambda failure: self.log.failure("what this node knew before could not be taken in", failure)
            )

    async def stop(self) -> None:
        """Goes on at the next start: what was taken in already is not taken in again."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        for former in self._formers:
            while not await self._recover(former):
                await deferLater(self._clock, AGAIN_S)

    async def _recover(self, former: Path) -> bool:
        """Takes in what is in one directory; whether it came to its end."""
        await self._until_ready()
        transfers = self._core.transfers
        try:
            catalog = await transfers.run(lambda: open_catalog(f"sqlite:{former / 'catalog'}", former.name))
            try:
                outcome, lacking = await self._take_in(former.name, catalog)
            finally:
                await transfers.run(catalog.close)
        except TagfsError as error:
            self.log.warn("what {former} knew cannot be looked at now: {error}", former=former, error=error)
            return False
        summary = json.dumps({**outcome, "contents that are not here": lacking}, indent=2, ensure_ascii=False) + "\n"
        await transfers.run(lambda: write_durably(former / DONE_FILE, summary.encode(), 0o600))
        self.log.info(
            "of what this node knew as {id}, {number} entries were taken into /@recovered and {lacking} have no content here; "
            "{directory} may be removed",
            id=former.name,
            number=outcome["recovered"],
            lacking=len(lacking),
            directory=former,
        )
        return True

    async def _until_ready(self) -> None:
        while not self._ready():
            await deferLater(self._clock, LOOK_S)

    async def _take_in(self, former: str, catalog: ICatalog) -> tuple[Counter[str], list[str]]:
        outcome: Counter[str] = Counter({"recovered": 0})
        lacking = []
        after = ""
        while records := await self._core.transfers.run(partial(catalog.records, KIND, after, PAGE)):
            after = records[-1].key
            here = await self._core.readers.run(partial(self._core.catalog.get, [record.ref for record in records]))
            for record, known in zip(records, here, strict=True):
                if not is_whole(record) or _is_known(record, known):
                    outcome["known"] += 1
                elif (old := entry(record)).trashed is not None:
                    outcome["in the trash"] += 1
                else:
                    await self._until_ready()
                    there = await self._store(former, old, catalog)
                    outcome["recovered"] += there
                    if not there:
                        lacking.append(f"{home_of(old)}/{old.name}")
        return outcome, lacking

    async def _store(self, former: str, old: Entry, catalog: ICatalog) -> bool:
        """Makes a new entry of an old one, once only; whether its content is here."""
        core, content = self._core, old.content
        if not await core.transfers.run(lambda: core.blobs.pin(content.digest)):
            return False
        identifier = entry_id_for_key(former, f"{old.id} {content.digest.hex()}")
        stamp = core.stamp()
        definitions = core.definitions(await core.transfers.run(lambda: _spelled(old.tags, catalog)), stamp)
        made = creation(identifier, stamp, old.name, content, core.now_ms(), old.tags, recovered_home(old))
        new = True

        def plan(_blob: object, present: Sequence[Record | None]) -> Sequence[Record]:
            nonlocal new
            new = present[0] is None
            return [made, *definitions] if new else ()

        try:
            blob = await core.transfers.run(lambda: core.blobs.stat(content.digest))
            await core.write(None, (Ref(KIND, identifier),), plan, blob)
        finally:
            core.undefine(definitions)
            core.blobs.unpin(content.digest)
        try:
            if new:
                await core.replication.stored(identifier, content.digest)
        except Unavailable:
            pass  # it is durable here, and the others get their copies when they can
        return True


def recovered_home(old: Entry) -> str:
    """Where a recovered entry is shown in ``/@tree``: as before, below ``@recovered``."""
    home = home_of(old)
    try:
        return check_home(f"{RECOVERED}/{home}" if home else RECOVERED)
    except BadRequest:  # it would be too long
        return RECOVERED


def _is_known(record: Record, known: Record | None) -> bool:
    """Whether the cluster has that content of the entry, or purged it."""
    if known is None:
        return False
    return is_gone(known) or entry(record).content.digest in digests(known)


def _spelled(tags: Sequence[str], catalog: ICatalog) -> list[str]:
    """Tags as they were spelled."""
    found = catalog.get([Ref(vocabulary.KIND, tag) for tag in tags])
    spellings = [record.value("spelling") if record is not None else None for record in found]
    return [spelling if isinstance(spelling, str) else tag for tag, spelling in zip(tags, spellings, strict=True)]
