"""NODES, SYNC, CLUSTER, and the commands of administrators. Layer: front."""

from __future__ import annotations

from collections.abc import Mapping

from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb
from tagfs.node.interfaces import Retirement
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


async def leave(exchange: Exchange) -> None:
    """``NODE-LEAVE id``"""
    await _retire(exchange, Retirement.LEAVE, "leaves the cluster")


async def forget(exchange: Exchange) -> None:
    """``NODE-FORGET id``"""
    await _retire(exchange, Retirement.FORGET, "is forgotten")


async def drain(exchange: Exchange) -> None:
    """``NODE-DRAIN id``"""
    await _retire(exchange, Retirement.DRAIN, "is drained: no new contents are placed on it")


async def _retire(exchange: Exchange, how: Retirement, done: str) -> None:
    node = await exchange.node.retire(exchange.principal, tag_commands.read_node(exchange.argument), how)
    exchange.reply(250, f"{node} {done}")


async def cluster(exchange: Exchange) -> None:
    """``CLUSTER``"""
    tag_commands.read_nothing(exchange.argument)
    _show(exchange, await exchange.node.cluster_settings(exchange.principal))


async def cluster_set(exchange: Exchange) -> None:
    """``CLUSTER-SET name=value …``"""
    changes = tag_commands.read_settings(exchange.argument)
    _show(exchange, await exchange.node.set_cluster_settings(exchange.principal, changes))


def _show(exchange: Exchange, settings: Mapping[str, str]) -> None:
    exchange.open(214, "name, value")
    for name, value in settings.items():
        exchange.row(f"{name}\t{plain(value)}")
    exchange.reply(214, "End")


VERBS = (
    Verb("NODES", nodes, "NODES", "lists the nodes of the cluster"),
    Verb("SYNC", sync, "SYNC [seconds]", "waits until this node has all that its live peers have"),
    Verb("NODE-LEAVE", leave, "NODE-LEAVE id", "a node leaves the cluster for good", finishes=True),
    Verb("NODE-FORGET", forget, "NODE-FORGET id", "a node that is gone for good leaves the cluster", finishes=True),
    Verb("NODE-DRAIN", drain, "NODE-DRAIN id", "a node hands over what it keeps, and stays", finishes=True),
    Verb("CLUSTER", cluster, "CLUSTER", "lists the settings of the cluster"),
    Verb("CLUSTER-SET", cluster_set, "CLUSTER-SET name=value …", "changes settings of the cluster", finishes=True),
)
