"""NODES, SYNC, and the commands of administrators. Layer: front."""

from __future__ import annotations

from tagfs.errors import NotSupported
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb
from tagfs.wire import tag_commands
from tagfs.wire.tag_rows import plain

SYNC_S = 30.0
"""How long SYNC waits where it is not told, in seconds."""


async def nodes(exchange: Exchange) -> None:
    """``NODES``"""
    found = await exchange.node.nodes(exchange.principal)
    exchange.open(211, "id, name, zone, state, address, entries, bytes")
    for node in found:
        exchange.row("\t".join(plain(str(value)) for value in node))
    exchange.reply(211, "End")


async def sync(exchange: Exchange) -> None:
    """``SYNC [seconds]``"""
    seconds = tag_commands.read_seconds(exchange.argument, SYNC_S)
    if await exchange.node.sync(exchange.principal, seconds):
        exchange.reply(250, "this node has all that its live peers had")
    else:
        exchange.reply(450, f"not in step after {seconds:g} s; this node may lack what its peers have")


def unsupported(exchange: Exchange) -> None:
    """What this node cannot do."""
    raise NotSupported(f"{exchange.verb.name} is not supported by this node")


def _admin(usage: str, summary: str) -> Verb:
    return Verb(usage.split(" ")[0], unsupported, usage, summary, finishes=True)


VERBS = (
    Verb("NODES", nodes, "NODES", "lists the nodes of the cluster"),
    Verb("SYNC", sync, "SYNC [seconds]", "waits until this node has all that its live peers have"),
    _admin("NODE-LEAVE id", "a node hands over what it keeps and leaves the cluster"),
    _admin("NODE-FORGET id", "a node that is gone for good leaves the cluster"),
    _admin("NODE-DRAIN id", "a node hands over what it keeps"),
)
