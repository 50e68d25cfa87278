"""How much a tree of 256 directories holds, counted once and kept up to date. Layer: storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from threading import Lock
from typing import NamedTuple

_BLOCK = 512
"""Unit of ``st_blocks`` (stat(2))."""


class Taken(NamedTuple):
    """How many contents, the sum of their sizes, and the bytes they take on disk."""

    contents: int = 0
    bytes: int = 0
    on_disk: int = 0


class Totals:
    """Sums by directory. Whoever adds or takes away a file does that, and :meth:`change`, under :attr:`lock`;
    so a directory can be counted at any time, and the others stay usable meanwhile."""

    def __init__(self, look: Callable[[int], Iterable[os.stat_result]]) -> None:
        self.lock = Lock()
        self._look = look
        self._counted: list[Taken | None] = [None] * 256

    def change(self, directory: int, state: os.stat_result, sign: int) -> None:
        """One file more (``sign`` 1) or less (-1)."""
        old = self._counted[directory]
        if old is not None:
            self._counted[directory] = Taken(
                old.contents + sign, old.bytes + sign * state.st_size, old.on_disk + sign * state.st_blocks * _BLOCK
            )

    def sum(self) -> Taken:
        """Of all directories. The first call looks at every file, one directory at a time."""
        for directory in range(len(self._counted)):
            with self.lock:
                if self._counted[directory] is None:
                    self._counted[directory] = Taken()
                    for state in self._look(directory):
                        self.change(directory, state, 1)
        return Taken(*map(sum, zip(*filter(None, self._counted), strict=True)))
