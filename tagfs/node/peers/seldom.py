"""Says things that others can cause as often as they like only now and then. Layer: node."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

EVERY_S = 60.0
MOST = 256


@define(eq=False)
class Seldom:
    """Lets each key through once in :data:`EVERY_S` seconds, and at most :data:`MOST` keys in that time."""

    clock: IReactorTime
    _until: dict[object, float] = field(factory=dict)

    def may(self, *key: object) -> bool:
        """Whether it is time to speak of ``key`` (again)."""
        now = self.clock.seconds()
        if self._until.get(key, 0.0) > now:
            return False
        if len(self._until) >= MOST:
            self._until = {known: until for known, until in self._until.items() if until > now}
            if len(self._until) >= MOST:
                return False
        self._until[key] = now + EVERY_S
        return True
