"""get, cat: contents to files and to the standard output. Layer: cli."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tagfs.cli.arguments import dry_run_option, query_words
from tagfs.cli.bulk import show_dry_run
from tagfs.cli.command import Command, QueryCommand
from tagfs.cli.failure import NOTHING, Failure
from tagfs.cli.output import note, say, write_json
from tagfs.cli.progress import Bar, progress
from tagfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from tagfs.cli.downloads import Wanted


@click.command(cls=QueryCommand)
@query_words(required=True)
@click.option(
    "-o", "--output", "directory", default=".", metavar="DIR", type=click.Path(file_okay=False),
    help="Where to; made if it is not there [the current directory].",
)  # fmt: skip
@dry_run_option()
@pass_session
def get(session: Session, query: str, directory: str, dry_run: bool) -> None:
    """Fetch the contents of all entries that match QUERY into files of their names.

    Nothing is overwritten: where a name is taken by another content, the end of the entry's id is added to it. Prints the
    files.
    """
    if dry_run:
        show_dry_run(session, query, f"fetched into {directory}")
        return
    client = session.client()
    total = client.count(query)
    if total:
        os.makedirs(directory, exist_ok=True)
    done: list[dict[str, str]] = []
    failed = 0
    with progress(session, total, "fetching") as bar:
        for item, outcome in _all(session, query, directory, bar):
            if isinstance(outcome, Failure):
                failed += 1
                note(outcome.format_message())
                continue
            path = os.path.join(directory, outcome)
            done.append({"id": item.id, "path": path}) if session.json else say(path)
    if session.json:
        write_json(done)
    if not total:
        note("nothing matches")
    if failed or not total:
        raise click.exceptions.Exit(NOTHING)


def _all(session: Session, query: str, directory: str, bar: Bar) -> Iterator[tuple[Wanted, str | Failure]]:
    from tagfs.cli.downloads import Wanted, download
    from tagfs.cli.pages import informed, pages

    client = session.client()
    for _, rows in pages(client, query, sort="name"):
        wanted = [Wanted(row.id, row.name, info, directory) for row, info in informed(client, rows)]
        yield from download(client, wanted, bar)


@click.command(cls=Command)
@click.argument("entry_id", metavar="ID")
@pass_session
def cat(session: Session, entry_id: str) -> None:
    """Write the content of the entry ID to the standard output."""
    from tagfs.cli.identifiers import whole_id

    client = session.client()
    out = sys.stdout.buffer
    client.get(whole_id(client, entry_id), out.write)
    out.flush()
