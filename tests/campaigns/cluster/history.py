"""What was asked of a cluster and what it acknowledged: the law by which its state at the end is judged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable

from attrs import define, field

from tests.campaigns.workload import Violation

UNSETTLED_S = 4.0
"""Seconds after its acknowledgement from which an answer marked complete must know of a write: 2 s (DESIGN section 7), and as much
again for the tests' own threads."""


@define(eq=False)
class Fate:
    """All that is known of one entry. Of what had no answer, ``maybe``, both outcomes are right.

    ``place`` is live, trash or purged; ``tags`` says of each tag whether it is there (None: either).
    """

    id: str
    name: str
    seed: str
    size: int
    since_s: float
    tags: dict[str, bool | None] = field(factory=dict)
    place: str | None = "live"
    copies: int = 1

    def content(self) -> bytes:
        """The bytes that were stored."""
        return random.Random(self.seed).randbytes(self.size)


@define(eq=False)
class History:
    """Everything acknowledged, by entry id; shared by the threads of a campaign."""

    fates: dict[str, Fate] = field(factory=dict)
    unsure: dict[str, tuple[str, int, frozenset[str]]] = field(factory=dict)
    """Names of stores without an answer: the seed, size and tags that they would have."""
    lossy: bool = False
    """Whether a node's disk is lost for good in this campaign: what was acknowledged with one copy may go with it."""
    acknowledged: int = 0
    checked: int = 0
    refused: int = 0
    lock: threading.RLock = field(factory=threading.RLock)

    def stored(self, fate: Fate) -> None:
        """An entry was acknowledged."""
        with self.lock:
            assert fate.id not in self.fates, f"the id {fate.id} was given twice"
            if self.lossy and fate.copies < 2:
                return  # it stays among those of which both outcomes are right
            self.fates[fate.id] = fate
            self.unsure.pop(fate.name, None)
            self.acknowledged += 1

    def pick(self, chance: random.Random) -> Fate | None:
        """Any entry that is surely live."""
        with self.lock:
            if not self.fates:
                return None
            fate = self.fates[chance.choice(list(self.fates))]
            return fate if fate.place == "live" else None

    def settled(self, fate: Fate) -> bool:
        """Whether nothing happened to the entry lately, so that complete answers must know it as it is."""
        return fate.place == "live" and time.monotonic() - fate.since_s > UNSETTLED_S

    def judge(self, node: str, live: dict[str, tuple[str, int, frozenset[str]]], trash: Iterable[str]) -> int:
        """Compares what a node lists with what was acknowledged; returns how many entries were compared."""
        binned = set(trash)
        names: dict[str, str] = {}
        for identifier, (name, size, _tags) in live.items():
            if name in names:
                raise Violation(f"{node}: {name} was stored twice: {names[name]} and {identifier}")
            names[name] = identifier
            if identifier not in self.fates and name not in self.unsure:
                raise Violation(f"{node}: {identifier} ({name}, {size} bytes) was never stored")
        for fate in self.fates.values():
            self._judge_one(node, fate, live.get(fate.id), fate.id in binned)
        return len(self.fates)

    @staticmethod
    def _judge_one(node: str, fate: Fate, seen: tuple[str, int, frozenset[str]] | None, binned: bool) -> None:
        if seen is None:
            if fate.place == "live" or (fate.place == "trash" and not binned):
                raise Violation(f"{node}: {fate.id} ({fate.name}, {fate.place}, copies={fate.copies}) is lost")
            return
        if fate.place in ("trash", "purged"):
            raise Violation(f"{node}: {fate.id} ({fate.name}) was deleted ({fate.place}) and is back")
        name, size, tags = seen
        if (name, size) != (fate.name, fate.size):
            raise Violation(f"{node}: {fate.id} is {name}, {size} bytes; stored was {fate.name}, {fate.size} bytes")
        for tag, there in fate.tags.items():
            if there is not None and there != (tag in tags):
                raise Violation(f"{node}: {fate.id} {'lacks' if there else 'has'} the tag {tag}; it has {sorted(tags)}")
