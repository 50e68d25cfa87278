"""nodes, node leave|forget|drain, cluster-key. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.arguments import yes_option
from tagfs.cli.bulk import ask
from tagfs.cli.command import Command, LazyGroup
from tagfs.cli.output import human_size, on_terminal, say, write_json, write_rows, write_table
from tagfs.cli.session import Session, pass_session

KEY_BYTES = 32
"""Random bytes of a cluster key: 64 hex digits."""


@click.command(cls=Command)
@pass_session
def nodes(session: Session) -> None:
    """List the nodes of the cluster as the asked one sees them."""
    found = session.client().nodes()
    if session.json:
        write_json([node._asdict() for node in found])
    elif on_terminal():
        write_table(
            ("ID", "NAME", "ZONE", "STATE", "ADDRESS", "ENTRIES", "SIZE"),
            ((*node[:5], f"{node.entries:,}", human_size(node.bytes)) for node in found),
            right=[5, 6],
        )
    else:
        write_rows("\t".join(map(str, node)) for node in found)


@click.group(cls=LazyGroup)
def node() -> None:
    """Take nodes out of the cluster (for its administrator)."""


@node.command()
@click.argument("node_id", metavar="ID")
@yes_option()
@pass_session
def leave(session: Session, node_id: str, yes: bool) -> None:
    """The node ID hands over what it keeps and leaves."""
    if not yes:
        ask(f"Take the node {node_id} out of the cluster?")
    _send(session, "NODE-LEAVE", node_id)


@node.command()
@click.argument("node_id", metavar="ID")
@yes_option()
@pass_session
def forget(session: Session, node_id: str, yes: bool) -> None:
    """The node ID is gone for good: the others make new copies of what it held."""
    if not yes:
        ask(f"Forget the node {node_id}? It can come back only as a new, empty node.")
    _send(session, "NODE-FORGET", node_id)


@node.command()
@click.argument("node_id", metavar="ID")
@pass_session
def drain(session: Session, node_id: str) -> None:
    """The node ID hands over what it keeps, and stays."""
    _send(session, "NODE-DRAIN", node_id)


def _send(session: Session, verb: str, node_id: str) -> None:
    from tagfs.client.text import word

    say(session.client().request(f"{verb} {word(node_id)}").text)


@click.command("cluster-key", cls=Command)
@click.argument("file", type=click.Path(dir_okay=False, resolve_path=False))
def cluster_key(file: str) -> None:
    """Make a new cluster key in FILE, which must not exist. Copy it to every node; whoever has it can join."""
    import os
    import secrets

    from tagfs.cli.failure import Failure

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Failure(f"{file} exists; a key in use is never overwritten") from None
    with os.fdopen(descriptor, "w") as key:
        os.fchmod(descriptor, 0o600)
        key.write(secrets.token_hex(KEY_BYTES) + "\n")
        key.flush()
        os.fsync(descriptor)
