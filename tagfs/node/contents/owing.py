"""Contents that this node is to hold and lacks: found, queued, fetched, until every entry has its copies. Layer: node."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

from tagfs.cluster.repair import Owed, OwedQueue
from tagfs.cluster.view import View
from tagfs.errors import StorageFull, TagfsError
from tagfs.model.entry import partition
from tagfs.node.contents.copies import Copies
from tagfs.node.contents.fetching import Fetching
from tagfs.node.contents.pace import Pace
from tagfs.node.core import Core
from tagfs.node.interfaces import Figure
from tagfs.storage.interfaces import Reference

PARALLEL = 4
"""Owed contents that are fetched at a time."""
BYTES_PER_S = 128 << 20
"""Bytes of owed contents that are fetched in a second at most, so that people's transfers have room."""
LOOK_AT_ONCE = 256
"""Entries that are looked at in one turn of a thread."""
MAX_LOOKS = 50_000
"""Entries that may wait to be looked at; beyond that a scan finds them."""
SCAN_S = 3600.0
"""How often everything is looked at, though nothing seems to be missing."""
SCAN_SOON_S = 1.0
SCAN_AGAIN_S = 60.0
PROGRESS_S = 10.0
FULL_PAUSE_S = 15.0
"""How long nothing is fetched after the disk was full."""

Surplus = Callable[[Sequence[Reference]], None]
"""Told, during a scan, the references to contents that are here."""


