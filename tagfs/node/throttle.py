"""Slows down who guesses passwords, in bounded memory. Layer: node.

Every attempt counts as a failure until it has succeeded, so that many at once gain nothing. Beyond some free ones, each
further attempt at the same user, or from the same address, waits twice as long as the one before; who would wait too long is
sent away at once. Nobody is locked out: a user who logged in from an address lately is not slowed down there by what others
do to the name elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from attrs import define

from tagfs.errors import Throttled

FREE_USER = 5
"""Attempts at one user that cost no time."""
FREE_ADDRESS = 50
"""Attempts from one address that cost no time: many people may be behind one."""
FIRST_DELAY_S = 0.5
MAX_DELAY_S = 16.0
MAX_WAIT_S = 30.0
"""Who would have to wait longer is refused."""
FORGET_S = 900.0
"""Failures are forgotten after so many seconds without another."""
MOST = 10_000
"""Users and addresses that are remembered; then the one that was quiet for longest is forgotten."""


@define
class _Record:
    attempts: int = 0
    free_at_s: float = 0.0
    last_s: float = 0.0


class Attempt:
    """One attempt at a login: ``wait_s`` is for how many seconds it has to wait before it is looked at."""

    def __init__(self, throttle: Throttle, costs_s: Mapping[str, float], known: tuple[str, str], wait_s: float) -> None:
        self._throttle = throttle
        self._costs_s = costs_s
        self._known = known
        self.wait_s = wait_s

    def void(self) -> None:
        """It was no guess after all."""
        self._throttle.undo(self._costs_s)

    def succeeded(self) -> None:
        """The password was right."""
        self.void()
        self._throttle.remember(*self._known)


class Throttle:
    """All attempts. Times in seconds, by any clock that never goes back."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def attempt(self, user: str, address: str, now_s: float) -> Attempt:
        """An attempt at a user (folded) from an address. Raises Throttled."""
        place = network(address)
        known = (user, place)
        limits = {f"address {place}": FREE_ADDRESS}
        if known not in self._known:
            limits[f"user {user}"] = FREE_USER
        found = {key: self._record(key, now_s) for key in limits}
        wait_s = max(0.0, *(record.free_at_s - now_s for record in found.values()))
        if wait_s > MAX_WAIT_S:
            raise Throttled(f"too many attempts to log in; try again in {wait_s:.0f} s")
        costs_s = {}
        for key, record in found.items():
            record.attempts += 1
            record.last_s = now_s
            excess = record.attempts - limits[key]
            costs_s[key] = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(excess, 16)) if excess >= 0 else 0.0
            if costs_s[key]:
                record.free_at_s = now_s + wait_s + costs_s[key]
        return Attempt(self, costs_s, known, wait_s)

    def delays(self, address: str, now_s: float) -> bool:
        """Whether attempts from that address have to wait now, or soon will."""
        record = self._records.get(f"address {network(address)}")
        return record is not None and record.attempts >= FREE_ADDRESS and now_s - record.last_s <= FORGET_S

    def undo(self, costs_s: Mapping[str, float]) -> None:
        """Takes back one attempt of each key, and the delay that it was for those behind it."""
        for key, cost_s in costs_s.items():
            record = self._records.get(key)
            if record is not None:
                record.attempts -= 1
                record.free_at_s -= cost_s
                if record.attempts <= 0:
                    del self._records[key]

    def remember(self, user: str, place: str) -> None:
        """This user logged in from there."""
        self._known[user, place] = None
        self._known.move_to_end((user, place))
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def _record(self, key: str, now_s: float) -> _Record:
        record = self._records.get(key)
        if record is None or now_s - record.last_s > FORGET_S:
            record = self._records[key] = _Record()
        self._records.move_to_end(key)
        while len(self._records) > MOST:
            self._records.popitem(last=False)
        return record


def network(address: str) -> str:
    """What counts as one address: for IPv6 the /64 that one subscriber has."""
    try:
        read = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(read, IPv6Address):
        return str(read.ipv4_mapped or IPv6Address(int(read) >> 64 << 64))
    return str(read)
