"""How far the clocks of the members are apart, measured by pings. Layer: cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from statistics import median

WARN_MS = 500
"""Milliseconds apart that are warned of."""
AGAIN_MS = 400
"""Milliseconds apart below which a warning is over."""
REFUSE_MS = 60_000
"""Milliseconds off the median of at least three clocks with which a node originates nothing."""
_SAMPLES = 5
_MOST_S = 1.0
"""Seconds that a ping may have taken for its sample to be worth something."""


class Clocks:
    """Offsets of other clocks against this one, in milliseconds; positive: the other is ahead."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, float]]] = {}
        self.skewed: set[str] = set()
        """Nodes whose clock is more than :data:`WARN_MS` apart from this one."""
        self.warnings = 0
        """How often a clock was found apart."""

    def sample(self, node: str, theirs_ms: int, ours_ms: int, took_s: float) -> str:
        """Takes an answer's clock and ours when it came; returns a warning, or nothing."""
        if took_s > _MOST_S:
            return ""
        samples = self._samples.setdefault(node, deque(maxlen=_SAMPLES))
        samples.append((took_s, theirs_ms - (ours_ms - took_s * 500)))
        offset = self.offset(node)
        if abs(offset) > WARN_MS and node not in self.skewed:
            self.skewed.add(node)
            self.warnings += 1
            return f"is {abs(offset) / 1000:.1f} s {'ahead of' if offset > 0 else 'behind'} the clock of this node"
        if abs(offset) < AGAIN_MS and node in self.skewed:
            self.skewed.discard(node)
        return ""

    def offset(self, node: str) -> float:
        """The offset of a node's clock, by the quickest of the last answers; 0 where there was none."""
        return min(self._samples.get(node) or ((0.0, 0.0),))[1]

    def keep_only(self, nodes: Collection[str]) -> None:
        """Forgets all others."""
        for gone in self._samples.keys() - set(nodes):
            del self._samples[gone]
        self.skewed.intersection_update(nodes)

    def refusal(self, alive: Collection[str]) -> str:
        """Why this node must originate nothing because of its clock; empty where it may."""
        offsets = [0.0, *(self.offset(node) for node in alive if self._samples.get(node))]
        if len(offsets) < 3:
            return ""
        middle = median(offsets)
        if abs(middle) <= REFUSE_MS:
            return ""
        way = "behind" if middle > 0 else "ahead of"
        return f"the clock of this node is {abs(middle) / 1000:.0f} s {way} those of the other nodes: set it right"
