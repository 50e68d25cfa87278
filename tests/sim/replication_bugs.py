"""Bugs that the simulation must catch, each put into production's code (or, for a disk that lies, under it) for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred

from tagfs.cluster.replication import Freshness
from tagfs.model.entry import is_gone, replacement
from tagfs.model.record import Record, Ref
from tagfs.model.stamp import HybridClock
from tagfs.node.peers.interfaces import Caller
from tagfs.node.replication import arrivals
from tagfs.node.replication.arrivals import Arrivals
from tagfs.node.replication.pull import Puller
from tagfs.node.replication.push import Pusher
from tagfs.node.replication.replication import Replication
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_records import unpack_push
from tests.sim.whole_node import SimCatalog, WholeNode

LIES_S = 0.3
"""How long what a lying disk calls durable can still be lost."""


def acknowledge_before_persist() -> Any:
    """What was acknowledged in the last moments before a crash is not on the disk."""
    merge, crash = SimCatalog.merge, WholeNode.crash
    history: dict[str, list[tuple[float, Any]]] = {}
    clock: dict[str, Callable[[], float]] = {}

    def merged(self: SimCatalog, *arguments: Any) -> Any:
        before = self.snapshot()
        states = merge(self, *arguments)
        now = clock[self.node]() if self.node in clock else 0.0
        history.setdefault(self.node, []).append((now, before))
        del history[self.node][:-20]
        return states

    def crashed(self: WholeNode) -> None:
        crash(self)
        since = self.world.clock.seconds() - LIES_S
        lost = [before for at, before in history.get(self.id, ()) if at >= since]
        if lost:
            self.catalog.put_back(lost[0])

    start = WholeNode.start

    def started(self: WholeNode) -> None:
        clock[self.id] = self.world.clock.seconds
        history.pop(self.id, None)
        start(self)

    return _all(
        patch.object(SimCatalog, "merge", merged),
        patch.object(WholeNode, "crash", crashed),
        patch.object(WholeNode, "start", started),
    )


def merge_by_whole_record() -> Any:
    """The record with the latest write wins whole."""
    return patch(
        "tagfs.storage.memory.merge",
        lambda left, right: right if right.greatest() > left.greatest() and "name" in right.fields else left,
    )


def push_without_vector() -> Any:
    """A push behind a gap is taken as if everything before it were here."""
    return patch.object(arrivals, "_covered", lambda name, push, before: {name: push.last})


def tombstone_dropped_early() -> Any:
    """A tombstone is forgotten soon, not when all have it."""
    merge = SimCatalog.merge
    waiting: dict[str, list[Ref]] = {}

    def merged(self: SimCatalog, changes: Sequence[Record], *more: Any) -> Any:
        self.drop(waiting.pop(self.node, []))
        states = merge(self, changes, *more)
        waiting[self.node] = [state.ref for state in states if state.kind == "entry" and is_gone(state)]
        return states

    return patch.object(SimCatalog, "merge", merged)


def stamp_goes_back() -> Any:
    """After a restart the clock alone decides about stamps."""
    begin = HybridClock.__init__

    def begun(self: HybridClock, node: str, last: int = 0) -> None:
        begin(self, node, 0)

    return patch.object(HybridClock, "__init__", begun)


def complete_without_asking() -> Any:
    """An answer counts as complete as long as something was heard of everybody once."""

    def complete(self: Freshness, peers: Sequence[str], mine: Mapping[str, int], now: float) -> bool:
        return all(node in self._fresh for node in peers)

    return patch.object(Freshness, "complete", complete)


def gap_never_pulled() -> Any:
    """Nobody asks for what did not come by itself."""
    return patch.object(Puller, "want", lambda self, node, needed: None)


def confirm_before_durable() -> Any:
    """A peer confirms what it has only read so far."""
    push = Arrivals.push

    async def confirmed(self: Arrivals, caller: Caller, call: Call) -> Answer:
        Deferred.fromCoroutine(push(self, caller, call)).addErrback(lambda _: None)
        return Answer({"upto": str(unpack_push(call.body).last)})

    return patch.object(Arrivals, "push", confirmed)


def content_not_taken() -> Any:
    """A peer confirms contents that it threw away."""
    read = arrivals.unpack_push

    def without(body: bytes) -> Any:
        push = read(body)
        return push._replace(changes=[change._replace(contents=()) for change in push.changes])

    return patch.object(arrivals, "unpack_push", without)


def loser_not_kept() -> Any:
    """A content that is replaced leaves no version."""

    def replaced(record: Record, *more: Any) -> Record:
        made = replacement(record, *more)
        return made._replace(fields={name: field for name, field in made.fields.items() if name == "content"})

    return patch("tagfs.node.receiving.replacement", replaced)


def sync_does_not_wait() -> Any:
    """SYNC says that all is here without looking."""

    async def sync(self: Replication, seconds: float) -> bool:
        return True

    return patch.object(Replication, "sync", sync)


def counted_when_sent() -> Any:
    """What was sent counts as confirmed, whatever the answer."""
    send = Pusher._send_batch

    async def sent(self: Pusher, items: Any) -> None:
        _, copies = self._packed(items)
        self.confirmed = max(self.confirmed, items[-1].number)
        self._confirm(self.node, copies)
        await send(self, items)

    return patch.object(Pusher, "_send_batch", sent)


BUGS: Mapping[str, Callable[[], Any]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        acknowledge_before_persist,
        merge_by_whole_record,
        push_without_vector,
        tombstone_dropped_early,
        stamp_goes_back,
        complete_without_asking,
        gap_never_pulled,
        confirm_before_durable,
        content_not_taken,
        loser_not_kept,
        sync_does_not_wait,
        counted_when_sent,
    )
}


@contextmanager
def _all(*patches: Any) -> Iterator[None]:
    if not patches:
        yield
        return
    with patches[0], _all(*patches[1:]):
        yield


@contextmanager
def seeded(bug: str | None) -> Iterator[None]:
    """With that bug in the code."""
    if bug is None:
        yield
    else:
        with BUGS[bug]():
            yield
