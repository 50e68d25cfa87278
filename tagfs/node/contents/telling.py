"""This node tells the others which contents it holds: all of it when asked, then what changes, in order. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

from attrs import define
from blake3 import blake3
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from tagfs.cluster.placement import PARTITIONS
from tagfs.errors import BadRequest, TagfsError, Unavailable
from tagfs.node.contents.serving import Serve, number_of
from tagfs.node.offload import Offload
from tagfs.node.peers.interfaces import Caller, IPeers
from tagfs.storage.holdings import HOLDING, entry_ids, split
from tagfs.storage.interfaces import MAX_PAGE, ICatalog
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call

NEWS = HOLDING + 1
"""Bytes of one piece of news: ``+`` or ``-``, and a holding."""
SUM = 12
"""Bytes of a partition's sum: how many holdings (4, big endian), and the first 8 of their BLAKE3 digest."""
LATER, UNKNOWN = "later", "unknown"
"""What a node answers to news instead of its position: it is just asking for everything; it must ask for everything first."""
REMEMBERED = 200_000
"""Pieces of news that are remembered for those who have not taken them; who is further behind is told everything."""
TOGETHER_S = 0.05
"""How long news are gathered before they are told."""
AGAIN_S = 1.0
"""After which a node that did not take news is told again."""
_PAGE = BODY_LIMIT // HOLDING
_BATCH = BODY_LIMIT // NEWS
_TURN = 16
"""Partitions that are summed up in one turn of a thread."""

Lacking = Callable[[Sequence[str]], None]
"""Told the entries whose contents are lacking here, since lately."""

Met = Callable[[str, str], None]
"""Told which node asked, in which run of its process."""


