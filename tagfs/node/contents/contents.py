"""IContents, put together from its parts. Layer: node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from tagfs.cluster.view import View
from tagfs.errors import Corrupt, NotFound, TagfsError
from tagfs.model.entry import Content, Entry
from tagfs.node.contents.copies import Copies as Compared
from tagfs.node.contents.elsewhere import Elsewhere
from tagfs.node.contents.fetching import Fetching
from tagfs.node.contents.giving import MAX_STREAMS, Giving
from tagfs.node.contents.hearing import Hearing
from tagfs.node.contents.interfaces import IContents
from tagfs.node.contents.owing import Owing
from tagfs.node.contents.reading import Allowance, ReadingElsewhere, ReadingOn
from tagfs.node.contents.serving import Serving
from tagfs.node.contents.surplus import DELAY_S, Surplus
from tagfs.node.contents.taking import MAX_RUNS, Taking
from tagfs.node.contents.telling import Telling
from tagfs.node.core import Core
from tagfs.node.interfaces import Copies, Figure, IReading
from tagfs.node.members_only import members_only
from tagfs.node.offload import Offload
from tagfs.node.peers.interfaces import IPeers, IStreamingPeers, Service
from tagfs.node.transfer import Reading
from tagfs.storage.holdings import holding
from tagfs.storage.interfaces import CHUNK, SMALL_CONTENT, IBlobReader

SWEEP_S = 10.0
THREADS = MAX_STREAMS + 2 * MAX_RUNS
"""Threads that move large contents: as many as ever want one, since each waits for another node most of its time."""
READ_AHEAD = 64
"""Pieces (1 MiB) that all readings from other nodes together may hold ahead of their readers."""


@implementer(IContents)
class Contents:
    """The contents of one node in a cluster. ``boot`` names this run of the process, as the others are told by ``peers``. With
    ``threads`` (:data:`THREADS` of them, for this alone), large contents move by threads, and ``peers`` has streams."""

    log = Logger()

    def __init__(
        self,
        core: Core,
        peers: IPeers,
        clock: IReactorTime,
        boot: str,
        drop_after_s: float = DELAY_S,
        threads: Offload | None = None,
    ) -> None:
        self._core = core
        self._peers = peers
        self._clock = clock
        self._view: View | None = None
        self._layout = ""
        self._alive: frozenset[str] = frozenset()
        self._closed = False
        self._sweeping: IDelayedCall | None = None
        self._checking: set[bytes] = set()
        self._compared = Compared(core.catalog, core.blobs)
        self._allowance = Allowance(READ_AHEAD)
        self._serving = Serving(core.blobs, core.transfers, clock, self.damaged)
        self._hearing = Hearing(core.catalog, core.readers, peers, clock)
        self._giving: Giving | None = None
        self._taking: Taking | None = None
        if threads is not None:
            self._giving = Giving(core.blobs, threads, self._serving.notice)
            streaming = cast(IStreamingPeers, peers)
            self._taking = Taking(streaming, threads, clock)
            streaming.serve_streams(members_only(core.node_id, self._seen, self._giving.welcome), self._giving.take)
        self._fetching = Fetching(core.blobs, core.transfers, core.now_ms, self._elsewhere, self._arrived, self._taking)
        self._surplus = Surplus(core, self._compared, peers, clock, self._seen, self._lost, drop_after_s)
        self._telling = Telling(core.catalog, core.readers, peers, clock, boot, self.consider, self._hearing.met)
        self._owing = Owing(
            core,
            self._compared,
            self._fetching,
            clock,
            self._seen,
            self._surplus.watch,
            self._scanned,
            self._telling.poke,
        )
        for part in (self._serving, self._telling, self._hearing, self._surplus):
            part.serve(self._serve)

    def start(self) -> None:
        """Begins: looks through what is here, tells others, fetches what is owed."""
        self._core.listeners.append(self._changed)
        self._core.reports.append(self.figures)
        self._owing.start()
        self._sweep()

    async def stop(self) -> None:
        """Ends everything that is under way; readings that are open fail."""
        self._closed = True
        if self._changed in self._core.listeners:
            self._core.listeners.remove(self._changed)
        if self._sweeping is not None and self._sweeping.active():
            self._sweeping.cancel()
        for part in (self._owing, self._fetching, self._telling, self._hearing, self._serving):
            part.close()
        if self._taking is not None:
            await self._taking.close()

    def see(self, view: View) -> None:
        """See :class:`IContents`."""
        if self._closed:
            return
        self._view = view
        came = view.alive - self._alive
        self._alive = view.alive
        self._core.catalog.note_alive(view.alive)
        if view.layout.id != self._layout:
            self._layout = view.layout.id
            self._surplus.relaid()
            self._owing.relaid()
        others = view.alive - {view.me}
        self._telling.see(others)
        self._hearing.see(others)
        if came:
            self._owing.hurry()

    def fetch(self, digest: bytes, size: int, sources: Sequence[str]) -> Deferred[None]:
        """See :class:`IContents`."""
        return self._fetching.fetch(digest, size, sources)

    def held(self, node: str, contents: Iterable[tuple[str, bytes]], held: bool = True) -> Deferred[None]:
        """See :class:`IContents`."""
        holdings = [holding(identifier, digest) for identifier, digest in contents]

        async def note() -> None:
            await self._hearing.note(node, holdings, held)
            if node == self._core.node_id:
                self._telling.poke()

        return Deferred.fromCoroutine(note())

    async def read(self, entry: Entry, content: Content, offset: int, length: int) -> IReading:
        """See :class:`IContents`."""
        core, digest = self._core, content.digest
        holders = await core.nearby.run(core.readers, lambda: core.catalog.holders(entry.id))
        sources = self._in_turn([node for node in holders if node != core.node_id], digest)

        def elsewhere(start: int, rest: int) -> ReadingElsewhere:
            way = self._elsewhere(digest, content.size, sources)
            return ReadingElsewhere(entry, way, start, rest, self._allowance)

        try:
            reader = await self._open(content)
        except (NotFound, Corrupt) as error:
            if isinstance(error, Corrupt):
                self.damaged(digest)
            reading = elsewhere(offset, length)
            await reading.begin()
            return reading
        begin, end = offset - offset % CHUNK, min(-(-(offset + length) // CHUNK) * CHUNK, content.size)
        here = Reading(entry, reader, core.transfers, begin, end - begin)
        return ReadingOn(here, elsewhere, lambda: self.damaged(digest), offset, length)

    async def _open(self, content: Content) -> IBlobReader:
        core, digest = self._core, content.digest
        if content.size <= SMALL_CONTENT:
            reader = await core.nearby.run(core.transfers, lambda: core.blobs.open_now(digest))
            if reader is not None:
                return reader
        return await core.transfers.run(lambda: core.blobs.open(digest))

    async def copies(self, entry: Entry) -> tuple[Copies, Sequence[str]]:
        """See :class:`IContents`."""
        core, view = self._core, self._view
        holders = await core.readers.run(lambda: core.catalog.holders(entry.id))
        alive = {core.node_id} if view is None else view.alive
        return core.replication.copies(len(alive.intersection(holders))), holders

    def consider(self, ids: Iterable[str]) -> None:
        """See :class:`IContents`."""
        self._owing.consider(ids)

    def damaged(self, digest: bytes) -> None:
        """See :class:`IContents`."""
        if digest not in self._checking and not self._closed:
            self._checking.add(digest)
            Deferred.fromCoroutine(self._check(digest)).addErrback(
                lambda failure: self.log.failure("a damaged content could not be looked at", failure)
            )

    def figures(self) -> Iterable[Figure]:
        """See :class:`IContents`."""
        yield from self._owing.figures()
        yield from self._surplus.figures()
        yield Figure("fetches", "Contents on their way from other nodes.", self._fetching.running)
        yield Figure(
            "fetched_bytes", "Bytes of contents that came from other nodes.", self._fetching.got_bytes, grows=True
        )
        yield Figure("given_bytes", "Bytes of contents given to other nodes.", self._given_bytes, grows=True)
        yield Figure("untold_holdings", "News of copies here that a live node has not taken.", self._telling.untold)
        yield Figure(
            "unknown_holders", "Live nodes of which it is not known yet what they hold.", self._hearing.unknown
        )

    @property
    def _given_bytes(self) -> int:
        return self._serving.given_bytes + (0 if self._giving is None else self._giving.given_bytes)

    def _serve(self, verb: str, service: Service) -> None:
        self._peers.serve(verb, members_only(self._core.node_id, self._seen, service))

    def _seen(self) -> View | None:
        return self._view

    def _in_turn(self, nodes: Sequence[str], digest: bytes) -> list[str]:
        """Nodes in an order that differs from content to content, so that all of them have something to do."""
        turn = digest[0] % len(nodes) if nodes else 0
        return [*nodes[turn:], *nodes[:turn]]

    def _elsewhere(self, digest: bytes, size: int, sources: Sequence[str]) -> Elsewhere:
        return Elsewhere(self._peers, self._core.transfers, self._clock, digest, size, sources, self._others)

    def _others(self) -> Sequence[str]:
        """The other nodes that can be asked now."""
        view = self._view
        return [] if view is None else sorted(view.alive - {view.me})

    def _changed(self, ids: Sequence[str]) -> None:
        if self._telling.ready:
            self._telling.poke()
        else:
            # The scan that is under way may have passed them.
            self._owing.consider(ids)
        if len(self._hearing.early):
            Deferred.fromCoroutine(self._hearing.changed(ids)).addErrback(
                lambda failure: self.log.failure("holdings told early could not be noted", failure)
            )

    async def _arrived(self, digest: bytes) -> None:
        await self._core.readers.run(lambda: self._compared.note(digest, True))
        self._telling.poke()

    async def _lost(self, digest: bytes) -> None:
        self._compared.losses += 1
        await self._core.readers.run(lambda: self._compared.note(digest, False))
        self._telling.poke()

    async def _check(self, digest: bytes) -> None:
        """Reads a content that seems bad again; if it is, it is set aside, and fetched anew where it is owed."""
        core = self._core
        try:
            if await core.transfers.run(lambda: core.blobs.verify(digest)):
                return
        except NotFound:
            pass  # set aside already, by whoever met it first
        except TagfsError as error:
            self.log.warn("a content that seems damaged cannot be looked at: {error}", error=error)
            return
        finally:
            self._checking.discard(digest)
        self.log.error("content {digest} was damaged here and is set aside", digest=digest.hex())
        await self._lost(digest)

    async def _scanned(self) -> None:
        await self._telling.begin()
        await self._surplus.settle()

    def _sweep(self) -> None:
        self._serving.sweep()
        if self._taking is not None:
            self._taking.sweep()
        self._sweeping = self._clock.callLater(SWEEP_S, self._sweep)
