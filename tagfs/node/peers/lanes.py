"""Lanes: what waits for its turn, by verb. Layer: node.

Each verb has a lane and slots of its own, so that requests which wait for others (an acknowledgement that needs a content fetched)
never take the slots of those that they wait for. Lanes take turns, and urgent ones go first.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

from attrs import define, field

URGENT: Final = frozenset({"PING", "PROBE"})
"""Verbs by which nodes are found alive or dead: they never wait behind others."""

T = TypeVar("T")


@define(eq=False)
class _Lane(Generic[T]):
    waiting: deque[tuple[T, int]] = field(factory=deque)
    waiting_bytes: int = 0
    taken: int = 0
    taken_bytes: int = 0


@define(eq=False)
class Lanes(Generic[T]):
    """``slots`` is how many things of one lane may be under way, ``room`` how many bytes of them; ``queue`` things of a lane may wait,
    with twice the ``room`` for all that is under way or waits. Whoever took a thing calls :meth:`free` when it is over. ``bytes``
    are all that wait."""

    slots: int
    room: int
    queue: int
    bytes: int = 0
    _lanes: dict[str, _Lane[T]] = field(factory=dict)
    _turns: deque[str] = field(factory=deque)  # lanes in which something waits
    _urgent: deque[str] = field(factory=deque)  # those of them that go first

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._turns and not self._urgent

    def enter(self, name: str, size: int) -> bool:
        """Takes a slot at once, where nothing waits in that lane and one is free."""
        lane = self._lane(name)
        if lane.waiting or not self._fits(lane, size):
            return False
        lane.taken += 1
        lane.taken_bytes += size
        return True

    def put(self, name: str, thing: T, size: int) -> bool:
        """Lets a thing wait; False where too much waits already."""
        lane = self._lane(name)
        lane_bytes = lane.taken_bytes + lane.waiting_bytes
        if len(lane.waiting) >= self.queue or (lane_bytes and lane_bytes + size > 2 * self.room):
            return False
        if not lane.waiting:
            (self._urgent if name in URGENT else self._turns).append(name)
        lane.waiting.append((thing, size))
        lane.waiting_bytes += size
        self.bytes += size
        return True

    def take(self) -> tuple[T, str, int] | None:
        """The next thing whose lane has a free slot, with its lane and size; it has the slot now."""
        for turns in (self._urgent, self._turns):
            for _ in range(len(turns)):
                name = turns.popleft()
                lane = self._lanes[name]
                if not self._fits(lane, lane.waiting[0][1]):
                    turns.append(name)
                    continue
                thing, size = lane.waiting.popleft()
                lane.waiting_bytes -= size
                self.bytes -= size
                lane.taken += 1
                lane.taken_bytes += size
                if lane.waiting:
                    turns.append(name)
                return thing, name, size
        return None

    def free(self, name: str, size: int) -> None:
        """What was taken, or entered, is over."""
        lane = self._lanes[name]
        lane.taken -= 1
        lane.taken_bytes -= size
        assert lane.taken >= 0 and lane.taken_bytes >= 0

    def clear(self) -> list[T]:
        """Everything that waits, which waits no longer."""
        things = [thing for lane in self._lanes.values() for thing, _ in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.waiting_bytes = 0
        self._turns.clear()
        self._urgent.clear()
        self.bytes = 0
        return things

    def _lane(self, name: str) -> _Lane[T]:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane()
        return lane

    def _fits(self, lane: _Lane[T], size: int) -> bool:
        """Whether it has a slot, and room; one thing alone always has room."""
        return lane.taken < self.slots and (not lane.taken or lane.taken_bytes + size <= self.room)
