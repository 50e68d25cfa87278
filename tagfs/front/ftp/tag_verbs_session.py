"""HELP, NOOP, QUIT. Layer: front."""

from __future__ import annotations

from tagfs.errors import BadRequest
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb


def noop(exchange: Exchange) -> None:
    """``NOOP``"""
    exchange.reply(200, "OK")


def quit_(exchange: Exchange) -> None:
    """``QUIT``"""
    exchange.last_words = ""
    exchange.reply(221, "goodbye")


def help_(exchange: Exchange) -> None:
    """``HELP [verb]``"""
    name = exchange.argument.strip().upper()
    verbs = exchange.session.door.verbs
    if not name:
        exchange.open(214, "commands; HELP verb tells more of one")
        for verb in verbs.values():
            exchange.row(verb.usage or verb.name)
        exchange.reply(214, "End")
        return
    known = verbs.get(name.encode("utf-8", "replace"))
    if known is None:
        raise BadRequest(f"there is no command {name[:32]}; HELP lists the commands")
    exchange.open(214, known.usage or known.name)
    exchange.row(known.summary)
    exchange.reply(214, "End")


VERBS = (
    Verb("HELP", help_, "HELP [verb]", "lists the commands, or explains one", needs_login=False),
    Verb("NOOP", noop, "NOOP", "does nothing", needs_login=False, in_transfer=True),
    Verb("QUIT", quit_, "QUIT", "ends the session", needs_login=False),
)
