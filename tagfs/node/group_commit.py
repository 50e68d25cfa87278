"""The group commit of writes: all that queued up while the last group was written become durable together. Layer: node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from time import monotonic
from typing import NamedTuple, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tagfs.errors import StorageFull, Unavailable
from tagfs.model.record import Record, Ref
from tagfs.node.ahead import GROUP, MAX_GROUP_BYTES, Ahead, Contents
from tagfs.node.offload import Offload
from tagfs.storage.interfaces import MAX_BATCH, SMALL_CONTENT, Blob, IBlobStore, ICatalog, Numbered

T = TypeVar("T")

SLOW_S = 0.004
"""Seconds that a commit takes where the device is slow. Where it is not, the threads wait longer for each other than for it."""
NEWEST_SHARE = 0.2
"""How much the last commit counts among those before it."""
Plan = Callable[[Blob | None, Sequence[Record | None]], Sequence[Record]]
"""From the stored content and the present states of the records asked for, the changes to merge. Runs on the
writer's thread, must not block, and may raise a TagfsError: then this write alone fails."""


class Done(NamedTuple):
    """A durable write: its content, and the states that its changes gave. ``full``: there was no room for the contents
    that came with another node's records; the records are durable all the same."""

    blob: Blob | None
    states: Sequence[Record]
    full: bool = False


class News(NamedTuple):
    """Records of other nodes, with what :meth:`ICatalog.merge <tagfs.storage.interfaces.ICatalog.merge>` takes beside them,
    and small contents that came along."""

    records: Sequence[Record]
    origins: Mapping[Ref, Mapping[str, int]]
    covered: Mapping[str, int]
    contents: Sequence[bytes] = ()
    adopted: Collection[Ref] = ()


class Stored(NamedTuple):
    """A content that became durable with a write of the entry ``ref``; ``data`` is the content itself where it is small."""

    ref: Ref
    blob: Blob
    data: bytes | None


Durable = Callable[[Sequence[Numbered], Sequence[Stored]], None]
"""Told after each group, on the reactor thread, before whoever wrote: the numbers that it gave, and the new contents."""


@define(eq=False)
class _Write:
    content: bytes | None
    refs: Sequence[Ref]
    plan: Plan
    large: Blob | None = None
    ahead: Ahead | None = None
    news: News | None = None
    answer: Deferred[Done] = field(factory=Deferred)
    outcome: Done | Failure | None = None

    @property
    def contents(self) -> Sequence[bytes]:
        """What it stores in the blob store."""
        if self.news is not None:
            return self.news.contents
        return () if self.content is None or self.ahead is not None else (self.content,)

    @property
    def records(self) -> int:
        """About how many records it changes."""
        return max(1, len(self.refs) if self.news is None else len(self.news.records))


