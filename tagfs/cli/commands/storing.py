"""add: storing files. Layer: cli."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import click

from tagfs.cli.arguments import tag_option
from tagfs.cli.command import Command
from tagfs.cli.failure import Failure, UsageFailure
from tagfs.cli.output import note, printable, write_json
from tagfs.cli.progress import Bar, Share, progress
from tagfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from tagfs.client import Body, Stored
    from tagfs.client.pipeline import Command as Sent


class Given(NamedTuple):
    """A file of the command line."""

    path: str
    name: str
    body: Body
    modified: str
    key: str


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@tag_option()
@click.option("--name", help="Store it under this name (for one FILE, or the standard input, -).")
@click.option("--home", metavar="FOLDER", help="The folder of /@tree to show it in.")
@pass_session
def add(session: Session, files: tuple[str, ...], tags: tuple[str, ...], name: str | None, home: str | None) -> None:
    """Store FILES, each as a new entry with the given tags. Prints each entry's id.

    - is the standard input, and needs a --name.
    """
    from tagfs.model.names import check_home

    if name is not None and len(files) > 1:
        raise UsageFailure("--name is for one file")
    folder = check_home(home.strip("/")) if home is not None else None
    given = [_given(path, name) for path in files]
    with progress(session, len(given), "storing") as bar:
        stored, failed = _store(session, given, tags, folder, bar)
    if session.json:
        write_json([_as_json(item, made) for item, made in stored])
    else:
        for item, made in stored:
            click.echo(f"{made.id}\t{printable(item.name)}")
    for text in failed:
        note(text)
    if any(made.kept for _, made in stored):
        note("some have fewer copies than demanded; the node keeps them and will complete the copies")
    elif any(made.degraded for _, made in stored):
        note("fewer copies than usual could be made; they will be completed")
    if failed:
        raise click.exceptions.Exit(1)


def _given(path: str, name: str | None) -> Given:
    from tagfs.cli.times import file_time, now_text
    from tagfs.client import Body
    from tagfs.model.names import check_name

    key = os.urandom(12).hex()
    if path == "-":
        if name is None:
            raise UsageFailure("the standard input needs a --name")
        spooled = _spooled()
        size = spooled.seek(0, os.SEEK_END)
        return Given(path, check_name(name), Body(lambda: _again(spooled), size, "standard input"), now_text(), key)
    if os.path.isdir(path):
        raise UsageFailure(f"{path} is a folder; store it with: tagfs import {path}")
    if not os.path.isfile(path) and os.path.exists(path):
        raise UsageFailure(
            f"{path} is no regular file; what can be read from it is stored with: tagfs add - --name NAME < {path}"
        )
    found = os.stat(path)
    if not os.access(path, os.R_OK):
        raise Failure(f"{path}: no permission to read it")
    shown = check_name(name or os.path.basename(os.path.abspath(path)))
    return Given(path, shown, Body(lambda: open(path, "rb"), found.st_size, path), file_time(found), key)


def _spooled() -> BinaryIO:
    """The standard input in a temporary file: its size must be known before it is sent."""
    import shutil
    import tempfile

    file = tempfile.TemporaryFile()  # noqa: SIM115 (read when it is sent; closed with the command)
    click.get_current_context().call_on_close(file.close)
    shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    return file


def _again(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return os.fdopen(os.dup(file.fileno()), "rb")


def _store(
    session: Session, given: list[Given], tags: tuple[str, ...], folder: str | None, bar: Bar
) -> tuple[list[tuple[Given, Stored]], list[str]]:
    from tagfs.client import Refused, SourceFailed, insistently
    from tagfs.client.adding import add_command, stored_or_raise

    def command(item: Given) -> Sent:
        body = item.body._replace(progress=Share(bar, item.body.size).piece)
        return add_command(item.name, body, tags=tags, key=item.key, modified=item.modified, folder=folder)

    stored: list[tuple[Given, Stored]] = []
    failed: list[str] = []
    for item, outcome in insistently(session.client(), given, command):
        try:
            if isinstance(outcome, SourceFailed):
                failed.append(str(outcome))
            else:
                stored.append((item, stored_or_raise(outcome)))
        except Refused as error:
            failed.append(f"{item.path}: {error}")
    return stored, failed


def _as_json(item: Given, made: Stored) -> dict[str, object]:
    return {"id": made.id, "name": item.name, "path": item.path, "copies": made.have, "wanted": made.want}
