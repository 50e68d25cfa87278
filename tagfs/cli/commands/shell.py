"""shell: a prompt for the tag protocol, as ftp programs have it. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.command import Command
from tagfs.cli.session import Session, pass_session


@click.command(cls=Command)
@pass_session
def shell(session: Session) -> None:
    """Type commands of the tag protocol, with history and completion. help tells more.

    Reads a script where the standard input is no terminal; errors do not end it, but make the exit code 1.
    """
    from tagfs.cli.prompt import Prompt

    if not Prompt(session).run():
        raise click.exceptions.Exit(1)
