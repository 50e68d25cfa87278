"""export and backup: contents as files in their home folders, and everything else in tagfs.jsonl. Layer: cli."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tagfs.cli.arguments import dry_run_option, one_query
from tagfs.cli.arriving import candidates, holds, make_folder
from tagfs.cli.bulk import show_dry_run
from tagfs.cli.command import Command, QueryCommand
from tagfs.cli.downloads import Wanted, download
from tagfs.cli.failure import NOTHING, Failure
from tagfs.cli.intake.manifest import NAME, ManifestFile, line_of, line_of_search
from tagfs.cli.output import many, note, say, write_json
from tagfs.cli.progress import Bar, Share, progress
from tagfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from tagfs.client import Client


@click.command(cls=QueryCommand)
@one_query(empty=True)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@dry_run_option()
@pass_session
def export(session: Session, query: str, folder: str, dry_run: bool) -> None:
    """Write the entries that match QUERY (one argument; "" for all) below DIR: files in their home folders, with their times,
    and a tagfs.jsonl that has everything known of them. tagfs import DIR takes it back.

    Nothing is overwritten: where a name is taken by another content, the end of the entry's id is added to it. What is there
    already is not fetched again.
    """
    if dry_run:
        show_dry_run(session, query, f"exported to {folder}")
        return
    _write(session, query, folder, "exported")


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@pass_session
def backup(session: Session, folder: str) -> None:
    """Copy all entries outside the trash to DIR, as export does, and the saved searches. tagfs import DIR brings them back.

    Made again into the same DIR, it fetches only what is new. What was deleted meanwhile stays there as a file, but is no
    longer in tagfs.jsonl, and so is not brought back.
    """
    _write(session, "", folder, "backed up", searches=True)


def _write(session: Session, query: str, folder: str, done: str, searches: bool = False) -> None:
    """Writes what matches below the folder. A list that was there before stays where nothing matches, or the rest fails."""
    client = session.client()
    total = client.count(query)
    if not total:
        note("nothing matches")
        raise click.exceptions.Exit(NOTHING)
    os.makedirs(folder, exist_ok=True)
    with ManifestFile(folder) as manifest, progress(session, total, "writing") as bar:
        written, failed = 0, 0
        for text in _all(client, query, folder, bar):
            if isinstance(text, Failure):
                failed += 1
                note(text.format_message())
            else:
                manifest.write(text)
                written += 1
        for name, text in client.saved() if searches else ():
            manifest.write(line_of_search(name, text))
    if session.json:
        write_json({done.replace(" ", "_"): written, "failed": failed})
    else:
        say(f"{many(written, 'entry')} {done} to {folder}" + (f", {failed:,} failed" if failed else ""))
    if failed:
        raise click.exceptions.Exit(NOTHING)


def _all(client: Client, query: str, folder: str, bar: Bar) -> Iterator[str | Failure]:
    """For each entry its line of the manifest, when its file is in place. In order of names: an import finds twins
    beside each other (tagfs.cli.intake.storing)."""
    from tagfs.cli.pages import informed, pages

    for _, rows in pages(client, query, sort="name"):
        wanted = []
        for row, info in informed(client, rows):
            directory = os.path.join(folder, make_folder(folder, info.get("home")))
            wanted.append(Wanted(row.id, row.name, info, directory))
        paths = _files(client, wanted, folder, bar)
        for item in wanted:
            outcome = paths[item.id]
            yield outcome if isinstance(outcome, Failure) else line_of(item.info, outcome)


def _files(client: Client, wanted: list[Wanted], folder: str, bar: Bar) -> dict[str, str | Failure]:
    """For each entry the path of its file below the folder; what is there from an earlier export is not fetched again."""
    paths: dict[str, str | Failure] = {}
    missing = []
    for item in wanted:
        name = _present(item)
        if name is None:
            missing.append(item)
        else:
            paths[item.id] = _below(folder, item, name)
            Share(bar, 0).done()
    for item, outcome in download(client, missing, bar, reserved=os.path.join(folder, NAME)):
        paths[item.id] = outcome if isinstance(outcome, Failure) else _below(folder, item, outcome)
    return paths


def _below(folder: str, item: Wanted, name: str) -> str:
    return os.path.normpath(os.path.join(os.path.relpath(item.directory, folder), name))


def _present(item: Wanted) -> str | None:
    """The name of the entry's content in its directory, where it was exported before."""
    size = item.info.get("size")
    for name in candidates(item.name, item.id)[:2]:
        path = os.path.join(item.directory, name)
        if size.isdigit() and holds(path, int(size), item.info.get("digest")):
            return name
    return None
