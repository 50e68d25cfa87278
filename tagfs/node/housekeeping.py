"""What a node does by itself, now and then: checkpoints, the end of trash and versions, collection, scrubbing. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from tagfs.errors import TagfsError
from tagfs.model.entry import KIND, change, is_whole, stamp_text, versions_replaced_before
from tagfs.model.record import Record, Ref
from tagfs.node.core import Core
from tagfs.storage.interfaces import MAX_PAGE

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
KEEP_PURGED_MS = 7 * 24 * 3600 * 1000
"""How long a content stays after nothing refers to it any more, and what an unfinished upload left."""
BATCH = 500
"""Entries, contents or records looked at in one step; steps leave room for requests between them."""
ROOM_S = 10.0
"""Seconds between two looks at how much room the disk has."""
COMPACT_BYTES = 64 << 20
SCRUB_BYTES_PER_S = 8 << 20


class Housekeeping:
    """Runs the chores of one node until stopped. A chore that fails is logged and tried again at its next turn."""

    log = Logger()

    def __init__(self, core: Core, clock: IReactorTime, trash_days: int) -> None:
        self._core = core
        self._clock = clock
        self.trash_days = trash_days
        """Days that entries stay in the trash; may be changed at any time."""
        self._calls: dict[str, IDelayedCall] = {}
        self._running: set[Deferred[None]] = set()
        self._stopped = False
        self._scrubbed = b""

    def start(self) -> None:
        """Begins; the first turns come soon, so that what a crash left is found."""
        self._plan("checkpoint", 5 * MINUTE, 5 * MINUTE, self.checkpoint)
        self._plan("room", 0, ROOM_S, self.look_at_room)
        self._plan("trash", MINUTE, HOUR, self.expire_trash)
        self._plan("collection", 2 * MINUTE, HOUR, self.collect)
        self._plan("audit", 10 * MINUTE, DAY, self.audit)
        self._plan("versions", 20 * MINUTE, DAY, self.expire_versions)
        self._plan("scrub", 30 * MINUTE, 1.0, self.scrub)

    async def stop(self) -> None:
        """No new turns; waits for what is under way, which is cancelled."""
        self._stopped = True
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        for running in list(self._running):
            running.cancel()

    def _plan(
        self, name: str, delay_s: float, interval_s: float, chore: Callable[[], Coroutine[object, object, float]]
    ) -> None:
        if self._stopped:
            return

        def turn() -> None:
            del self._calls[name]
            running: Deferred[None] = Deferred.fromCoroutine(self._turn(name, interval_s, chore))
            self._running.add(running)
            running.addBoth(lambda _: self._running.discard(running))

        self._calls[name] = self._clock.callLater(delay_s, turn)

    async def _turn(self, name: str, interval_s: float, chore: Callable[[], Coroutine[object, object, float]]) -> None:
        wait_s = interval_s
        try:
            wait_s = max(interval_s, await chore())
        except TagfsError as error:
            wait_s = max(interval_s, HOUR)
            self.log.warn("{chore} did not finish and will be tried again: {error}", chore=name, error=error)
        except Exception:  # noqa: BLE001 - a chore must not end because of one bad turn
            wait_s = max(interval_s, HOUR)
            if not self._stopped:
                self.log.failure("{chore} failed and will be tried again", chore=name)
        self._plan(name, wait_s, interval_s, chore)

    async def checkpoint(self) -> float:
        """Saves what makes the next start quick."""
        await self._core.transfers.run(self._core.catalog.checkpoint)
        return 0

    async def look_at_room(self) -> float:
        """Notices a disk that becomes full, by whomever, and one that is not any more."""
        core = self._core
        core.notice_room(await core.transfers.run(core.blobs.room))
        return 0

    async def expire_trash(self) -> float:
        """Purges entries that were in the trash for the whole of their time; a later restore elsewhere defeats it.

        Of the nodes of a cluster, one does it: the first live owner of the entry. One whose clock is far off does nothing.
        """
        core = self._core
        before = core.now_ms() - self.trash_days * 24 * 3600 * 1000
        while not core.refusal():
            found = await core.readers.run(lambda: core.catalog.expiring(before, MAX_PAGE))
            ids = list(filter(core.replication.is_first, found))[:BATCH]
            if not ids:
                break
            await core.write(None, [Ref(KIND, identifier) for identifier in ids], self._expire)
            self.log.info("purged {number} entries whose time in the trash was over", number=len(ids))
        return 0

    def _expire(self, _blob: object, present: Sequence[Record | None]) -> Sequence[Record]:
        made = []
        for record in present:
            if record is not None and record.value("trash"):
                ended = stamp_text(record.fields["trash"].stamp)
                made.append(change(record.key, self._core.stamp(record.greatest()), expired=ended))
        return made

    async def expire_versions(self) -> float:
        """Forgets versions that were replaced longer ago than entries stay in the trash; of a cluster, one node does it."""
        core = self._core
        if core.refusal():
            return 0
        first = core.replication.is_first
        before = core.now_ms() - self.trash_days * 24 * 3600 * 1000
        after = ""
        while records := await core.readers.run(lambda after=after: core.catalog.records(KIND, after, BATCH)):  # type: ignore[misc]
            after = records[-1].key
            refs = [
                record.ref
                for record in records
                if is_whole(record) and versions_replaced_before(record, before) and first(record.key)
            ]
            if refs:
                await core.write(None, refs, lambda _blob, present: self._forget_versions(present, before))
        return 0

    def _forget_versions(self, present: Sequence[Record | None], before: int) -> Sequence[Record]:
        made = []
        for record in present:
            if record is not None and is_whole(record):
                fields = dict.fromkeys(versions_replaced_before(record, before))
                made.append(change(record.key, self._core.stamp(record.greatest()), **fields))
        return made

    async def collect(self) -> float:
        """Drops contents to which nothing refers since long enough, and gives their space back.

        What nothing refers to is looked at again and dropped between two group commits: a content that is stored
        anew meanwhile is pinned until its record is there, so it is never dropped. A node that has not got all records
        of its cluster yet does not know what is referred to, and drops nothing.
        """
        core = self._core
        if core.starting:
            return 0
        before = core.now_ms() - KEEP_PURGED_MS
        while digests := await core.readers.run(lambda: core.catalog.orphans(before, BATCH)):
            dropped = await core.committer.exclusive(lambda digests=digests: self._drop(digests))  # type: ignore[misc]
            self.log.info("dropped {number} contents to which nothing refers", number=dropped)
            if dropped < len(digests):
                break
        freed = await core.transfers.run(lambda: core.blobs.compact(COMPACT_BYTES))
        forgotten = await core.transfers.run(lambda: core.blobs.forget_kept(before))
        if freed or forgotten:
            self.log.info("gave back {freed} bytes, forgot {number} unfinished uploads", freed=freed, number=forgotten)
        return 0

    def _drop(self, digests: Sequence[bytes]) -> int:
        core = self._core
        free = core.catalog.unreferenced(digests)
        gone = [digest for digest in free if core.blobs.drop(digest) or core.blobs.stat(digest) is None]
        core.catalog.forget_orphans([*gone, *set(digests).difference(free)])
        return len(gone)

    async def audit(self) -> float:
        """Counts as orphans what a crash left between storing a content and recording it."""
        core = self._core
        if core.starting:
            return 0
        after = b""
        while digests := await core.transfers.run(lambda after=after: core.blobs.digests(after, BATCH)):  # type: ignore[misc]
            after = digests[-1]
            now = core.now_ms()
            await core.committer.exclusive(lambda digests=digests, now=now: core.catalog.note_orphans(digests, now))  # type: ignore[misc]
        return 0

    async def scrub(self) -> float:
        """Reads one content again; returns how long to wait, so that :data:`SCRUB_BYTES_PER_S` is kept on average."""
        core = self._core
        page = await core.transfers.run(lambda: core.blobs.digests(self._scrubbed, 1))
        if not page:
            self._scrubbed = b""
            return HOUR
        digest = self._scrubbed = page[0]
        blob = await core.transfers.run(lambda: core.blobs.stat(digest))
        if blob is None:
            return 0
        if not await core.transfers.run(lambda: core.blobs.verify(digest)):
            self.log.error(
                "the content {digest} on this disk is damaged and was set aside; entries with it cannot be read here",
                digest=digest.hex(),
            )
            if core.contents is not None:
                core.contents.damaged(digest)
        return blob.size / SCRUB_BYTES_PER_S
