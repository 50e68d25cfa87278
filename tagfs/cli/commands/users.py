"""user add|list|remove|role|passwd: who may log in (for admins). Layer: cli.

With ``--data`` the data directory of a stopped node is worked on, without asking anybody: for the first admin of a node that
others shall reach, and for who has lost the last password. Only there are parts of the node imported.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from tagfs.cli.arguments import yes_option
from tagfs.cli.bulk import ask
from tagfs.cli.command import LazyGroup
from tagfs.cli.failure import UsageFailure
from tagfs.cli.output import note, on_terminal, printable_row, write_json, write_table
from tagfs.cli.session import Session, pass_session, read_password

if TYPE_CHECKING:
    from tagfs.node.roster import Roster

ROLES = ("read", "write", "admin")
_file_option = click.option(
    "--password-file", "file", metavar="FILE", help="The new password is its first line; - is the standard input."
)
_role_option = click.option(
    "--role", type=click.Choice(ROLES), required=True, help="What the user may do; each includes those before it."
)
_data_option = click.option(
    "--data", "data", metavar="DIR", help="Work on the data directory of a node that does not run."
)


@click.group(cls=LazyGroup)
def user() -> None:
    """Say who may log in (for admins)."""


@user.command()
@click.argument("name")
@_role_option
@_file_option
@_data_option
@pass_session
def add(session: Session, name: str, role: str, file: str | None, data: str | None) -> None:
    """Add the user NAME. The first user must be an admin."""
    from tagfs.client.text import word

    if data is None:
        client = session.client()
        note(client.request_with_secret(f"USER-ADD {word(name)} {role}", _new_password(name, file)).text)
        return
    from tagfs.model.users import read_role

    with _roster(data) as roster:
        note(f"added {roster.add(name, read_role(role), _new_password(name, file))} with the role {role}")


@user.command("list")
@_data_option
@pass_session
def list_(session: Session, data: str | None) -> None:
    """List the users and their roles."""
    if data is None:
        rows = [row.split("\t") for row in session.client().request("USERS", repeatable=True).rows]
    else:
        with _roster(data) as roster:
            rows = [[each.name, each.role.name.lower()] for each in roster.list()]
    if session.json:
        write_json([dict(zip(("name", "role"), row, strict=False)) for row in rows])
    elif on_terminal():
        write_table(("NAME", "ROLE"), rows)
    else:
        for row in rows:
            click.echo(printable_row("\t".join(row)))


@user.command()
@click.argument("name")
@yes_option()
@_data_option
@pass_session
def remove(session: Session, name: str, yes: bool, data: str | None) -> None:
    """Remove the user NAME; the files stay."""
    from tagfs.client.text import word

    if not yes:
        ask(f"Remove the user {name}?")
    if data is None:
        note(session.client().request(f"USER-REMOVE {word(name)}").text)
        return
    with _roster(data) as roster:
        roster.remove(name)
    note(f"removed {name}")


@user.command()
@click.argument("name")
@_role_option
@_data_option
@pass_session
def role(session: Session, name: str, role: str, data: str | None) -> None:
    """Give the user NAME another role."""
    from tagfs.client.text import word

    if data is None:
        note(session.client().request(f"USER-ROLE {word(name)} {role}").text)
        return
    from tagfs.model.users import read_role

    with _roster(data) as roster:
        roster.set_role(name, read_role(role))
    note(f"{name} has the role {role}")


@user.command()
@click.argument("name")
@_file_option
@_data_option
@pass_session
def passwd(session: Session, name: str, file: str | None, data: str | None) -> None:
    """Give the user NAME another password. Users may do that for themselves."""
    from tagfs.client.text import word

    if data is None:
        client = session.client()
        note(client.request_with_secret(f"USER-PASSWD {word(name)}", _new_password(name, file)).text)
        return
    with _roster(data) as roster:
        roster.set_password(name, _new_password(name, file))
    note(f"the password of {name} is changed")


def _roster(data: str) -> AbstractContextManager[Roster]:
    from pathlib import Path

    from tagfs.node.roster import roster_of

    return roster_of(Path(data))


def _new_password(name: str, file: str | None) -> str:
    if file is not None:
        return read_password(file)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageFailure("say where the new password is: --password-file FILE, or - for the standard input")
    return str(click.prompt(f"New password of {name}", hide_input=True, confirmation_prompt=True, err=True))
