"""A bar on the standard error while something takes long; only where people can see it. Layer: cli."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click

from tagfs.cli.session import Session

UNITS = 1000
"""Steps of the bar for one entry, so that a large one moves it while it is under way."""


class Bar(Protocol):
    """What moves."""

    def update(self, n_steps: int) -> None:
        """So many more steps are done."""


class Share:
    """One entry's part of a bar, however large its content of ``size`` bytes is."""

    def __init__(self, bar: Bar, size: int) -> None:
        self._bar = bar
        self._size = size
        self._bytes = 0
        self._steps = 0

    def piece(self, count: int) -> None:
        """``count`` bytes more of it are through."""
        self._bytes += count
        self._move(min(UNITS, UNITS * self._bytes // max(1, self._size)))

    def done(self) -> None:
        """It is at its end, well or not."""
        self._move(UNITS)

    def _move(self, steps: int) -> None:
        if steps > self._steps:
            self._bar.update(steps - self._steps)
            self._steps = steps


@contextmanager
def progress(session: Session, entries: int, label: str) -> Iterator[Bar]:
    """A bar for so many entries, each a :class:`Share` of it."""
    hidden = session.json or not sys.stderr.isatty()
    # Without the time that is left: entries differ in size, and click takes a slow first one for hours to come.
    with click.progressbar(
        length=entries * UNITS, label=label, file=sys.stderr, hidden=hidden, show_eta=False, show_percent=True
    ) as bar:
        yield bar
