"""Seeded data: entries whose tags follow Zipf's law, as people's do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

TAGS = 20_000
TAGS_PER_ENTRY = 6
SEED = 20_260_101


class Item(NamedTuple):
    """One entry to be: name, size in bytes, time of modification (milliseconds since 1970), tags (folded)."""

    number: int
    name: str
    size: int
    modified: int
    tags: tuple[str, ...]


def tag(rank: int) -> str:
    """The tag of a rank, 0 the most frequent."""
    return f"tag{rank:05d}"


def items(count: int, seed: int = SEED) -> Iterator[Item]:
    """``count`` entries with about :data:`TAGS_PER_ENTRY` of :data:`TAGS` tags each (Zipf, exponent 1)."""
    chance = np.random.default_rng(seed)
    weights = 1 / np.arange(1, TAGS + 1)
    cumulative = np.cumsum(weights / weights.sum())
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        amounts = chance.poisson(TAGS_PER_ENTRY - 1, size) + 1
        ranks = np.searchsorted(cumulative, chance.random(int(amounts.sum())))
        sizes = np.minimum(np.exp(chance.normal(10, 2, size)), 1e9).astype(np.int64)
        modified = chance.integers(1_400_000_000_000, 1_750_000_000_000, size)
        at = 0
        for index in range(size):
            mine = sorted({int(rank) for rank in ranks[at : at + amounts[index]]})
            at += int(amounts[index])
            number = start + index
            name = f"{chance.integers(1 << 40):010x}-{number}.jpg"
            yield Item(number, name, int(sizes[index]), int(modified[index]), tuple(map(tag, mine)))


QUERIES = {
    "one tag": tag(3),
    "and of 2": f"{tag(3)} and {tag(10)}",
    "and of 3": f"{tag(1)} and {tag(3)} and {tag(10)}",
    "or of 3": f"{tag(3)} or {tag(20)} or {tag(100)}",
    "and-not": f"{tag(3)} and not {tag(10)}",
}
"""The tag-queries that are measured, by what they are."""
