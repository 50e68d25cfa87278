"""delete, restore, purge. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.arguments import dry_run_option, query_words, yes_option
from tagfs.cli.bulk import both, change, show_dry_run
from tagfs.cli.command import QueryCommand
from tagfs.cli.session import Session, pass_session


@click.command(cls=QueryCommand)
@query_words(required=True)
@yes_option()
@dry_run_option()
@pass_session
def delete(session: Session, query: str, yes: bool, dry_run: bool) -> None:
    """Move the entries that match QUERY to the trash.

    Asks first where it is more than one. They can be restored for some time (30 days unless the cluster says otherwise).
    """
    if dry_run:
        show_dry_run(session, query, "moved to the trash")
        return
    change(
        session, query, lambda: session.client().delete(query),
        done="moved to the trash", question="" if yes else "Move {} to the trash?",
    )  # fmt: skip


@click.command(cls=QueryCommand)
@query_words(required=True)
@dry_run_option()
@pass_session
def restore(session: Session, query: str, dry_run: bool) -> None:
    """Take the entries in the trash that match QUERY out of it."""
    trashed = both(session, query, "in:trash")
    if dry_run:
        show_dry_run(session, trashed, "restored")
        return
    change(session, trashed, lambda: session.client().restore(query), done="restored")


@click.command(cls=QueryCommand)
@query_words(required=True)
@yes_option()
@dry_run_option()
@pass_session
def purge(session: Session, query: str, yes: bool, dry_run: bool) -> None:
    """Forget the entries in the trash that match QUERY, for ever. Asks first."""
    trashed = both(session, query, "in:trash")
    if dry_run:
        show_dry_run(session, trashed, "forgotten for ever")
        return
    change(
        session, trashed, lambda: session.client().purge(query),
        done="forgotten for ever", question="" if yes else "Forget {} in the trash for ever?", always=True,
    )  # fmt: skip