def sum_of(holdings: bytes) -> bytes:
    """The sum of a partition's holdings (sorted)."""
    return (len(holdings) // HOLDING).to_bytes(4, "big") + blake3(holdings).digest(SUM - 4)


async def sums(catalog: ICatalog, readers: Offload, node: str) -> bytes:
    """The sums of all partitions of what a node is noted to hold."""

    def turn(first: int) -> bytes:
        return b"".join([sum_of(catalog.holdings(node, each)) for each in range(first, first + _TURN)])

    return b"".join([await readers.run(partial(turn, first)) for first in range(0, PARTITIONS, _TURN)])


@define(eq=False)
class _Listener:
    """A node that asked for everything: ``at`` is up to where it has the news."""

    at: int
    busy: bool = False
    again: IDelayedCall | None = None


class Telling:
    """Answers ``SUMS`` and ``HOLDINGS``, and pushes ``HOLDS`` (docs/protocols/node.md) to those who asked for the former.

    What is new comes from :meth:`ICatalog.new_holdings`, which is asked after each :meth:`poke`. ``boot`` names this run of
    the process: positions in the news are of one run.
    """

    log = Logger()

    def __init__(
        self,
        catalog: ICatalog,
        readers: Offload,
        peers: IPeers,
        clock: IReactorTime,
        boot: str,
        lacking: Lacking,
        met: Met,
    ) -> None:
        self._catalog = catalog
        self._readers = readers
        self._peers = peers
        self._clock = clock
        self._boot = boot
        self._lacking = lacking
        self._met = met
        self._news: list[bytes] = []
        self._first = 0
        self._listeners: dict[str, _Listener] = {}
        self._alive: frozenset[str] = frozenset()
        self._gathering: IDelayedCall | None = None
        self._reading = False
        self._poked = False
        self.ready = False
        """Whether this node knows what it holds."""
        self._closed = False

    @property
    def at(self) -> int:
        """The position behind all news."""
        return self._first + len(self._news)

    @property
    def untold(self) -> int:
        """News that the live node furthest behind has not taken."""
        behind = [self.at - each.at for node, each in self._listeners.items() if node in self._alive]
        return max(behind, default=0)

    def serve(self, serve: Serve) -> None:
        """Answers from now on."""
        serve("SUMS", self._sums)
        serve("HOLDINGS", self._holdings)

    async def begin(self) -> None:
        """This node knows now what it holds: that is told when asked for, and news are told from now on."""
        if not self.ready:
            await self._readers.run(self._forget_news)
            self.ready = True
        self.poke()

    def _forget_news(self) -> None:
        while any(self._catalog.new_holdings(MAX_PAGE)):
            pass  # nobody has asked yet: who does is told everything

    def see(self, alive: Collection[str]) -> None:
        """These nodes are alive: they are told at once what they have not heard."""
        self._alive = frozenset(alive)
        for node in self._alive.intersection(self._listeners):
            self._push(node)

    def poke(self) -> None:
        """Something about this node's copies may be new."""
        if not self.ready or self._closed or self._gathering is not None:
            return
        if self._reading:
            self._poked = True
        else:
            self._gathering = self._clock.callLater(TOGETHER_S, self._gather)

    def close(self) -> None:
        """Tells nothing any more."""
        self._closed = True
        calls = [self._gathering, *(each.again for each in self._listeners.values())]
        for call in calls:
            if call is not None and call.active():
                call.cancel()

    def _gather(self) -> None:
        self._gathering = None
        self._reading = True
        Deferred.fromCoroutine(self._read_news()).addErrback(
            lambda failure: self.log.failure("news of holdings could not be read", failure)
        )

    async def _read_news(self) -> None:
        self._poked = False
        try:
            held, lacking = await self._readers.run(lambda: self._catalog.new_holdings(MAX_PAGE))
        finally:
            self._reading = False
        if self._closed:
            return
        if self._poked or len(held) + len(lacking) >= MAX_PAGE * HOLDING:
            self.poke()
        if held or lacking:
            self._take(held, lacking)

    def _take(self, held: bytes, lacking: bytes) -> None:
        self._news.extend(b"+" + each for each in split(held))
        missing = split(lacking)
        self._news.extend(b"-" + each for each in missing)
        if len(self._news) > REMEMBERED:
            surplus = len(self._news) - REMEMBERED // 2
            del self._news[:surplus]
            self._first += surplus
        for node in self._alive.intersection(self._listeners):
            self._push(node)
        if missing:
            self._lacking(entry_ids(lacking))

    def _push(self, node: str) -> None:
        listener = self._listeners.get(node)
        if listener is None:
            return
        if listener.again is not None:
            if listener.again.active():
                listener.again.cancel()
            listener.again = None
        if listener.busy or self._closed or listener.at >= self.at:
            return
        if listener.at < self._first:
            # Too far behind: it will find out by the next sums it asks for, which it does when it hears of a gap.
            listener.at = self.at - 1
        listener.busy = True
        Deferred.fromCoroutine(self._tell(node, listener)).addErrback(
            lambda failure: self.log.failure("news could not be told to {node}", failure, node=node)
        )

    async def _tell(self, node: str, listener: _Listener) -> None:
        start = listener.at
        skip = start - self._first
        body = b"".join(self._news[skip : skip + _BATCH])
        upto = start + len(body) // NEWS
        taken = False
        try:
            answer = await self._peers.ask(node, Call("HOLDS", (self._boot, str(start), str(upto)), body=body))
            told = answer.facts.get("at", "")
            if told == UNKNOWN:
                # It knows nothing of this run: it asks for the sums before it takes any news.
                if self._listeners.get(node) is listener:
                    del self._listeners[node]
                return
            taken = told.isdecimal() and int(told) == upto
            if told.isdecimal() and self._first <= int(told) <= self.at:
                listener.at = max(int(told), listener.at) if taken else int(told)
        except TagfsError as error:
            self.log.debug("{node} did not take news of holdings: {error}", node=node, error=error)
        finally:
            listener.busy = False
        if self._closed or self._listeners.get(node) is not listener:
            return
        if taken:
            self._push(node)
        elif node in self._alive:
            listener.again = self._clock.callLater(AGAIN_S, self._push, node)

    async def _sums(self, caller: Caller, call: Call) -> Answer:
        if not self.ready:
            raise Unavailable("this node has started just now and looks through its contents")
        at = self.at
        body = await sums(self._catalog, self._readers, self._catalog.node)
        self._met(caller.node, caller.boot)
        old = self._listeners.get(caller.node)
        if old is not None and old.again is not None and old.again.active():
            old.again.cancel()
        # What came while the sums were made is told a little later, whether or not anything else comes.
        again = None if self._closed else self._clock.callLater(AGAIN_S, self._push, caller.node)
        self._listeners[caller.node] = _Listener(at, again=again)
        return Answer({"boot": self._boot, "at": str(at)}, body=body)

    async def _holdings(self, _caller: Caller, call: Call) -> Answer:
        partition = number_of(call, 0, PARTITIONS)
        if partition >= PARTITIONS:
            raise BadRequest(f"HOLDINGS wants a partition, 0 to {PARTITIONS - 1}")
        try:
            after = bytes.fromhex(call.words[1]) if len(call.words) > 1 else b""
        except ValueError:
            raise BadRequest("HOLDINGS goes on behind a holding in hex") from None
        found = await self._readers.run(lambda: self._catalog.holdings(self._catalog.node, partition))
        rest = [each for each in split(found) if each > after] if after else split(found)
        return Answer(body=b"".join(rest[:_PAGE]), partial=len(rest) > _PAGE)
