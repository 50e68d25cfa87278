"""HASH, XSHA256: digests of contents. Layer: front.

The BLAKE3 digest is the content's name and known; others take reading the content.
Source: draft-bryan-ftpext-hash, which is what clients implement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.file_state import lookup_of, state_of
from tagfs.front.ftp.verb import Verb
from tagfs.model.entry import Entry

ALGORITHMS: Mapping[str, Callable[[], Any] | None] = {
    "BLAKE3": None,
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA-1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
}
"""Digests that HASH can give, and what makes them; None for the one that is known."""
PIECE = 256 * 1024
"""Bytes hashed at once: about a tenth of a millisecond, so that other sessions do not wait."""


async def hash_(exchange: Exchange) -> None:
    """``HASH path``: ``213 algorithm 0-size digest path``"""
    state = state_of(exchange)
    algorithm = state.hash
    entry = await lookup_of(exchange).entry(state.path(exchange.argument))
    digest = await _digest(exchange, entry, algorithm)
    exchange.reply(213, f"{algorithm} 0-{entry.content.size} {digest} {exchange.argument}")


async def xsha256(exchange: Exchange) -> None:
    """``XSHA256 path``: ``250 digest``"""
    path = exchange.argument.strip()
    if len(path) > 1 and path[0] == path[-1] == '"':
        path = path[1:-1]
    entry = await lookup_of(exchange).entry(state_of(exchange).path(path))
    exchange.reply(250, await _digest(exchange, entry, "SHA-256"))


async def _digest(exchange: Exchange, entry: Entry, algorithm: str) -> str:
    make = ALGORITHMS[algorithm]
    if make is None:
        return entry.content.digest.hex()
    exchange.begin_transfer()  # it may take long: ABOR ends it
    digest = make()
    reading: Any = await exchange.node.read(exchange.principal, entry.id)
    try:
        while data := await reading.read(PIECE):
            digest.update(data)
    finally:
        reading.close()
    text: str = digest.hexdigest()
    return text


VERBS = (
    Verb("HASH", hash_, "HASH path", "tells the digest of a file; OPTS HASH chooses which", any_bytes=True),
    Verb("XSHA256", xsha256, "XSHA256 path", "tells the SHA-256 digest of a file", any_bytes=True),
)
