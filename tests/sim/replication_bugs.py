"""Bugs that the simulation must catch, each put into production's code for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

BUGS: dict[str, object] = {}


@contextmanager
def seeded(bug: str | None) -> Iterator[None]:
    """With that bug in the code."""
    yield
