"""save, saved, unsave: saved searches. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.arguments import query_words
from tagfs.cli.command import Command, QueryCommand
from tagfs.cli.failure import NOTHING
from tagfs.cli.output import on_terminal, write_json, write_rows, write_table
from tagfs.cli.session import Session, pass_session


@click.command(cls=QueryCommand)
@click.argument("name")
@query_words(required=True)
@pass_session
def save(session: Session, name: str, query: str) -> None:
    """Save QUERY under NAME; FTP and the web show it as a folder."""
    session.client().save(name, query)


@click.command(cls=Command)
@pass_session
def saved(session: Session) -> None:
    """List the saved searches."""
    searches = session.client().saved()
    if session.json:
        write_json([{"name": name, "query": query} for name, query in searches])
    elif on_terminal() and searches:
        write_table(("NAME", "QUERY"), searches)
    else:
        write_rows(f"{name}\t{query}" for name, query in searches)
    if not searches:
        raise click.exceptions.Exit(NOTHING)


@click.command(cls=Command)
@click.argument("name")
@pass_session
def unsave(session: Session, name: str) -> None:
    """Forget the saved search NAME."""
    session.client().unsave(name)
