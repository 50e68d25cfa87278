"""How a node gets into a cluster: it joins one that exists, or founds one where there is none. Layer: cluster.

A node with seeds (``--join``) or members it knows from before never founds one. One without waits for beacons for :data:`WAIT_S`,
joins what it hears of, and founds otherwise; of several that wait at once, the one with the lowest id founds.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from tagfs.cluster.effects import Effect, Heard, Meet, Say

WAIT_S = 3.0
"""Seconds of listening for beacons before a cluster is founded."""
RETRY_S = (0.5, 5.0)
"""Seconds between two attempts to join: the first, and the most."""
STUBBORN_S = 30.0
"""Seconds until the next attempt after a refusal that only people can change."""
MOST_ADDRESSES = 64


class Entrance:
    """Addresses to try, and when; and the decision to found."""

    def __init__(self, me: str, seeds: Iterable[str], may_found: bool, random: Random) -> None:
        self._me = me
        self.may_found = may_found
        self._random = random
        self._addresses: dict[str, None] = dict.fromkeys(seeds)
        self._next = 0
        self._pause_s = RETRY_S[0]
        self._at: float | None = None
        self._lower: dict[str, float] = {}
        self._begun: float | None = None
        self._said = ""
        self.why = "no member of the cluster was found yet"

    def hear(self, beacon: Heard, now: float) -> None:
        """A beacon of the same key."""
        if beacon.cluster:
            if beacon.address not in self._addresses:
                self.add([beacon.address])
                self._at = now
        elif beacon.founding and beacon.node < self._me:
            self._lower[beacon.node] = now

    def add(self, addresses: Iterable[str]) -> None:
        """More places where a member may be; the newest are kept where there are too many."""
        for address in addresses:
            self._addresses.pop(address, None)
            self._addresses[address] = None
        while len(self._addresses) > MOST_ADDRESSES:
            del self._addresses[next(iter(self._addresses))]

    def founds(self, now: float) -> bool:
        """Whether this node shall found a cluster now."""
        self._begun = now if self._begun is None else self._begun
        if not self.may_found or self._addresses or now - self._begun < WAIT_S:
            return False
        return all(now - heard >= WAIT_S for heard in self._lower.values())

    def attempt(self, now: float) -> list[Effect]:
        """Tries the next address, when it is time."""
        if not self._addresses or (self._at is not None and now < self._at):
            return []
        addresses = list(self._addresses)
        self._next = (self._next + 1) % len(addresses)
        self._at = now + self._pause_s * self._random.uniform(0.75, 1.25)
        self._pause_s = min(RETRY_S[1], self._pause_s * (2 if self._next == 0 else 1))
        return [Meet(addresses[self._next - 1])]

    def fail(self, why: str, now: float, stubborn: bool = False) -> list[Effect]:
        """An attempt came to nothing. Said once as long as it does not change."""
        self.why = why
        if stubborn:
            self._at = now + STUBBORN_S
        if why == self._said:
            return []
        self._said = why
        return [Say("warn", f"this node is not in the cluster yet: {why}; it goes on trying")]
