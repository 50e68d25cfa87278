"""Which nodes hold which contents: weighted rendezvous hashing of 256 partitions. Layer: cluster.

Source: Thaler, Ravishankar: *Using name-based mappings to increase hit rates* (1998); Schindelhauer, Schomaker: *Weighted
distributed hash tables* (2005).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from attrs import field, frozen
from blake3 import blake3

PARTITIONS = 256


class Place(NamedTuple):
    """A node in a layout. ``capacity`` is its weight, 1 or more; equal ``zone`` and ``host`` mean the same machine."""

    node: str
    zone: str = ""
    host: str = ""
    capacity: int = 1


@frozen
class Layout:
    """The nodes that contents are placed on, and how many of them hold each: equal on all nodes that know the same members.

    A node that is added takes its share from all others, and nothing else moves; one that is taken out leaves its share to
    all others, and nothing else moves (proven in ``tests/cluster/test_placement.py``).
    """

    places: tuple[Place, ...]
    copies: int
    _orders: dict[int, tuple[str, ...]] = field(factory=dict, init=False, eq=False, repr=False)

    @staticmethod
    def of(places: Iterable[Place], copies: int) -> Layout:
        """The layout of these nodes, whatever their order."""
        return Layout(tuple(sorted(places)), copies)

    @cached_property
    def id(self) -> str:
        """Hash (16 hex digits) of everything that decides about placement."""
        return blake3(repr((self.copies, [tuple(place) for place in self.places])).encode()).hexdigest()[:16]

    def order(self, partition: int) -> Sequence[str]:
        """All nodes in the order in which they are asked to hold a partition: distinct zones first, then distinct hosts."""
        found = self._orders.get(partition)
        if found is None:
            found = self._orders[partition] = _order(self.places, partition)
        return found

    def owners(self, partition: int, copies: int | None = None) -> Sequence[str]:
        """The nodes that hold a partition's contents; fewer than ``copies`` (default: the layout's) where there are fewer."""
        return self.order(partition)[: self.copies if copies is None else copies]


def _order(places: Sequence[Place], partition: int) -> tuple[str, ...]:
    """The best node of each zone, then the best of each other host, then the rest; each of the three from best to worst.

    Nodes without a zone are one zone, and a host belongs to its zone (one machine named in two zones counts twice). So a
    node that is added pushes at most one other from each list into the next, which is why nothing moves between the nodes
    that were there.
    """
    ranked = sorted(places, key=lambda place: (-_draws(place.node)[partition] * place.capacity, place.node))
    lists: tuple[list[str], list[str], list[str]] = ([], [], [])
    zones: set[str] = set()
    hosts: set[Hashable] = set()
    for place in ranked:
        # A node that does not say where it runs counts as a machine of its own.
        host = (place.zone, place.host) if place.host else place.node
        lists[0 if place.zone not in zones else 1 if host not in hosts else 2].append(place.node)
        zones.add(place.zone)
        hosts.add(host)
    return (*lists[0], *lists[1], *lists[2])


@lru_cache(maxsize=4096)
def _draws(node: str) -> tuple[float, ...]:
    """What a node of capacity 1 draws for each partition: -1 / ln(u) of a number u between 0 and 1 that its id gives."""
    digest = blake3(node.encode()).digest(8 * PARTITIONS)
    units = ((int.from_bytes(digest[at : at + 8], "big") >> 12) + 0.5 for at in range(0, len(digest), 8))
    return tuple(-1 / _ln(unit / 2**52) for unit in units)


def _ln(unit: float) -> float:
    """The natural logarithm, by additions, multiplications and divisions only: they give the same on every machine, and
    all nodes must agree to the last bit, which a C library's logarithm does not promise (IEEE 754-2008 section 9.2)."""
    part, exponent = math.frexp(unit)
    if part < _ROOT_HALF:
        part, exponent = part * 2, exponent - 1
    ratio = (part - 1) / (part + 1)
    square = ratio * ratio
    total = 0.0
    for odd in range(23, 0, -2):
        total = total * square + 1 / odd
    return 2 * ratio * total + exponent * _LN_2


_ROOT_HALF = 0.7071067811865476
_LN_2 = 0.6931471805599453
