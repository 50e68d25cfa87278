"""user add|list|remove|passwd: who may log in (for administrators). Layer: cli."""

from __future__ import annotations

import sys

import click

from tagfs.cli.arguments import yes_option
from tagfs.cli.bulk import ask
from tagfs.cli.command import LazyGroup
from tagfs.cli.failure import UsageFailure
from tagfs.cli.output import note, printable_row, write_json
from tagfs.cli.session import Session, pass_session, read_password

ROLES = ("read", "write", "admin")
_file_option = click.option(
    "--password-file", "file", metavar="FILE", help="The new password is its first line; - is the standard input."
)


@click.group(cls=LazyGroup)
def user() -> None:
    """Say who may log in (for administrators)."""


@user.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), required=True, help="What the user may do; each includes those before it."
)
@_file_option
@pass_session
def add(session: Session, name: str, role: str, file: str | None) -> None:
    """Add the user NAME. The first user must be an admin."""
    from tagfs.client.text import word

    client = session.client()
    note(client.request_with_secret(f"USER-ADD {word(name)} {role}", _new_password(name, file)).text)


@user.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the users."""
    rows = session.client().request("USERS", repeatable=True).rows
    if session.json:
        write_json([row.split("\t") for row in rows])
    else:
        for row in rows:
            click.echo(printable_row(row))


@user.command()
@click.argument("name")
@yes_option()
@pass_session
def remove(session: Session, name: str, yes: bool) -> None:
    """Remove the user NAME."""
    from tagfs.client.text import word

    if not yes:
        ask(f"Remove the user {name}?")
    note(session.client().request(f"USER-REMOVE {word(name)}").text)


@user.command()
@click.argument("name")
@_file_option
@pass_session
def passwd(session: Session, name: str, file: str | None) -> None:
    """Give the user NAME another password."""
    from tagfs.client.text import word

    client = session.client()
    note(client.request_with_secret(f"USER-PASSWD {word(name)}", _new_password(name, file)).text)


def _new_password(name: str, file: str | None) -> str:
    if file is not None:
        return read_password(file)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageFailure("say where the new password is: --password-file FILE, or - for the standard input")
    return str(click.prompt(f"New password of {name}", hide_input=True, confirmation_prompt=True, err=True))
