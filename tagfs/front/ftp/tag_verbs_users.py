"""USERS, USER-ADD, USER-REMOVE, USER-ROLE, USER-PASSWD: who may log in. Layer: front."""

from __future__ import annotations

from tagfs.errors import BadRequest
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb
from tagfs.wire import tag_commands


async def users(exchange: Exchange) -> None:
    """``USERS``"""
    tag_commands.read_nothing(exchange.argument)
    found = await exchange.node.users(exchange.principal)
    exchange.open(214, "name, role")
    for name, role in found:
        exchange.row(f"{name}\t{role.name.lower()}")
    exchange.reply(214, f"total={len(found)}")


async def add(exchange: Exchange) -> None:
    """``USER-ADD name role``"""
    name, role = tag_commands.read_new_user(exchange.argument)
    await exchange.node.add_user(exchange.principal, name, role, _password(exchange))
    exchange.reply(250, f"added {name} with the role {role.name.lower()}")


async def remove(exchange: Exchange) -> None:
    """``USER-REMOVE name``"""
    name = tag_commands.read_user(exchange.argument)
    await exchange.node.remove_user(exchange.principal, name)
    exchange.reply(250, f"removed {name}")


async def role(exchange: Exchange) -> None:
    """``USER-ROLE name role``"""
    name, given = tag_commands.read_user_role(exchange.argument)
    await exchange.node.set_role(exchange.principal, name, given)
    exchange.reply(250, f"{name} has the role {given.name.lower()}")


async def passwd(exchange: Exchange) -> None:
    """``USER-PASSWD name``"""
    name = tag_commands.read_user(exchange.argument)
    asking = exchange.principal
    principal = await exchange.node.set_password(asking, name, _password(exchange))
    if asking.login and principal.name == asking.name:
        exchange.session.login(
            principal
        )  # who changes the own password goes on; other sessions under the old one do not
    exchange.reply(250, f"the password of {name} is changed")


def _password(exchange: Exchange) -> str:
    """The second line, as it is."""
    if not exchange.line:
        raise BadRequest("the line behind the command is the password; it is empty, not ended, missing or too long")
    return exchange.line.decode("utf-8", "surrogateescape")


VERBS = (
    Verb("USERS", users, "USERS", "lists the users, for admins"),
    Verb(
        "USER-ADD",
        add,
        "USER-ADD name role",
        "makes a user; the password is the next line",
        takes_line=True,
        finishes=True,
    ),
    Verb("USER-REMOVE", remove, "USER-REMOVE name", "removes a user; what that user stored stays", finishes=True),
    Verb("USER-ROLE", role, "USER-ROLE name role", "gives a user another role: read, write or admin", finishes=True),
    Verb(
        "USER-PASSWD",
        passwd,
        "USER-PASSWD name",
        "gives a user, or yourself, another password, which is the next line",
        takes_line=True,
        finishes=True,
    ),
)
