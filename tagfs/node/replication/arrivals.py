"""What peers push: merged by the one way in for writes, and what must come with it fetched at once. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from blake3 import blake3
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from tagfs.errors import BadRequest, TagfsError
from tagfs.model.entry import KIND, Content
from tagfs.model.record import Record
from tagfs.node.contents.interfaces import IContents
from tagfs.node.core import Core
from tagfs.node.group_commit import News
from tagfs.node.peers.interfaces import Caller, IPeers
from tagfs.node.replication.pull import Puller
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_records import Push, Pushed, Vector, pack_numbers, read_record, unpack_push


class Arrivals:
    """Serves PUSH. ``arrived`` is told the states that became durable with each."""

    log = Logger()

    def __init__(
        self,
        core: Core,
        peers: IPeers,
        puller: Puller,
        arrived: Callable[[Sequence[Record]], None],
    ) -> None:
        self.received = 0
        """Records that others pushed here since the start."""
        self.repeated = 0
        """Those of them that were here already."""
        self._core = core
        self._peers = peers
        self._puller = puller
        self._arrived = arrived

    async def push(self, caller: Caller, call: Call) -> Answer:
        """PUSH origin: changes of the caller. Answered when all is durable, with the number up to which everything of the origin
        is here; ``full`` where the contents did not fit."""
        if len(call.words) != 1 or call.words[0].partition("/")[0] != caller.node:
            raise BadRequest("PUSH takes the caller's own origin")
        (name,) = call.words
        push = unpack_push(call.body)
        records = [read_record(change.data) for change in push.changes]
        full = await self._merge(name, push, records)
        upto = self._upto(name)
        if upto < push.last:
            self._puller.want(caller.node, lambda: self._upto(name) < push.last)
        for change, record in zip(push.changes, records, strict=True):
            if change.fetch and self._core.contents is not None:
                fetching = Deferred.fromCoroutine(
                    self._fetch(self._core.contents, caller.node, name, change.number, record)
                )
                fetching.addErrback(lambda failure: self.log.failure("a content could not be fetched", failure))
        facts = {"upto": str(upto)}
        return Answer({**facts, "full": "1"} if full else facts)

    def _upto(self, name: str) -> int:
        return self._core.catalog.vector().get(name, 0)

    async def _merge(self, name: str, push: Push, records: Sequence[Record]) -> bool:
        """Makes durable what was pushed; whether the contents did not fit."""
        before = self._upto(name)
        self.received += len(records)
        self.repeated += sum(change.number <= before for change in push.changes)
        changes = list(zip(records, push.changes, strict=True))
        numbers = {record.ref: {name: change.number} for record, change in changes}
        covered = _covered(name, push, before)
        contents = [content for change in push.changes for content in change.contents]
        # Behind a gap, nobody else would be offered them as long as it is there; for ever, where the pusher is lost now.
        adopted = () if covered else numbers
        done = await self._core.committer.apply(News(records, numbers, covered, contents, adopted))
        if contents and not done.full:
            self._note_held(changes)
        self._arrived(done.states)
        return done.full

    def _note_held(self, changes: Sequence[tuple[Record, Pushed]]) -> None:
        if self._core.contents is None:
            return
        held = []
        for record, change in changes:
            content = _content(record) if change.contents else None
            # What came along may be a version only: the present content is not always meant for this node.
            if content is not None and content.digest in [blake3(data).digest() for data in change.contents]:
                held.append((record.key, content.digest))
        noting = self._core.contents.held(self._core.node_id, held)
        noting.addErrback(lambda failure: self.log.failure("new contents were not taken note of", failure))

    async def _fetch(self, contents: IContents, source: str, name: str, number: int, record: Record) -> None:
        """Gets a larger content that the pusher waits for, and tells when it is durable."""
        content = _content(record)
        if content is None:
            return
        try:
            await contents.fetch(content.digest, content.size, [source])
            self._core.blobs.unpin(content.digest)
            await contents.held(self._core.node_id, [(record.key, content.digest)])
            await self._peers.ask(source, Call("HELD", (name,), body=pack_numbers([number])))
        except TagfsError as error:
            self.log.info("the content of {entry} did not come at once: {error}", entry=record.key, error=error)


def _covered(name: str, push: Push, before: int) -> Vector:
    """What is here in full with a push. What it leaves out was superseded by what is in it; behind a gap, that proves nothing."""
    return {name: push.last} if before >= push.first - 1 else {}


def _content(record: Record) -> Content | None:
    """What the record's entry consists of, where it is one."""
    value = record.value("content")
    return Content(*value) if record.kind == KIND and value is not None else None  # type: ignore[misc]
