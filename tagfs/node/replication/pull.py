"""What others have and this node lacks: asked for by vector, page by page, from one node at a time. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from tagfs.errors import BadRequest, Corrupt, NotFound, TagfsError
from tagfs.model.record import Record, Ref, encode
from tagfs.node.core import Core
from tagfs.node.group_commit import News
from tagfs.node.peers.interfaces import Caller, IPeers
from tagfs.storage.interfaces import ICatalog
from tagfs.storage.leaves import record_hash
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call
from tagfs.wire.node_records import (
    PulledPage,
    Vector,
    pack_changes,
    pack_vector,
    read_record,
    unpack_changes,
    unpack_vector,
)

PAGE = 1_000
"""Most records of one page."""
PAGE_BYTES = BODY_LIMIT * 3 // 4
"""Bytes of the records of one page; the rest is for what is said of them."""
PULL_S = 30.0
"""Seconds that a page may take."""
_ORIGIN = 60
"""Bytes counted for one origin's number of a record, generously."""


class Puller:
    """Catches up with one node at a time, so that what several have comes once."""

    log = Logger()

    def __init__(self, core: Core, peers: IPeers, arrived: Callable[[Sequence[Record]], None]) -> None:
        """``arrived`` is told the states that became durable with each page."""
        self.pulled = 0
        """Records that came by pulling since the start."""
        self._core = core
        self._peers = peers
        self._wanted: dict[str, Callable[[], bool]] = {}
        self._arrived = arrived
        self._busy = False
        self._running: Deferred[None] | None = None
        self._stopped = False

    def want(self, node: str, needed: Callable[[], bool]) -> None:
        """Asks that node when its turn comes, unless by then ``needed`` says that it is not needed any more."""
        if not self._stopped:
            self._wanted[node] = needed
            if not self._busy:
                self._busy = True
                self._running = Deferred.fromCoroutine(self._run())

    def stop(self) -> None:
        """Asks nobody any more."""
        self._stopped = True
        self._wanted.clear()
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        try:
            while self._wanted:
                node, needed = next(iter(self._wanted.items()))
                try:
                    if needed():
                        await self._pull(node)
                except TagfsError as error:
                    self.log.info("could not catch up with {node}: {error}", node=node, error=error)
                except Exception:  # noqa: BLE001 - one bad page must not end all catching up
                    if not self._stopped:
                        self.log.failure("catching up with {node} failed", node=node)
                if self._wanted.get(node) is needed:
                    del self._wanted[node]
        finally:
            self._busy = False

    async def _pull(self, node: str) -> None:
        before = self.pulled
        ask_on: Vector = {}
        more = True
        while more:
            mine = self._core.catalog.vector()
            # What came here meanwhile by other ways does not have to come again.
            vector = {name: max(ask_on.get(name, 0), mine.get(name, 0)) for name in {*ask_on, *mine}}
            answer = await self._peers.ask(node, Call("PULL", body=pack_vector(vector)), PULL_S)
            page = unpack_changes(answer.body)
            await self._merge(node, page)
            more, ask_on = answer.partial, page.vector
        if self.pulled > before:
            self.log.debug("caught up with {node}: {number} records", node=node, number=self.pulled - before)

    async def _merge(self, node: str, page: PulledPage) -> None:
        records = [read_record(row) for row in page.rows]
        records += [await self._fetch_record(node, ref) for ref in page.left_out]
        self.pulled += len(records)
        mine = self._core.catalog.vector()
        if records or any(number > mine.get(name, 0) for name, number in page.covered.items()):
            done = await self._core.committer.apply(News(records, page.origins, page.covered))
            self._arrived(done.states)

    async def _fetch_record(self, node: str, ref: Ref) -> Record:
        """A record that is too large for one message; what changes meanwhile makes it begin again."""
        parts: list[bytes] = []
        seen = ""
        while True:
            at = sum(map(len, parts))
            answer = await self._peers.ask(node, Call("RECORD", (ref.kind, ref.key, str(at))), PULL_S)
            if parts and answer.facts.get("state") != seen:
                parts.clear()
                continue
            seen = answer.facts.get("state", "")
            parts.append(answer.body)
            if not answer.partial:
                record = read_record(b"".join(parts))
                if record.ref != ref:
                    raise Corrupt(f"{node} gave another record than the one asked for")
                return record


async def serve_pull(core: Core, caller: Caller, call: Call) -> Answer:
    """PULL: one page of what somebody with the vector in the body lacks."""
    vector = unpack_vector(call.body)
    return await core.readers.run(lambda: read_page(core.catalog, vector))


async def serve_record(core: Core, caller: Caller, call: Call) -> Answer:
    """RECORD kind key offset: the bytes of one record from there on."""
    if len(call.words) != 3 or not call.words[2].isdecimal():
        raise BadRequest("RECORD takes a kind, a key and an offset")
    kind, key, offset = call.words[0], call.words[1], int(call.words[2])
    (record,) = await core.readers.run(lambda: core.catalog.get([Ref(kind, key)]))
    if record is None:
        raise NotFound(f"the record {kind}/{key} is not here")
    data = encode(record)
    part = data[offset : offset + PAGE_BYTES]
    return Answer({"state": record_hash(data).hex()}, body=part, partial=offset + len(part) < len(data))


def read_page(catalog: ICatalog, vector: Vector) -> Answer:
    """One page, cut to what fits in a message; a record that fits in none is named and fetched apart."""
    limit = PAGE
    while True:
        page = catalog.changes(vector, limit)
        rows = [encode(record) for record in page.records]
        about = sum(len(known) for known in page.origins.values()) * _ORIGIN
        size = sum(map(len, rows)) + about
        if size <= PAGE_BYTES or len(rows) <= 1:
            break
        limit = max(1, min(len(rows) - 1, len(rows) * PAGE_BYTES // size))
    left_out: Sequence[Ref] = ()
    if size > PAGE_BYTES:
        rows, left_out = [], [page.records[0].ref]
    return Answer(body=pack_changes(rows, left_out, page), partial=page.more)
