"""HELP, NOOP, QUIT. Layer: front."""

from __future__ import annotations

from tagfs.errors import QueryError
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb
from tagfs.wire import tag_commands


def noop(exchange: Exchange) -> None:
    """``NOOP``"""
    exchange.reply(200, "OK")


def quit_(exchange: Exchange) -> None:
    """``QUIT``"""
    exchange.last_words = ""
    exchange.reply(221, "goodbye")


def help_(exchange: Exchange) -> None:
    """``HELP [verb]``"""
    asked = tag_commands.read_verb(exchange.argument)
    verbs = exchange.session.door.verbs
    if asked is None:
        exchange.open(214, "commands; HELP verb tells more of one")
        for verb in verbs.values():
            exchange.row(verb.usage or verb.name)
        exchange.reply(214, "End")
        return
    name, column = asked[0].upper(), asked[1]
    known = verbs.get(name.encode("utf-8", "replace"))
    if known is None:
        raise QueryError(f"there is no command {name[:32]}; HELP lists the commands", column)
    exchange.open(214, known.usage or known.name)
    exchange.row(known.summary)
    exchange.reply(214, "End")


VERBS = (
    Verb("HELP", help_, "HELP [verb]", "lists the commands, or explains one", needs_login=False),
    Verb("NOOP", noop, "NOOP", "does nothing", needs_login=False, in_transfer=True),
    Verb("QUIT", quit_, "QUIT", "ends the session", needs_login=False),
)
