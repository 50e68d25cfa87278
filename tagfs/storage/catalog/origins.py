"""Origins of changes as a catalog keeps them: numbered, with what of each is here. Layer: storage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

import msgpack

from tagfs.storage.vectors import Received


class Origins:
    """What is here of each origin. A draft of it is changed with a transaction, and takes its place once that is durable."""

    def __init__(self, numbers: dict[str, int], received: dict[str, Received]) -> None:
        self.numbers = numbers
        """By name, the short number that stands for an origin in rows."""
        self._received = received
        self._changed: set[str] = set()

    @staticmethod
    def load(connection: sqlite3.Connection) -> Origins:
        """As stored."""
        numbers, received = {}, {}
        for number, name, upto, ranges in connection.execute("SELECT number, name, upto, ranges FROM origins"):
            numbers[name] = number
            received[name] = Received(upto, msgpack.unpackb(ranges, use_list=False))
        return Origins(numbers, received)

    def draft(self) -> Origins:
        """A copy to change."""
        return Origins(dict(self.numbers), dict(self._received))

    def number(self, name: str) -> int:
        """The short number of an origin, given where it has none yet."""
        known = self.numbers.get(name)
        if known is None:
            known = self.numbers[name] = len(self.numbers) + 1
            self._received[name] = Received()
            self._changed.add(name)
        return known

    def upto(self, name: str) -> int:
        """Up to where everything of an origin is here."""
        return self._received.get(name, Received()).upto

    def add(self, name: str, numbers: Iterable[int]) -> None:
        """Notes that those changes of an origin are here."""
        self._set(name, self._received.get(name, Received()).add(numbers))

    def cover(self, name: str, number: int) -> None:
        """Notes that all changes of an origin up to that one are here."""
        self._set(name, self._received.get(name, Received()).cover(number))

    def _set(self, name: str, received: Received) -> None:
        self.number(name)
        if received != self._received[name]:
            self._received[name] = received
            self._changed.add(name)

    def vector(self) -> Mapping[str, int]:
        """Up to where everything is here, of each origin of which something is."""
        return {name: received.upto for name, received in self._received.items() if received.upto}

    def store(self, connection: sqlite3.Connection) -> bool:
        """Writes what changed; whether anything did."""
        for name in self._changed:
            upto, ranges = self._received[name]
            connection.execute(
                "INSERT OR REPLACE INTO origins (number, name, upto, ranges) VALUES (?, ?, ?, ?)",
                (self.numbers[name], name, upto, msgpack.packb(ranges)),
            )
        changed = bool(self._changed)
        self._changed = set()
        return changed
