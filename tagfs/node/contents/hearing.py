"""What the other nodes hold, as this node is told: all of it where sums differ, then their news, in order. Layer: node."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from tagfs.cluster.placement import PARTITIONS
from tagfs.errors import BadRequest, TagfsError
from tagfs.model.entry import id_bytes
from tagfs.node.contents.serving import Serve, number_of
from tagfs.node.contents.telling import LATER, NEWS, SUM, UNKNOWN, sums
from tagfs.node.offload import Offload
from tagfs.node.peers.interfaces import Caller, IPeers
from tagfs.storage.holdings import HOLDING, ID, joined, split
from tagfs.storage.interfaces import MAX_PAGE, ICatalog
from tagfs.wire.node_messages import Answer, Call

EARLY = 100_000
"""Holdings that are remembered of entries (or contents of theirs) that are not here yet."""
COMPARE_S = 600.0
"""How often sums are compared with those of each live node even if nothing seems to be missing."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""Pauses after a comparison that failed."""
SUMS_S = 30.0
"""How long a node may take to sum up what it holds."""


class Early:
    """Holdings that nodes told before their record came, by entry; the oldest are forgotten beyond ``limit``."""

    def __init__(self, limit: int = EARLY) -> None:
        self._limit = limit
        self._told: OrderedDict[bytes, dict[str, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._told)

    def put(self, node: str, holdings: Iterable[bytes]) -> None:
        """That node has these."""
        for each in holdings:
            self._told.setdefault(each[:ID], {})[node] = each
        while len(self._told) > self._limit:
            self._told.popitem(last=False)

    def take(self, node: str, holdings: Iterable[bytes]) -> None:
        """That node has them no more."""
        for each in holdings:
            told = self._told.get(each[:ID])
            if told is not None and told.get(node) == each:
                del told[node]
                if not told:
                    del self._told[each[:ID]]

    def pop(self, ids: Sequence[str]) -> dict[str, list[bytes]]:
        """What was told of these entries, by node; forgotten here."""
        found: dict[str, list[bytes]] = {}
        for identifier in ids if self._told else ():
            for node, told in self._told.pop(id_bytes(identifier), {}).items():
                found.setdefault(node, []).append(told)
        return found


@define(eq=False)
class _Heard:
    """One other node: the run of its process and up to where its news were taken (-1: the sums come first)."""

    boot: str = ""
    at: int = -1
    lock: DeferredLock = field(factory=DeferredLock)
    comparing: bool = False
    failures: int = 0
    again: IDelayedCall | None = None


class Hearing:
    """Answers ``HOLDS``, and asks for ``SUMS`` and ``HOLDINGS`` (docs/protocols/node.md): of each node that comes alive, of one that
    was started anew, where news are missing, and now and then."""

    log = Logger()

    def __init__(self, catalog: ICatalog, readers: Offload, peers: IPeers, clock: IReactorTime) -> None:
        self._catalog = catalog
        self._readers = readers
        self._peers = peers
        self._clock = clock
        self._nodes: dict[str, _Heard] = {}
        self._alive: frozenset[str] = frozenset()
        self._closed = False
        self.early = Early()

    def serve(self, serve: Serve) -> None:
        """Answers from now on."""
        serve("HOLDS", self._held)

    @property
    def unknown(self) -> int:
        """Live nodes of which it is not known yet what they hold."""
        return sum(self._nodes[node].at < 0 for node in self._alive if node in self._nodes)

    def see(self, alive: Collection[str]) -> None:
        """These other nodes are alive; who was not before is asked what it holds."""
        came = frozenset(alive) - self._alive
        self._alive = frozenset(alive)
        for node, heard in self._nodes.items():
            if node not in self._alive:
                _stop(heard)
        for node in sorted(came):
            heard = self._nodes.setdefault(node, _Heard())
            heard.failures = 0
            self._plan(node, heard, 0)

    def met(self, node: str, boot: str) -> None:
        """That node asks, in this run of its process: if it is a new one, its news begin anew."""
        heard = self._nodes.get(node)
        if heard is not None and boot and heard.boot and heard.boot != boot:
            heard.at = -1
            self._plan(node, heard, 0)

    def close(self) -> None:
        """Asks nothing any more."""
        self._closed = True
        for heard in self._nodes.values():
            _stop(heard)

    async def changed(self, ids: Sequence[str]) -> None:
        """The records of these entries changed here: what was told of them too early may be in time now."""
        for node, holdings in self.early.pop(ids).items():
            await self.note(node, holdings, True)

    async def note(self, node: str, holdings: Sequence[bytes], held: bool) -> None:
        """Notes what a node holds, or holds no more; what comes too early is remembered."""
        for start in range(0, len(holdings), MAX_PAGE):
            part = holdings[start : start + MAX_PAGE]
            if held:
                # Before it is known whether they come too early: a record may come while the catalog is being asked.
                self.early.put(node, part)
            unknown = split(await self._readers.run(partial(self._catalog.note_holders, node, joined(part), held)))
            self.early.take(node, set(part).difference(unknown) if held else unknown)

    async def _held(self, caller: Caller, call: Call) -> Answer:
        boot = call.words[0] if call.words else ""
        start, upto = number_of(call, 1, 0), number_of(call, 2, 0)
        if upto - start != len(call.body) // NEWS or len(call.body) % NEWS:
            raise BadRequest("HOLDS wants as many news as lie between its positions")
        heard = self._nodes.setdefault(caller.node, _Heard())
        if heard.comparing:
            return Answer({"at": LATER})
        if heard.boot != boot or heard.at < 0:
            heard.at = -1
            self._plan(caller.node, heard, 0)
            return Answer({"at": UNKNOWN})
        async with heard.lock:
            if heard.boot != boot or start > heard.at:
                heard.at = -1
                self._plan(caller.node, heard, 0)
                return Answer({"at": UNKNOWN})
            if upto > heard.at:
                await self._take(caller.node, call.body[(heard.at - start) * NEWS :])
                heard.at = upto
            return Answer({"at": str(heard.at)})

    async def _take(self, node: str, news: bytes) -> None:
        """Of several news of one holding the last one counts."""
        last = {news[at + 1 : at + NEWS]: news[at : at + 1] == b"+" for at in range(0, len(news), NEWS)}
        await self.note(node, [each for each, held in last.items() if not held], False)
        await self.note(node, [each for each, held in last.items() if held], True)

    def _plan(self, node: str, heard: _Heard, delay_s: float) -> None:
        if self._closed or heard.comparing or node not in self._alive:
            return
        _stop(heard)
        heard.again = self._clock.callLater(delay_s, self._compare, node, heard)

    def _compare(self, node: str, heard: _Heard) -> None:
        heard.again = None
        heard.comparing = True
        Deferred.fromCoroutine(self._compared(node, heard)).addErrback(
            lambda failure: self.log.failure("what {node} holds could not be taken in", failure, node=node)
        )

    async def _compared(self, node: str, heard: _Heard) -> None:
        delay_s = COMPARE_S
        try:
            async with heard.lock:
                await self._ask(node, heard)
            heard.failures = 0
        except TagfsError as error:
            self.log.debug("{node} does not tell what it holds: {error}", node=node, error=error)
            delay_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**heard.failures)
            heard.failures += 1
        finally:
            heard.comparing = False
            self._plan(node, heard, delay_s)

    async def _ask(self, node: str, heard: _Heard) -> None:
        told = await self._peers.ask(node, Call("SUMS"), SUMS_S)
        boot, at = told.facts.get("boot", ""), told.facts.get("at", "")
        if len(told.body) != SUM * PARTITIONS or not at.isdecimal():
            raise BadRequest(f"{node} answered SUMS with something else")
        known = await sums(self._catalog, self._readers, node)
        differing = [
            partition
            for partition in range(PARTITIONS)
            if told.body[partition * SUM : (partition + 1) * SUM] != known[partition * SUM : (partition + 1) * SUM]
        ]
        for partition in differing:
            await self._ask_partition(node, partition)
        heard.boot, heard.at = boot, int(at)
        if differing:
            self.log.info(
                "took in what {node} holds: {number} of {all} partitions differed",
                node=node,
                number=len(differing),
                all=PARTITIONS,
            )

    async def _ask_partition(self, node: str, partition: int) -> None:
        told: set[bytes] = set()
        words: tuple[str, ...] = (str(partition),)
        while True:
            answer = await self._peers.ask(node, Call("HOLDINGS", words))
            page = split(answer.body)
            if len(answer.body) % HOLDING or (answer.partial and not page):
                raise BadRequest(f"{node} answered HOLDINGS with something else")
            told.update(page)
            if not answer.partial:
                break
            words = (str(partition), page[-1].hex())
        known = set(split(await self._readers.run(lambda: self._catalog.holdings(node, partition))))
        await self.note(node, sorted(known - told), False)
        await self.note(node, sorted(told - known), True)


def _stop(heard: _Heard) -> None:
    again, heard.again = heard.again, None
    if again is not None and again.active():
        again.cancel()
