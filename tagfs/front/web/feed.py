"""What is new, for all who listen to events: gathered once, told to each as fast as it takes it, in bounded memory. Layer: front.

An event is always a whole present state, never a difference: of the figures, the nodes, repair, or one entry. So an entry that changes ten
times while a listener is slow or away is told once, as it is then, and nothing is kept for anybody. Where more entries changed than
are remembered, the listener is told just that (``reset``), and asks again for what it shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import orjson
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from tagfs.errors import Unavailable
from tagfs.front.web.outflow import fire
from tagfs.front.web.recent import MOST as MOST_PENDING
from tagfs.front.web.recent import Recent, State
from tagfs.front.web.shapes import entry_value, node_value
from tagfs.model.entry import Entry
from tagfs.model.order import Scope
from tagfs.model.principal import Principal, Role
from tagfs.model.query import Or, Text
from tagfs.node.interfaces import INode

EVERY_S = 1.0
"""How often the node is asked, while somebody listens."""
SOON_S = 0.2
"""How soon it is asked when entries have changed: many changes within that time cost one question."""
MOST = 256
"""Listeners at a time."""
AT_ONCE = 256
"""Entries that are asked for in one go."""
PIECE = 1 << 17
"""Bytes that one listener is sent at a time, but for an event that is longer."""
_READER = Principal("events", Role.READ)
"""Who asks for all listeners; each of them was let in by its own rights."""
_FIGURES = ("entries", "trash", "tags", "bytes", "changes")
_REPAIR = ("owed_contents", "owed_bytes", "fetches", "repaired_contents", "repaired_bytes", "repair_failures")
"""What the node reports of repair, where it is in a cluster."""
_RESET = orjson.dumps({"reason": "more entries changed than are remembered; ask again for what you show"})


@define
class Place:
    """How far a listener is: it has the states of figures, nodes and repair up to one number, those of entries up to another.
    ``missed``: it has to be told that it missed some."""

    states: int
    entries: int
    missed: bool = False


class Feed:
    """Asks the node while there are listeners, and wakes them when something is new."""

    log = Logger()

    def __init__(self, node: INode, clock: IReactorTime) -> None:
        self._node = node
        self._clock = clock
        self._epoch = os.urandom(4).hex()
        self._states: dict[str, State] = {}
        self._recent = Recent()
        self._pending: dict[str, None] = {}  # ids of changed entries that were not asked for yet
        self._overflown = False  # they were too many to remember
        self._number = 0
        self._listeners = 0
        self._waiting: set[Deferred[None]] = set()
        self._asking: IDelayedCall | None = None
        self._unwatch: Callable[[], None] | None = None
        self.closed = False

    def enter(self) -> None:
        """A listener comes; :meth:`leave` follows. Raises Unavailable for one too many."""
        if self._listeners >= MOST or self.closed:
            raise Unavailable(f"{MOST} clients listen to events already; ask again from time to time instead")
        if self._unwatch is None:  # from the first listener on, so that those who come back learn what they missed
            self._unwatch = self._node.watch(_READER, self._changed)
        self._listeners += 1
        if self._listeners == 1:
            self._ask()

    def leave(self) -> None:
        """A listener goes."""
        self._listeners -= 1
        assert self._listeners >= 0
        if not self._listeners and self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def place(self, last: str | None) -> Place:
        """Where a listener begins, from its ``Last-Event-ID``. One without wants all figures and nodes, and entries from now
        on; an id of another run has missed something."""
        if last is None:
            return Place(0, self._number)
        epoch, _, number = last.partition("-")
        known = epoch == self._epoch and number.isdecimal() and len(number) < 19
        return Place(int(number), int(number)) if known else Place(0, self._number, missed=True)

    def since(self, place: Place) -> bytes:
        """The next events for a listener, some of them or all, and its new place; empty where it has all."""
        events = [(state, kind) for kind, state in self._states.items() if state.number > place.states]
        if place.missed or place.entries < self._recent.lost:
            events.append((State(self._recent.lost, _RESET), "reset"))
        events += [(state, "entry") for state in self._recent.since(place.entries)]
        text, floor, place.missed = bytearray(), place.entries, False
        for state, kind in sorted(events):
            if len(text) > PIECE and state.number > floor:
                break
            last = max(state.number, floor)
            text += b"event: %s\nid: %s-%d\ndata: %s\n\n" % (kind.encode(), self._epoch.encode(), last, state.data)
            place.states = place.entries = last
        return bytes(text)

    def news(self) -> Deferred[None]:
        """Fires when there may be something new, or when the feed is closed; :meth:`forget` it then."""
        deferred: Deferred[None] = Deferred()
        self._waiting.add(deferred)
        return deferred

    def forget(self, news: Deferred[None]) -> None:
        """Nobody waits for it any more."""
        self._waiting.discard(news)

    def close(self) -> None:
        """Ends all streams."""
        self.closed = True
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._wake()

    def _changed(self, identifiers: Sequence[str]) -> None:
        """The node: these entries have changed."""
        for identifier in identifiers:
            self._pending[identifier] = None
        if len(self._pending) > MOST_PENDING:
            self._pending.clear()
            self._overflown = True
        if self._asking is not None and self._asking.getTime() - self._clock.seconds() > SOON_S:
            self._asking.reset(SOON_S)

    def _ask(self) -> None:
        self._asking = None
        Deferred.fromCoroutine(self._look()).addErrback(
            lambda failure: self.log.failure("the node could not be asked for news", failure)
        ).addBoth(self._ask_again)

    def _ask_again(self, _: object) -> None:
        if self._listeners and not self.closed and self._asking is None:
            self._asking = self._clock.callLater(SOON_S if self._pending else EVERY_S, self._ask)

    async def _look(self) -> None:
        before = self._number
        figures = self._node.statistics()
        nodes = [node_value(status) for status in await self._node.nodes(_READER)]
        self._differs("entries", {name: figures[name] for name in _FIGURES if name in figures})
        self._differs("nodes", {"nodes": nodes})
        repair = {figure.name: figure.value for figure in self._node.figures() if figure.name in _REPAIR}
        if repair:
            self._differs("repair", repair)
        await self._look_at_entries()
        if self._number != before:
            self._wake()

    async def _look_at_entries(self) -> None:
        if self._overflown:
            self._overflown = False
            self._recent.forget(self._next())
        while self._pending:
            wanted = [*self._pending][:AT_ONCE]
            for identifier in wanted:
                del self._pending[identifier]
            query = Or(tuple(Text("id", identifier) for identifier in wanted)) if wanted[1:] else Text("id", wanted[0])
            try:
                found = await self._node.find(_READER, query, limit=AT_ONCE, scope=Scope.ALL)
            except BaseException:
                self._overflown = True  # what could not be asked for must not go untold
                raise
            entries = {entry.id: entry for entry in found.entries}
            for identifier in wanted:
                data = orjson.dumps(_event(identifier, entries.get(identifier)))
                self._recent.tell(identifier, State(self._next(), data))

    def _differs(self, kind: str, value: Mapping[str, object]) -> None:
        data = orjson.dumps(value)
        known = self._states.get(kind)
        if known is None or known.data != data:
            self._states[kind] = State(self._next(), data)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _wake(self) -> None:
        for deferred in list(self._waiting):
            fire(deferred)


def _event(identifier: str, entry: Entry | None) -> dict[str, object]:
    """What is told of an entry that changed: as it is now, or that it is gone for ever."""
    if entry is None:
        return {"id": identifier, "state": "gone", "entry": None}
    return {"id": identifier, "state": "live" if entry.trashed is None else "trash", "entry": entry_value(entry)}
