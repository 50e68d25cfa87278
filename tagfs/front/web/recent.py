"""The entries that changed last, each with its newest state only: what a listener that was away can be told. Pure; layer: front."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

MOST = 2048
"""Entries that are remembered."""
MOST_BYTES = 4 << 20
"""Bytes of their states."""


class State(NamedTuple):
    """A present state; ``number`` says in what order states came up."""

    number: int
    data: bytes


class Recent:
    """States of entries by id, the newest at the end."""

    def __init__(self) -> None:
        self.lost = 0
        """Whoever has seen less than this number may have missed something that is not remembered."""
        self._states: OrderedDict[str, State] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def tell(self, identifier: str, state: State) -> None:
        """An entry has another state, with a greater number than all before."""
        self._drop(self._states.pop(identifier, None))
        self._states[identifier] = state
        self._bytes += len(state.data)
        while len(self._states) > MOST or self._bytes > MOST_BYTES:
            _, gone = self._states.popitem(last=False)
            self._drop(gone)
            self.lost = gone.number

    def forget(self, number: int) -> None:
        """More has changed than can be remembered, up to that number."""
        self._states.clear()
        self._bytes = 0
        self.lost = number

    def since(self, number: int) -> list[State]:
        """What came up after that number, oldest first."""
        return list(self._newer(number))[::-1]

    def _newer(self, number: int) -> Iterator[State]:
        for state in reversed(self._states.values()):
            if state.number <= number:
                return
            yield state

    def _drop(self, state: State | None) -> None:
        if state is not None:
            self._bytes -= len(state.data)
