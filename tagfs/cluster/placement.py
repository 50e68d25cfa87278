"""Which nodes hold which contents: weighted rendezvous hashing of 256 partitions. Layer: cluster.

Source: Thaler, Ravishankar: *Using name-based mappings to increase hit rates* (1998); Schindelhauer, Schomaker: *Weighted
distributed hash tables* (2005).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from attrs import frozen
from blake3 import blake3

PARTITIONS = 256


class Place(NamedTuple):
    """A node in a layout. ``capacity`` is its weight, 1 or more; equal ``host`` means the same machine."""

    node: str
    zone: str = ""
    host: str = ""
    capacity: int = 1


@frozen
class Layout:
    """The nodes that contents are placed on, and how many of them hold each: equal on all nodes that know the same members."""

    places: tuple[Place, ...]
    copies: int

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
        return _order(self.places, partition)

    def owners(self, partition: int, copies: int | None = None) -> Sequence[str]:
        """The nodes that hold a partition's contents; fewer than ``copies`` (default: the layout's) where there are fewer."""
        return self.order(partition)[: self.copies if copies is None else copies]


@lru_cache(maxsize=4096)
def _order(places: tuple[Place, ...], partition: int) -> tuple[str, ...]:
    ranked = sorted(places, key=lambda place: (-_score(place, partition), place.node))
    chosen: list[Place] = []
    rest = ranked
    while rest:
        # One round takes one node of each zone that has no node in it yet, then one of each host, then whoever is left.
        zones, hosts = {place.zone for place in chosen if place.zone}, {place.host for place in chosen if place.host}
        best = min(
            rest,
            key=lambda place: (bool(place.zone) and place.zone in zones, bool(place.host) and place.host in hosts),
        )
        chosen.append(best)
        rest = [place for place in rest if place is not best]
    return tuple(place.node for place in chosen)


def _score(place: Place, partition: int) -> float:
    digest = blake3(f"{place.node}\0{partition}".encode()).digest(8)
    unit = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -place.capacity / math.log(unit)