class Owing:
    """Keeps the queue of what this node owes itself. ``scanned`` is awaited after each look at everything,
    ``noted`` called where contents were noted that turned out to be here."""

    log = Logger()

    def __init__(
        self,
        core: Core,
        copies: Copies,
        fetching: Fetching,
        clock: IReactorTime,
        view: Callable[[], View | None],
        surplus: Surplus,
        scanned: Callable[[], Awaitable[None]],
        noted: Callable[[], None],
    ) -> None:
        self._core = core
        self._copies = copies
        self._fetching = fetching
        self._clock = clock
        self._view = view
        self._surplus = surplus
        self._scanned = scanned
        self._noted = noted
        self._pace = Pace(clock, BYTES_PER_S)
        self._looks: deque[str] = deque()
        self._looking = False
        self._scanning = False
        self._calls: dict[str, IDelayedCall] = {}
        self._running = 0
        self._closed = False
        self._full_until_s = 0.0
        self._began_s: float | None = None
        self._done_before = 0
        self.queue = OwedQueue()

    def start(self) -> None:
        """Looks at everything, now and then again."""
        self._call("scan", 0, self._scan)

    def close(self) -> None:
        """Fetches nothing more."""
        self._closed = True
        for call in self._calls.values():
            if call.active():
                call.cancel()

    def relaid(self) -> None:
        """Another layout: what is owed is another thing now."""
        self.queue.clear()
        self._call("scan", SCAN_SOON_S, self._scan)

    def hurry(self) -> None:
        """A node came: what could not be fetched may be there."""
        self.queue.hurry(self._clock.seconds())
        self._fill()

    def consider(self, ids: Iterable[str]) -> None:
        """This node lacks (or seems to lack) contents of these entries."""
        self._looks.extend(ids)
        while len(self._looks) > MAX_LOOKS:
            self._looks.popleft()
            self.queue.overflowed = True
        if not self._looking and not self._closed:
            self._looking = True
            Deferred.fromCoroutine(self._look()).addErrback(
                lambda failure: self.log.failure("contents that are lacking could not be looked for", failure)
            )

    def figures(self) -> Iterable[Figure]:
        """For INode.figures."""
        queue = self.queue
        yield Figure("owed_contents", "Contents that this node is to hold and does not yet.", len(queue))
        yield Figure("owed_bytes", "Their bytes.", queue.owed_bytes)
        yield Figure("repaired_contents", "Contents that were owed and came.", queue.done, grows=True)
        yield Figure("repaired_bytes", "Their bytes.", queue.done_bytes, grows=True)
        yield Figure("repair_failures", "Attempts to fetch one that did not succeed.", queue.failed, grows=True)

    async def _look(self) -> None:
        try:
            while self._looks and not self._closed:
                part = [self._looks.popleft() for _ in range(min(LOOK_AT_ONCE, len(self._looks)))]
                found = await self._core.readers.run(lambda part=part: self._copies.look(part))  # type: ignore[misc]
                if any(each.here for each in found):
                    self._noted()
                await self._owe(
                    [Owed(each.content.digest, each.content.size, each.id) for each in found if not each.here]
                )
        finally:
            self._looking = False

    async def _owe(self, missing: Sequence[Owed]) -> None:
        """Queues those of the missing contents that are owed here."""
        view = self._view()
        if view is None:
            return
        owed = [each for each in missing if self._is_owed(view, each.entry)]
        if owed:
            holders = self._core.catalog.holders
            known = await self._core.readers.run(lambda: [holders(each.entry) for each in owed])
            for each, nodes in zip(owed, known, strict=True):
                self.queue.add(each, len(view.alive.intersection(nodes)), self._clock.seconds())
            self._fill()

    def _is_owed(self, view: View, entry_id: str) -> bool:
        return view.me in view.layout.owners(partition(entry_id))

    def _scan(self) -> None:
        if self._scanning:
            self._call("scan", SCAN_SOON_S, self._scan)
            return
        self._scanning = True
        Deferred.fromCoroutine(self._look_at_everything()).addErrback(
            lambda failure: self.log.failure("looking through all contents failed", failure)
        )

    async def _look_at_everything(self) -> None:
        next_s = SCAN_S
        try:
            self.queue.overflowed = False
            place: bytes | None = b""
            while place is not None and not self._closed:
                page = await self._core.readers.run(lambda place=place: self._copies.scan(place))  # type: ignore[misc]
                self._surplus(page.here)
                await self._owe_references(page.lacking)
                place = page.next
            if not self._closed:
                await self._scanned()
        except TagfsError as error:
            next_s = SCAN_AGAIN_S
            self.log.warn("looking through all contents did not come to its end: {error}", error=error)
        finally:
            self._scanning = False
            if "scan" not in self._calls or not self._calls["scan"].active():
                self._call("scan", next_s, self._scan)

    async def _owe_references(self, lacking: Sequence[Reference]) -> None:
        view = self._view()
        owed = [each for each in lacking if view is not None and self._is_owed(view, each.id)]
        known = {each.digest for each in owed}
        if known:
            found = await self._core.readers.run(lambda: self._copies.contents_of(owed))
            await self._owe([Owed(each.digest, content.size, each.id) for each, content in found])

    def _fill(self) -> None:
        """Fetches the next ones."""
        now_s = self._clock.seconds()
        while self._running < PARALLEL and not self._closed and now_s >= self._full_until_s:
            owed = self.queue.take(now_s)
            if owed is None:
                break
            if self._began_s is None:
                self._began_s, self._done_before = now_s, self.queue.done
                self.log.debug("{number} contents ({bytes} bytes) are owed to this node", **self._figures())
                self._call("progress", PROGRESS_S, self._tell_progress)
            self._running += 1
            Deferred.fromCoroutine(self._fetch(owed)).addErrback(
                lambda failure: self.log.failure("an owed content could not be fetched", failure)
            )
        due_s = self.queue.next_due_s()
        if due_s is not None or now_s < self._full_until_s:
            self._call("due", max(due_s or 0, self._full_until_s, now_s + 0.1) - now_s, self._fill)
        if not self._running:
            self._rest(now_s)

    async def _fetch(self, owed: Owed) -> None:
        core, digest = self._core, owed.digest
        try:
            if await core.readers.run(lambda: core.catalog.unreferenced((digest,))):
                self.queue.forget(digest)
                return
            sources = await self._sources(owed)
            await self._fetching.fetch(digest, owed.size, sources, self._pace)
            core.blobs.unpin(digest)
            self.queue.succeeded(digest)
        except TagfsError as error:
            failures = self.queue.fail(digest, self._clock.seconds())
            if isinstance(error, StorageFull):
                self._full_until_s = self._clock.seconds() + FULL_PAUSE_S
                self.log.warn("contents that this node owes itself do not fit: {error}", error=error)
            elif failures in (1, 10):
                self.log.warn(
                    "content {digest} of entry {entry} did not come and will be tried again: {error}",
                    digest=digest.hex(),
                    entry=owed.entry,
                    error=error,
                )
        finally:
            self._running -= 1
            self._fill()

    async def _sources(self, owed: Owed) -> Sequence[str]:
        """Who is known to have it, then who is to have it, each in an order of its own for each content."""
        view = self._view()
        assert view is not None
        holders = await self._core.readers.run(lambda: self._core.catalog.holders(owed.entry))
        known = [node for node in holders if node != view.me]
        turn = owed.digest[0] % len(known) if known else 0
        owners = [node for node in view.layout.owners(partition(owed.entry)) if node != view.me and node not in known]
        return [*known[turn:], *known[:turn], *owners]

    def _rest(self, now_s: float) -> None:
        """Nothing runs: it is over, or waits."""
        if self._began_s is not None and not len(self.queue):
            took_s = now_s - self._began_s
            # A few come and go with every upload elsewhere: people want to hear of what takes a while.
            self.log.emit(
                LogLevel.debug if took_s < PROGRESS_S else LogLevel.info,
                "all contents that were owed to this node are here: {number} in {seconds} s",
                number=self.queue.done - self._done_before,
                seconds=round(took_s, 1),
            )
            self._began_s = None
        if self.queue.overflowed and len(self.queue) < self.queue.limit // 2:
            self._call("scan", SCAN_SOON_S, self._scan)

    def _tell_progress(self) -> None:
        if self._began_s is not None:
            self.log.info(
                "{number} contents ({bytes} bytes) are still owed to this node; {came} came, {failed} attempts failed",
                came=self.queue.done - self._done_before,
                failed=self.queue.failed,
                **self._figures(),
            )
            self._call("progress", PROGRESS_S, self._tell_progress)

    def _figures(self) -> dict[str, int]:
        return {"number": len(self.queue), "bytes": self.queue.owed_bytes}

    def _call(self, name: str, delay_s: float, what: Callable[[], None]) -> None:
        """Calls it then, instead of when it was to be called before."""
        if self._closed:
            return
        before = self._calls.get(name)
        if before is not None and before.active():
            before.cancel()
        self._calls[name] = self._clock.callLater(delay_s, what)
