"""What the parts of one node share: stores, threads, clock, vocabulary, and the one way in for writes. Layer: node."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tagfs.errors import ReadOnly, StorageFull
from tagfs.model import entry as entries
from tagfs.model.names import fold
from tagfs.model.record import Record, Ref
from tagfs.model.stamp import ZERO, HybridClock, Stamp
from tagfs.model.users import KIND as USER
from tagfs.model.users import Users
from tagfs.model.vocabulary import KIND as TAG
from tagfs.model.vocabulary import Vocabulary, definition
from tagfs.node.ahead import Ahead
from tagfs.node.contents.interfaces import IContents
from tagfs.node.group_commit import Done, GroupCommit, Plan
from tagfs.node.interfaces import Figure
from tagfs.node.nearby import Nearby
from tagfs.node.offload import Offload
from tagfs.node.recent import Recent
from tagfs.node.replication.interfaces import IReplication, Unreplicated
from tagfs.storage.interfaces import MAX_PAGE, SMALL_CONTENT, Blob, IBlobStore, ICatalog

FULL_BELOW = 2 * SMALL_CONTENT
"""Room in bytes for contents below which a disk counts as full: not even every small one fits."""
ROOM_AGAIN = 2 * FULL_BELOW
"""Room with which it does not any more; more than the bound above, so that one drop does not tell it again and again."""
_RANDOM_BYTES = 10


class Core:
    """The shared parts of one node. ``readers`` answer queries, ``transfers`` move contents, ``writer`` commits; ``pours``
    take large contents from the disk to sockets (without it, ``transfers`` do); ``nearby`` answers short look-ups without any of
    these threads.

    ``now_ms`` is the wall clock in milliseconds since 1970.
    """

    log = Logger()

    def __init__(
        self,
        node_id: str,
        catalog: ICatalog,
        blobs: IBlobStore,
        *,
        writer: Offload,
        readers: Offload,
        transfers: Offload,
        pours: Offload | None = None,
        now_ms: Callable[[], int],
    ) -> None:
        self.node_id = node_id
        self.catalog = catalog
        self.blobs = blobs
        self.writer = writer
        self.readers = readers
        self.transfers = transfers
        self.pours = pours or transfers
        self.nearby = Nearby()
        self.now_ms = now_ms
        self.committer = GroupCommit(writer, catalog, blobs, self._hear)
        self.vocabulary = Vocabulary()
        self.users = Users()
        self.read_only = ""
        self.full = ""
        self.contents: IContents | None = None
        """Where contents are besides here; None on a node that is alone."""
        self.starting = ""
        """Why this node cannot serve everything yet; set by whoever brings it into a cluster."""
        self.listeners: list[Callable[[Sequence[str]], None]] = []
        """Told the ids of changed entries."""
        self.recent = Recent()
        self.learners: list[Callable[[Sequence[Record]], None]] = [self.recent.learn]
        """Told the states of all records that became durable here, whoever wrote them."""
        self.reports: list[Callable[[], Iterable[Figure]]] = [self._queues]
        """Asked for INode.figures; each part of the node that has figures adds its own."""
        self.replication: IReplication = Unreplicated()
        """How far what is written here has come; set by whoever brings this node into a cluster."""
        self.refusal: Callable[[], str] = str
        """Why nothing may be written here of this node's own now, or nothing; set by whoever brings it into a cluster."""
        self.room = blobs.room()
        """Bytes that contents may still take, when it was looked at last."""
        self.changes = 0
        """Writes that became durable here since the start: whoever wants to know whether anything is new compares it."""
        self._clock = HybridClock(node_id, catalog.greatest_stamp)
        self._clock_lock = threading.Lock()
        self._defining: set[str] = set()
        self._random = b""
        self._load(TAG, self.vocabulary.learn)
        self._load(USER, self.users.learn)

    def new_entry_id(self) -> str:
        """A fresh entry id; reactor thread only."""
        if len(self._random) < _RANDOM_BYTES:
            # In one go for many ids: each call lets go of the interpreter lock, and getting it back costs far more.
            self._random = os.urandom(_RANDOM_BYTES * 400)
        random, self._random = self._random[:_RANDOM_BYTES], self._random[_RANDOM_BYTES:]
        return entries.entry_id(self.now_ms(), random)

    def stamp(self, after: Stamp = ZERO) -> Stamp:
        """A new stamp of this node; any thread."""
        with self._clock_lock:
            return self._clock.stamp(self.now_ms(), after)

    def write(
        self, content: bytes | Ahead | None, refs: Sequence[Ref], plan: Plan, large: Blob | None = None
    ) -> Deferred[Done]:
        """:meth:`GroupCommit.write`; what becomes durable is learnt, and a store that stops writing is noticed."""
        return self.committer.write(content, refs, plan, large)

    async def change(self, ref: Ref, plan: Callable[[Record | None, Stamp], Sequence[Record]]) -> Sequence[Record]:
        """Reads one record, merges what ``plan`` makes of it with a fresh stamp; returns the states. Durable."""

        def planned(_blob: object, present: Sequence[Record | None]) -> Sequence[Record]:
            record = present[0]
            return plan(record, self.stamp(record.greatest() if record else ZERO))

        return (await self.write(None, (ref,), planned)).states

    def definitions(self, tags: Iterable[str], stamp: Stamp) -> list[Record]:
        """Definitions, with the spelling given, of those tags that have none; the first to ask defines."""
        made = []
        for tag in tags:
            folded = fold(tag)
            if not self.vocabulary.is_known(folded) and folded not in self._defining:
                self._defining.add(folded)
                made.append(definition(tag, stamp))
        return made

    def undefine(self, definitions: Iterable[Record]) -> None:
        """Those definitions did not become durable after all."""
        self._defining.difference_update(record.key for record in definitions)

    def visible(self, record: Record | None) -> entries.Entry | None:
        """The entry in display spelling, or None where the record is no whole entry."""
        if record is None or not entries.is_whole(record):
            return None
        return self.vocabulary.show_entry(entries.entry(record))

    def _hear(self, outcome: Done | Failure) -> None:
        if isinstance(outcome, Failure):
            self._notice(outcome)
        else:
            self._learn(outcome)

    def _learn(self, done: Done) -> None:
        self.changes += bool(done.states)
        if self.listeners:
            self._tell([state.key for state in done.states if state.kind == entries.KIND])
        for learn in self.learners:
            learn(done.states)
        for state in done.states:
            if state.kind == TAG:
                self.vocabulary.learn(state)
                self._defining.discard(state.key)
            elif state.kind == USER:
                self.users.learn(state)

    def _tell(self, changed: Sequence[str]) -> None:
        for listener in list(self.listeners) if changed else ():
            listener(changed)

    def _queues(self) -> Iterable[Figure]:
        what = "Calls that wait for a thread, or run in one."
        for pool in ("writer", "readers", "transfers", "pours"):
            yield Figure("pool_calls", what, getattr(self, pool).pending, {"pool": pool})
        yield Figure("commit_queue", "Writes that wait for the next group commit.", self.committer.queued)

    def _notice(self, failure: Failure) -> None:
        if failure.check(ReadOnly) and not self.read_only:
            self.read_only = str(failure.value)
            self.log.critical("this node writes nothing more until it is restarted: {why}", why=self.read_only)
        elif failure.check(StorageFull):
            self.notice_room(self.blobs.room())

    def notice_room(self, room: int) -> None:
        """Takes note of how many bytes contents may still take; tells when the disk becomes full, and when that is over."""
        self.room = room
        if room < FULL_BELOW and not self.full:
            self.full = "the disk is full: give the device more space"
            self.log.warn(
                "the disk is full: new contents are refused until the device has more space; {room} bytes are left for "
                "them beside the reserve for deletes and tags",
                room=room,
            )
        elif room >= ROOM_AGAIN and self.full:
            self.full = ""
            self.log.warn("the disk has room again: {room} bytes for new contents", room=room)

    def _load(self, kind: str, learn: Callable[[Record], None]) -> None:
        after = ""
        while page := self.catalog.records(kind, after, MAX_PAGE):
            for record in page:
                learn(record)
            after = page[-1].key
