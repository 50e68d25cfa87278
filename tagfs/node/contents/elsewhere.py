"""One content as other nodes have it: verified pieces, from one holder after the other. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from blake3 import blake3
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from tagfs.errors import Corrupt, NotFound, TagfsError, Unavailable
from tagfs.node.contents.serving import PAGE, parts
from tagfs.node.contents.taking import Run, Taking, Wanted
from tagfs.node.offload import Offload
from tagfs.node.peers.interfaces import IPeers
from tagfs.storage.interfaces import CHUNK, DIGEST, IBlobWriter
from tagfs.wire.node_messages import Call

T = TypeVar("T")

PATIENCE_S = (4.0, 8.0, 16.0, 32.0)
"""How long a holder may take for one piece: longer after it failed, less again once it is quick. So a slow one is left soon
where there is another, and a slow network of 64 KiB/s is enough where there is none."""
PAUSE_S = 0.25
"""Before a holder that failed is asked again; twice as long each time."""
PATIENT_WINDOW = 8
"""Pieces of one content under way at most."""
QUICK_S = 0.5
"""A piece that comes sooner lets one more be under way; one that comes later, one less."""


class Piece(NamedTuple):
    """A piece as it came from a holder, and the digest that it should have."""

    number: int
    data: bytes
    wanted: bytes
    holder: str

    @property
    def is_sound(self) -> bool:
        """Whether it has that digest; to be asked in another thread."""
        return blake3(self.data).digest() == self.wanted


class _Attempt(NamedTuple):
    """One question to one holder, and how often it failed before."""

    holder: str
    failures: int
    level: int

    @property
    def patience_s(self) -> float:
        """How long a piece may take."""
        return PATIENCE_S[self.level]


class Elsewhere:
    """A content of ``size`` bytes at other nodes: at ``sources`` as far as is known, in that order, else at any of those that
    are ``live`` now.

    Every piece is a whole chunk and was verified: against the content's digest where there is only one, else against the digests
    of chunks of the holder that gave them. Whoever stores all of it compares the whole with its digest in the end.
    """

    log = Logger()

    def __init__(
        self,
        peers: IPeers,
        offload: Offload,
        clock: IReactorTime,
        digest: bytes,
        size: int,
        sources: Sequence[str],
        live: Callable[[], Sequence[str]],
    ) -> None:
        self.digest = digest
        self.size = size
        self.count = max(1, -(-size // CHUNK))
        """How many pieces there are."""
        self.window = 1
        """How many pieces may well be under way at a time, by how quick they came."""
        self._peers = peers
        self._offload = offload
        self._clock = clock
        self._sources = list(sources)
        self._live = live
        self._failures: dict[str, int] = {}
        self._level: dict[str, int] = {}  # of PATIENCE_S; it stays where a slow holder needs it
        self._hopeless: dict[str, str] = {}
        self._chunks: dict[int, Sequence[bytes]] = {}
        self._asking_chunks = DeferredLock()
        self._told_by = ""
        self._under_way: set[Deferred[Any]] = set()
        self._runs: set[Run] = set()
        self._given_up = False

    def prefer(self, sources: Sequence[str]) -> None:
        """These have it, too."""
        self._sources += [node for node in sources if node not in self._sources]

    async def piece(self, number: int) -> bytes:
        """One piece, counted from 0, verified. Raises Unavailable when nobody has it, or all who have failed."""
        while True:
            found = await self.unverified(number)
            if await self._offload.run(lambda found=found: found.is_sound):  # type: ignore[misc]
                return found.data
            self.blame(found)

    async def unverified(self, number: int) -> Piece:
        """One piece as it came: for who verifies it where it is used; a bad one goes to :meth:`blame`, and is asked for again."""
        wanted = self.digest if self.count == 1 else await self._chunk(number)
        length = min(CHUNK, self.size - number * CHUNK)
        began_s = self._clock.seconds()
        call = Call("CHUNK", (self.digest.hex(), str(number * CHUNK), str(max(1, length))))
        holder, data = await self._ask(call, length)
        quick = self._clock.seconds() - began_s < QUICK_S
        self.window = min(PATIENT_WINDOW, self.window + 1) if quick else max(1, self.window - 1)
        return Piece(number, data, wanted, holder)

    async def run(self, taking: Taking, writer: IBlobWriter, first: int, until: int) -> int:
        """Brings pieces from ``first`` on, before ``until``, verified, to a writer: from one holder, by threads. How many
        came; none where no thread has the time for it. Raises as :meth:`piece`, and what the writer raises."""
        chunks = [await self._chunk(number) for number in range(first, until)]
        attempt = await self._attempt()
        wanted = Wanted(self.digest, self.size, first, chunks)
        run = await taking.begin(attempt.holder, wanted, writer, attempt.patience_s)
        if run is None:
            return 0
        began_s = self._clock.seconds()
        self._runs.add(run)
        if self._given_up:
            run.stream.cut()
        await run.over
        self._runs.discard(run)
        if run.trouble is not None:
            raise run.trouble
        if run.stored:
            self._worked(attempt, (self._clock.seconds() - began_s) / run.stored)
            attempt = attempt._replace(failures=0)
        if run.bad:
            self._blame(attempt.holder, first + run.stored)
        elif run.failed is not None:
            self._failed(attempt, run.failed)
        return run.stored

    def blame(self, piece: Piece) -> None:
        """The piece is not sound: nothing more is asked of who gave it."""
        self._blame(piece.holder, piece.number)

    def _blame(self, holder: str, number: int) -> None:
        self._give_up(holder, f"piece {number} of content {self.digest.hex()} came damaged")

    def distrust(self) -> None:
        """The whole did not match its digest though all pieces did: whoever told the digests of chunks was wrong."""
        self._give_up(self._told_by, "the digests of its chunks were wrong")
        self._chunks.clear()

    def give_up(self) -> None:
        """Nothing more is wanted: what is under way ends, with Unavailable. Harmless when repeated."""
        self._given_up = True
        for waiting in list(self._under_way):
            waiting.cancel()
        for run in self._runs:
            run.stream.cut()

    async def _chunk(self, number: int) -> bytes:
        """The digest of a chunk; pages of them are asked for once, and two are remembered: enough for pieces in order."""
        page = number // PAGE
        if page not in self._chunks:
            async with self._asking_chunks:
                if page not in self._chunks:
                    self._chunks = dict([*list(self._chunks.items())[-1:], (page, await self._page(page))])
        return self._chunks[page][number % PAGE]

    async def _page(self, page: int) -> Sequence[bytes]:
        length = min(PAGE, self.count - page * PAGE) * DIGEST
        self._told_by, body = await self._ask(Call("CHUNKS", (self.digest.hex(), str(page * PAGE))), length)
        return parts(body)

    async def _ask(self, call: Call, length: int) -> tuple[str, bytes]:
        """The first answer with a body of that length, and who gave it, from one holder after the other."""
        while True:
            attempt = await self._attempt()
            began_s = self._clock.seconds()
            try:
                answer = await self._stoppable(self._peers.ask(attempt.holder, call, attempt.patience_s))
                if len(answer.body) != length:
                    raise Corrupt(
                        f"{call.verb} gave {len(answer.body)} bytes of content {self.digest.hex()}, not {length}"
                    )
            except TagfsError as error:
                self._failed(attempt, error)
            else:
                self._worked(attempt, self._clock.seconds() - began_s)
                return attempt.holder, answer.body

    async def _attempt(self) -> _Attempt:
        """Who is asked next; after a pause where that is one who failed. Raises Unavailable where nobody is left."""
        holder = self._choose()
        failures, level = self._failures.get(holder, 0), self._level.get(holder, 0)
        if failures:
            await self._stoppable(self._pause(PAUSE_S * 2 ** (failures - 1)))
        return _Attempt(holder, failures, level)

    def _failed(self, attempt: _Attempt, error: TagfsError) -> None:
        holder = attempt.holder
        if isinstance(error, (NotFound, Corrupt)):
            # Nodes that are only likely to have it are asked, too.
            self._give_up(holder, str(error), expected=isinstance(error, NotFound))
            return
        self._failures[holder] = max(self._failures.get(holder, 0), attempt.failures + 1)
        self._level[holder] = min(len(PATIENCE_S) - 1, max(self._level.get(holder, 0), attempt.level + 1))
        if self._failures[holder] >= len(PATIENCE_S):
            self._give_up(holder, str(error))

    def _worked(self, attempt: _Attempt, piece_s: float) -> None:
        """It gave what was asked for, in so many seconds for a piece."""
        self._failures.pop(attempt.holder, None)
        if attempt.level and piece_s < PATIENCE_S[attempt.level - 1] / 2:
            self._level[attempt.holder] = attempt.level - 1

    async def _stoppable(self, waiting: Deferred[T]) -> T:
        """What comes of it, unless everything is given up meanwhile."""
        self._under_way.add(waiting)
        try:
            return await waiting
        except CancelledError:
            raise Unavailable(f"content {self.digest.hex()} is not wanted any more") from None
        finally:
            self._under_way.discard(waiting)

    def _choose(self) -> str:
        if self._given_up:
            raise Unavailable(f"content {self.digest.hex()} is not wanted any more")
        live = self._live()
        known = [node for node in self._sources if node in live]
        others = [node for node in live if node not in self._sources]
        candidates = [node for node in (*known, *others) if node not in self._hopeless]
        if not candidates:
            raise Unavailable(self._no_holder())
        return min(candidates, key=lambda node: self._failures.get(node, 0))

    def _no_holder(self) -> str:
        reasons = dict(self._hopeless)
        reasons.update({node: "has it, but cannot be reached" for node in self._sources if node not in reasons})
        told = "; ".join(f"{node}: {why}" for node, why in sorted(reasons.items()))
        return f"no node that can be reached now has the content {self.digest.hex()}" + (f" ({told})" if told else "")

    def _give_up(self, holder: str, why: str, expected: bool = False) -> None:
        if holder and holder not in self._hopeless:
            self._hopeless[holder] = why
            self.log.emit(
                LogLevel.debug if expected else LogLevel.warn,
                "node {node} is asked no more for content {digest}: {why}",
                node=holder,
                digest=self.digest.hex(),
                why=why,
            )

    def _pause(self, seconds: float) -> Deferred[None]:
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, waiting.callback, None)
        return waiting