class GroupCommit:
    """Makes writes durable together: whatever queued up while the last group was written is the next group.

    One group is one fsync of contents and one of records, however many writes it holds. Groups follow one another
    on one thread, so a write sees all that was acknowledged before it, and whatever else must not run beside
    writes (:meth:`exclusive`) takes its turn in the same queue.
    """

    def __init__(
        self,
        offload: Offload,
        catalog: ICatalog,
        blobs: IBlobStore,
        heard: Callable[[Done | Failure], None] = lambda outcome: None,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        """``heard`` is told each outcome on the reactor thread, before whoever asked for it; ``now_s`` is a clock in seconds that
        never goes back."""
        self._offload = offload
        self._catalog = catalog
        self._blobs = blobs
        self._heard = heard
        self._now_s = now_s
        self._took_s = 0.0
        self._ahead = Contents(blobs, offload.run)
        self._durable: Durable | None = None
        self._numbered: list[Numbered] = []
        self._queue: deque[_Write] = deque()
        self._running = False
        self._ended: deque[tuple[object, list[_Write], list[Numbered]]] = deque()
        self._telling = False
        self._closed = False
        self._idle: list[Deferred[None]] = []

    @property
    def queued(self) -> int:
        """Writes that wait for the next group."""
        return len(self._queue)

    def watch(self, durable: Durable) -> None:
        """From now on tells ``durable`` what each group made durable that other nodes want; there is one such."""
        self._durable = durable
        self._catalog.watch(lambda numbered: self._numbered.append(numbered))

    def write(
        self, content: bytes | Ahead | None, refs: Sequence[Ref], plan: Plan, large: Blob | None = None
    ) -> Deferred[Done]:
        """Stores a small content (or none), reads ``refs``, merges what ``plan`` makes of both; fires when durable.

        The content stays pinned until its records are merged; one that is stored ahead is released then. ``large`` names a
        content that is stored already, which the first change makes that of an entry.
        """
        ahead = None
        if content is not None and not isinstance(content, bytes):
            ahead, content = content, content.content
        assert content is None or len(content) <= SMALL_CONTENT
        return self._enter(_Write(content, refs, plan, large, ahead))

    @property
    def is_slow(self) -> bool:
        """Whether commits lately took so long that it is worth a thread more to store contents ahead of them."""
        return self._took_s > SLOW_S

    def store_ahead(self, content: bytes) -> Ahead:
        """Begins to store a small content beside the groups, for a :meth:`write` that follows, or that is released."""
        return self._ahead.store(content)

    def apply(self, news: News) -> Deferred[Done]:
        """Stores and merges what came from another node; fires when durable. The contents may be missing where the disk is
        full, the records not."""
        assert len(news.records) <= MAX_BATCH
        return self._enter(_Write(None, (), _nothing, news=news))

    def _enter(self, write: _Write) -> Deferred[Done]:
        if self._closed:
            if write.ahead is not None:
                write.ahead.release()
            write.answer.errback(Failure(Unavailable("the node is stopping; nothing was written")))
            return write.answer
        self._queue.append(write)
        if not self._telling:
            self._begin()
        return write.answer

    async def exclusive(self, call: Callable[[], T]) -> T:
        """The result of ``call``, run between two groups."""
        result: list[T] = []

        def plan(_blob: Blob | None, _records: Sequence[Record | None]) -> Sequence[Record]:
            result.append(call())
            return ()

        await self.write(None, (), plan)
        return result[0]

    async def close(self) -> None:
        """Takes nothing new, and waits until what was taken is durable."""
        self._closed = True
        while self._running or self._telling or self._queue:
            waiting: Deferred[None] = Deferred()
            self._idle.append(waiting)
            await waiting

    def _begin(self) -> None:
        if self._running or not self._queue:
            return
        self._running = True
        group = self._take()
        numbered = self._numbered = []
        self._offload.run(lambda: self._timed(group)).addBoth(self._end, group, numbered)

    def _timed(self, group: list[_Write]) -> None:
        """In another thread: commits, and notes how long that took."""
        begun_s = self._now_s()
        try:
            _commit(self._catalog, self._blobs, group)
        finally:
            self._took_s += (self._now_s() - begun_s - self._took_s) * NEWEST_SHARE

    def _take(self) -> list[_Write]:
        group: list[_Write] = []
        records = size = 0
        while self._queue and len(group) < GROUP:
            write = self._queue[0]
            size += sum(map(len, write.contents))
            records += write.records
            if group and (size > MAX_GROUP_BYTES or records * 2 > MAX_BATCH):
                break
            group.append(self._queue.popleft())
        return group

    def _end(self, result: object, group: list[_Write], numbered: list[Numbered]) -> None:
        self._running = False
        self._ended.append((result, group, numbered))
        if len(self._queue) * 2 >= GROUP:
            self._begin()
        if self._telling:
            return  # the call further out goes on with it
        # While few wait, the next group begins when all have heard, not with the first that asks for more: what they ask
        # for now becomes one group. Many do not wait: while they are written, the others hear and ask for more.
        self._telling = True
        while self._ended:
            self._tell(*self._ended.popleft())
        self._telling = False
        self._begin()
        if not self._running:
            waiting, self._idle = self._idle, []
            for idle in waiting:
                idle.callback(None)

    def _tell(self, result: object, group: list[_Write], numbered: list[Numbered]) -> None:
        if self._durable is not None and numbered:
            self._durable(numbered, _stored(group))
        for write in group:
            outcome = write.outcome
            if outcome is None:
                assert isinstance(result, Failure)
                outcome = result
            self._heard(outcome)
            write.answer.callback(outcome)


def _nothing(_blob: Blob | None, _present: Sequence[Record | None]) -> Sequence[Record]:
    return ()


def _stored(group: Sequence[_Write]) -> list[Stored]:
    """The new contents of entries among the outcomes of a group."""
    found = []
    for write in group:
        done = write.outcome
        if isinstance(done, Done) and done.states:
            blob = done.blob or write.large
            if blob is not None:
                found.append(Stored(done.states[0].ref, blob, write.content))
    return found


def _commit(catalog: ICatalog, blobs: IBlobStore, group: Sequence[_Write]) -> None:
    """Makes a group durable and gives each write its outcome; a write whose plan fails does not touch the others.

    What came from other nodes is merged first, so that the plans see it.
    """
    news = [write for write in group if write.news is not None]
    local = [write for write in group if write.news is None] if news else group
    ahead = [write.ahead for write in local if write.ahead is not None]
    waited = ahead
    if news or len(ahead) < len(local):
        local, waited = _wait_for_each(local), []
    contents = [content for write in (*local, *news) for content in write.contents]
    try:
        stored = blobs.put_many(contents) if contents else ()
    except StorageFull:
        # Deletes and changes of tags that came along need no room for contents, nor do records of other nodes.
        full = Failure()
        for write in local:
            write.outcome = None if write.content is None else full
        stored, local = (), [write for write in local if write.content is None]
    try:
        _merge_news(catalog, news, full=bool(contents) and not stored)
        refs = [ref for write in local for ref in write.refs]
        _merge_planned(catalog, local, iter(stored), iter(catalog.get(refs) if refs else ()), waited)
    finally:
        for blob in stored:
            blobs.unpin(blob.digest)
        for each in ahead:
            each.release()


def _wait_for_each(group: Sequence[_Write]) -> list[_Write]:
    """Those writes of a mixed group whose contents could be stored ahead, if they have one: the others fail alone."""
    fit = []
    for write in group:
        try:
            if write.ahead is not None:
                write.ahead.wait()
        except Exception:  # noqa: BLE001 - the failure goes to whoever asked for this write
            write.outcome = Failure()
        else:
            fit.append(write)
    return fit


def _merge_news(catalog: ICatalog, group: Sequence[_Write], full: bool) -> None:
    """One merge for all of them: they are whole states, so their order does not matter."""
    records: list[Record] = []
    origins: dict[Ref, dict[str, int]] = {}
    covered: dict[str, int] = {}
    adopted: set[Ref] = set()
    for write in group:
        assert write.news is not None
        records += write.news.records
        for ref, numbers in write.news.origins.items():
            _raise(origins.setdefault(ref, {}), numbers)
        _raise(covered, write.news.covered)
        adopted.update(write.news.adopted)
    try:
        states = catalog.merge(records, origins, covered, adopted) if group else ()
    except Exception:  # noqa: BLE001 - the failure goes to whoever brought them; what was written here is tried all the same
        for write in group:
            write.outcome = Failure()
        return
    at = 0
    for write in group:
        assert write.news is not None
        size = len(write.news.records)
        write.outcome = Done(None, states[at : at + size], full and bool(write.news.contents))
        at += size


def _raise(known: dict[str, int], numbers: Mapping[str, int]) -> None:
    for name, number in numbers.items():
        known[name] = max(number, known.get(name, 0))


def _merge_planned(
    catalog: ICatalog,
    group: Sequence[_Write],
    stored: Iterator[Blob],
    records: Iterator[Record | None],
    ahead: Sequence[Ahead],
) -> None:
    """Merges what the writes plan; before that is made durable, what is stored ``ahead`` is."""
    changes: list[Record] = []
    planned: list[tuple[_Write, Blob | None, int]] = []

    def ready() -> None:
        for each in ahead:
            each.wait()

    def merge() -> None:
        states: Sequence[Record] = ()
        if changes:
            states = catalog.merge(changes, ready=ready) if ahead else catalog.merge(changes)
        at = 0
        for write, blob, size in planned:
            write.outcome = Done(blob, states[at : at + size])
            at += size
        changes.clear()
        planned.clear()

    for write in group:
        blob = None if write.content is None else write.ahead.blob if write.ahead is not None else next(stored)
        present = [next(records) for _ in write.refs]
        try:
            made = write.plan(blob, present)
        except Exception:  # noqa: BLE001 - the failure goes to whoever asked for this write
            write.outcome = Failure()
            continue
        assert len(made) <= MAX_BATCH, "one write plans more changes than the catalog takes at once"
        if len(changes) + len(made) > MAX_BATCH:
            merge()
        changes.extend(made)
        planned.append((write, blob, len(made)))
    merge()
