"""Stamps: hybrid logical clock readings that order all changes of a cluster. Layer: model.

Source: Kulkarni, Demirbas, Madappa, Avva, Leone: *Logical Physical Clocks* (2014). The physical part are
milliseconds since 1970 in UTC, the logical part a 16-bit counter below it, in one integer.
"""

from __future__ import annotations

from typing import NamedTuple

COUNTER_BITS = 16
"""Bits of :attr:`Stamp.time` below the milliseconds."""


class Stamp(NamedTuple):
    """When and by which node a field was written. Totally ordered: by time, then by node id.

    ``time`` is milliseconds since 1970 shifted left by :data:`COUNTER_BITS`, plus a counter;
    ``node`` is the id of the node that made it.
    """

    time: int
    node: str

    @property
    def milliseconds(self) -> int:
        """The physical part, milliseconds since 1970 in UTC."""
        return self.time >> COUNTER_BITS


ZERO = Stamp(0, "")
"""Less than every stamp that a node makes."""


class HybridClock:
    """Makes the stamps of one node; each is greater than all it made or was shown before.

    ``last`` is the greatest ``Stamp.time`` that the node ever persisted, so that a restart with a clock that
    was set back never repeats a stamp.
    """

    def __init__(self, node: str, last: int = 0) -> None:
        self.node = node
        self.last = last

    def stamp(self, now_ms: int, after: Stamp = ZERO) -> Stamp:
        """A new stamp: max(clock, ``after`` (the greatest in the record), own last) + 1.

        ``now_ms`` is the wall clock in milliseconds since 1970.
        """
        self.last = max(now_ms << COUNTER_BITS, after.time + 1, self.last + 1)
        return Stamp(self.last, self.node)
