"""Greeting, introduction, and the proofs that both know the cluster's key (docs/protocols/node.md). Layer: wire, sans-io.

A proof covers the lines exactly as they were said, so that nothing in them can be changed on the way: version, ids, cluster,
nonces; and what binds it to this very connection, or that TLS is off (RFC 9266).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from tagfs.wire.node_lines import VERSION, BadLine, encode_line, encode_parts, parse_request

CLIENT: Final = "client"
SERVER: Final = "server"
UNBOUND: Final = "-"
"""What stands for the channel's binding where TLS is off."""
EXPORTER: Final = b"EXPORTER-Channel-Binding"
EXPORTED_BYTES: Final = 32
"""Label and length of the binding (RFC 9266 section 2)."""
NAME_LIMIT = 32  # characters of a name in these lines: percent-encoded, it still leaves room for the rest
_NONE = "-"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


class Introduction(NamedTuple):
    """What one side says of itself. ``version`` is the greatest it speaks, for the server, and the one it chose, for the client.

    ``node``, ``cluster`` and ``boot`` are empty where there is none. Ids and ``nonce`` have letters, digits and ``._-`` only, what else
    there is can be printed.
    """

    version: int
    node: str
    name: str
    cluster: str
    boot: str
    nonce: str
    address: str = ""


def proof_key(cluster_key: bytes) -> bytes:
    """The key for proofs, made from the cluster's so that nothing learnt of one use helps in another."""
    return hmac.digest(cluster_key, b"tagfs 1 proof", hashlib.sha256)


def proof(key: bytes, side: str, greeting: bytes, introduction: bytes, binding: str) -> str:
    """HMAC-SHA256 (RFC 2104) in hex over the four lines: side, greeting, introduction (up to the proof), binding."""
    said = b"%b\n%b\n%b\n%b\n" % (side.encode(), greeting, introduction, binding.encode())
    return hmac.digest(key, said, hashlib.sha256).hex()


def same(given: str, wanted: str) -> bool:
    """Whether two proofs are equal, without telling by the time it takes how much of them is."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def encode_greeting(own: Introduction) -> bytes:
    """The first line of the server, without its line end."""
    facts = _facts(own)
    boot = facts.pop("boot")
    return encode_line("TAGFS", str(own.version), **facts, caps="", boot=boot)[:-1]


def parse_greeting(line: bytes) -> Introduction:
    """What the server says of itself. Raises :class:`BadLine` where this is no greeting."""
    try:
        request = parse_request(line)
        if request.tag == "TAGFS" and request.body is None:
            return _introduction(int(request.verb), request.options)
    except (ValueError, KeyError):
        pass
    raise BadLine(_NONE, f"this is no greeting of tagfs: {line[:60]!r}")


def encode_introduction(tag: str, own: Introduction) -> bytes:
    """The line by which the client introduces itself, as far as its proof covers it."""
    facts = {**_facts(own), "version": own.version}
    if own.address:
        facts["address"] = own.address
    return f"{tag} AUTH {encode_parts((), facts)}".encode("ascii")


def with_proof(introduction: bytes, value: str) -> bytes:
    """The whole line, with its end."""
    return b"%b proof=%b\n" % (introduction, value.encode("ascii"))


def parse_introduction(line: bytes) -> tuple[Introduction, bytes, str]:
    """What the client says of itself, the part of the line that the proof covers, and the proof. Raises :class:`BadLine`.

    What it leaves out of name, boot, cluster, address and version is empty; so people need not type it.
    """
    covered, found, given = line.rpartition(b" proof=")
    request = parse_request(line)
    if not found or request.body is not None or b" " in given.rstrip():
        raise BadLine(request.tag, "the last word must be proof=HEX")
    try:
        facts = {"name": "", "boot": "", "cluster": _NONE, "version": str(VERSION), **request.options}
        return _introduction(int(facts["version"]), facts), covered, given.decode("ascii").rstrip().lower()
    except (ValueError, KeyError) as error:
        raise BadLine(request.tag, "AUTH takes node=ID|- nonce=HEX proof=HEX, and version=N") from error


def _facts(own: Introduction) -> dict[str, object]:
    return {
        "node": own.node or _NONE,
        "name": own.name[:NAME_LIMIT],
        "cluster": own.cluster or _NONE,
        "boot": own.boot or _NONE,
        "nonce": own.nonce,
    }


def _introduction(version: int, facts: Mapping[str, str]) -> Introduction:
    node, cluster, boot = ("" if facts[key] == _NONE else facts[key] for key in ("node", "cluster", "boot"))
    if not all(map(_ID, (node or "x", cluster or "x", boot or "x", facts["nonce"]))):
        raise ValueError("an id has 1 to 64 letters, digits, points, underscores and hyphens")
    if not (facts["name"] + facts.get("address", "")).isprintable():
        raise ValueError("name and address have no control characters")
    return Introduction(version, node, facts["name"], cluster, boot, facts["nonce"], facts.get("address", ""))
