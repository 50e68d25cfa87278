"""Beacons: one authenticated line per datagram, by which nodes of one cluster notice each other. Layer: wire, sans-io.

A beacon is a hint and nothing more: whoever hears one dials its address, and only what is proved over that connection
counts. docs/protocols/node.md has the line.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from tagfs.wire.node_lines import BadLine, encode_line, parse_request

LIMIT: Final = 512
"""Most bytes of a datagram."""
_MAC = 16
_PREFIX = b"TAGFS-BEACON 1 "


class Beacon(NamedTuple):
    """What a node says of itself: its id, the run of its process, its cluster (empty: none yet), where it is reached, and
    ``number``, which grows from beacon to beacon of one node (milliseconds of its own clock), so that old ones can be told.

    ``founding``: it is in no cluster and will found one, unless it hears of one soon.
    """

    node: str
    boot: str
    cluster: str
    address: str
    number: int
    founding: bool = False


def beacon_key(cluster_key: bytes) -> bytes:
    """The key for beacons, made from the cluster's so that nothing learnt of one use helps in another."""
    return hmac.digest(cluster_key, b"tagfs 1 beacon", hashlib.sha256)


def encode_beacon(beacon: Beacon, key: bytes) -> bytes:
    """The datagram; ``key`` is :func:`beacon_key`'s."""
    line = encode_line(
        "TAGFS-BEACON",
        "1",
        node=beacon.node,
        boot=beacon.boot,
        cluster=beacon.cluster or "-",
        address=beacon.address,
        number=beacon.number,
        founding="yes" if beacon.founding else "no",
    ).rstrip(b"\n")
    return line + b" mac=" + _mac(line, key) + b"\n"


def decode_beacon(datagram: bytes, key: bytes) -> Beacon | None:
    """The beacon, or None for anything that is none, or that was not made with ``key``. What is no beacon costs next to nothing."""
    if len(datagram) > LIMIT or not datagram.startswith(_PREFIX):
        return None
    line, found, mac = datagram.rstrip(b"\r\n").rpartition(b" mac=")
    if not found or not hmac.compare_digest(mac, _mac(line, key)):
        return None
    try:
        facts = parse_request(line).options
        cluster = facts["cluster"]
        return Beacon(
            facts["node"],
            facts["boot"],
            "" if cluster == "-" else cluster,
            facts["address"],
            int(facts["number"]),
            facts.get("founding") == "yes",
        )
    except (BadLine, KeyError, ValueError):
        return None


def _mac(line: bytes, key: bytes) -> bytes:
    return hmac.digest(key, line, hashlib.sha256)[:_MAC].hex().encode()
