"""cluster show|set: the settings that hold for all nodes. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.command import Command, LazyGroup
from tagfs.cli.output import on_terminal, write_json, write_rows, write_table
from tagfs.cli.session import Session, pass_session


@click.group(cls=LazyGroup)
def cluster() -> None:
    """Show and change the settings that hold for all nodes of the cluster."""


@cluster.command(cls=Command)
@pass_session
def show(session: Session) -> None:
    """Show the cluster's id and settings."""
    _write(session, session.client().cluster_settings())


@cluster.command("set", cls=Command)
@click.argument("changes", metavar="NAME=VALUE…", nargs=-1, required=True)
@pass_session
def set_(session: Session, changes: tuple[str, ...]) -> None:
    """Change settings on all nodes: copies, write_copies, out_after (seconds), trash_days."""
    _write(session, session.client().set_cluster_settings(changes))


def _write(session: Session, settings: list[tuple[str, str]]) -> None:
    if session.json:
        write_json(dict(settings))
    elif on_terminal():
        write_table(("NAME", "VALUE"), settings)
    else:
        write_rows(f"{name}\t{value}" for name, value in settings)
