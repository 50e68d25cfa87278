"""A bar on the standard error while something takes long; only where people can see it. Layer: cli."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click

from tagfs.cli.session import Session


class Bar(Protocol):
    """What moves."""

    def update(self, n_steps: int) -> None:
        """So many more are done."""


@contextmanager
def progress(session: Session, length: int, label: str) -> Iterator[Bar]:
    """A bar of ``length`` steps."""
    hidden = session.json or not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden, show_pos=True) as bar:
        yield bar
