"""What pings say: a node's facts, as short words of a line, and back. Layer: cluster.

``cluster`` the cluster's id, ``boot`` the run of the process, ``inc`` its incarnation, ``hash`` of the member records and settings,
``clock`` in milliseconds since 1970, ``suspect`` nodes that are silent (``id:incarnation:seconds``), ``dead`` nodes of the layout
that are dead (``id:seconds``), both with commas between. All other facts belong to other parts of the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

OWN = frozenset({"cluster", "boot", "inc", "hash", "clock", "suspect", "dead"})
"""Facts that other parts cannot use."""
MOST_OTHER = 1024
"""Characters that the facts of other parts may take."""
_MOST_ITEMS = 64


class Ping(NamedTuple):
    """What a ping, or its answer, says."""

    cluster: str = ""
    boot: str = ""
    incarnation: int = 0
    hash: str = ""
    clock_ms: int = 0
    suspects: tuple[tuple[str, int, float], ...] = ()
    dead: Mapping[str, float] = {}
    other: Mapping[str, str] = {}


def write_ping(ping: Ping) -> dict[str, str]:
    """The facts of a ping; what is empty is left out."""
    facts = {
        "cluster": ping.cluster,
        "boot": ping.boot,
        "inc": str(ping.incarnation),
        "hash": ping.hash,
        "clock": str(ping.clock_ms),
        "suspect": ",".join(f"{node}:{incarnation}:{silence:.1f}" for node, incarnation, silence in ping.suspects),
        "dead": ",".join(f"{node}:{age:.0f}" for node, age in ping.dead.items()),
    }
    return {key: value for key, value in facts.items() if value} | dict(ping.other)


def read_ping(facts: Mapping[str, str]) -> Ping:
    """The ping in some facts; what cannot be read is as if it were not there."""
    return Ping(
        facts.get("cluster", ""),
        facts.get("boot", ""),
        _whole(facts.get("inc", "")),
        facts.get("hash", ""),
        _whole(facts.get("clock", "")),
        tuple(
            (item[0], _whole(item[1]), _seconds(item[2])) for item in _items(facts.get("suspect", "")) if len(item) == 3
        ),
        {item[0]: _seconds(item[1]) for item in _items(facts.get("dead", "")) if len(item) == 2},
        {key: value for key, value in facts.items() if key not in OWN},
    )


def _items(text: str) -> Iterable[list[str]]:
    return (item.split(":") for item in text.split(",", _MOST_ITEMS)[:_MOST_ITEMS] if item)


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _seconds(text: str) -> float:
    whole, _, part = text.partition(".")
    return _whole(whole) + (_whole(part[:1]) / 10)
