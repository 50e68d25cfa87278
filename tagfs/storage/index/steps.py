"""Work in short steps, between which a lock can be let go: generators that return what came of it. Layer: storage."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar, cast

T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]


def at_once(steps: Steps[T]) -> T:
    """What the steps return in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(T, end.value)
