"""USER, PASS, ACCT, REIN, AUTH, PBSZ, PROT: who asks, and whether others can listen. Layer: front.

Sources: RFC 959, RFC 4217 (AUTH TLS).
"""

from __future__ import annotations

from tagfs.errors import BadRequest, Forbidden, TagfsError
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.file_state import state_of
from tagfs.front.ftp.file_verbs_setup import BadSequence, NotForThis
from tagfs.front.ftp.verb import Verb


class NotLoggedIn(TagfsError):
    """The name and the password do not go together."""

    ftp = 530


class NotProtected(TagfsError):
    """There is no such protection here (RFC 2228 section 5)."""

    ftp = 534


def user(exchange: Exchange) -> None:
    """``USER name``"""
    name = exchange.argument.strip()
    if not name:
        raise BadRequest("USER takes a name")
    state = state_of(exchange)
    if state.door.require_tls and not exchange.session.secure:
        raise NotProtected("AUTH TLS comes first: passwords go over TLS here")
    exchange.session.logout()
    state.user = name
    exchange.reply(331, "PASS comes next")


async def pass_(exchange: Exchange) -> None:
    """``PASS password``"""
    state = state_of(exchange)
    name, state.user = state.user, ""
    if not name:
        raise BadSequence("USER comes first")
    try:
        principal = await exchange.node.login(name, exchange.argument, exchange.session.host)
    except Forbidden as error:
        raise NotLoggedIn(str(error)) from None
    # Who did not log in as a user is whom the node says, and loses that when users appear.
    if principal.login:
        exchange.session.login(principal)
    exchange.reply(230, f"welcome, {principal.name}")


def acct(exchange: Exchange) -> None:
    """``ACCT account``"""
    exchange.reply(202, "there are no accounts here")


def rein(exchange: Exchange) -> None:
    """``REIN``: the session is as at its start"""
    exchange.session.logout()
    state_of(exchange).reset()
    exchange.reply(220, "ready again")


def auth(exchange: Exchange) -> None:
    """``AUTH TLS``; its older names SSL and TLS-P make data connections private, too (RFC 4217, appendix A)"""
    mechanism = exchange.argument.strip().upper()
    state = state_of(exchange)
    if mechanism not in ("TLS", "TLS-C", "SSL", "TLS-P"):
        raise NotForThis("AUTH takes TLS")
    if state.tls is None:
        raise NotProtected("there is no TLS on this listener")
    if exchange.session.secure:
        raise NotProtected("TLS is on already")
    exchange.reply(234, "TLS begins")
    exchange.session.start_tls(state.tls)
    exchange.session.logout()
    state.reset()
    state.private = state.buffer_agreed = mechanism in ("SSL", "TLS-P")


def pbsz(exchange: Exchange) -> None:
    """``PBSZ 0``"""
    if not exchange.session.secure:
        raise BadSequence("AUTH TLS comes first")
    size = exchange.argument.strip()
    if not (size.isascii() and size.isdigit() and int(size[:11]) < 1 << 32):
        raise BadRequest("PBSZ takes a size in bytes, which is 0 for TLS")
    state_of(exchange).buffer_agreed = True
    exchange.reply(200, "PBSZ=0")


def prot(exchange: Exchange) -> None:
    """``PROT P`` or ``PROT C``"""
    state = state_of(exchange)
    if not state.buffer_agreed:
        raise BadSequence("AUTH TLS and PBSZ 0 come first")
    level = exchange.argument.strip().upper()
    if level in ("E", "S"):
        raise ProtUnknown(f"there is no protection {level} with TLS; PROT takes P or C")
    if level not in ("C", "P"):
        raise NotForThis("PROT takes P or C")
    if level == "C" and state.door.require_tls:
        raise NotProtected("data connections are private here; PROT P")
    state.private = level == "P"
    exchange.reply(200, "data connections are private" if state.private else "data connections are in the clear")


class ProtUnknown(TagfsError):
    """That level of protection does not go with TLS (RFC 2228 section 3)."""

    ftp = 536


VERBS = (
    Verb("USER", user, "USER name", "begins the login", needs_login=False, any_bytes=True),
    Verb("PASS", pass_, "PASS password", "ends the login", needs_login=False, any_bytes=True),
    Verb("ACCT", acct, "ACCT account", "is not needed here"),
    Verb("REIN", rein, "REIN", "logs out and begins anew"),
    Verb("AUTH", auth, "AUTH TLS", "turns TLS on", needs_login=False),
    Verb("PBSZ", pbsz, "PBSZ 0", "comes before PROT", needs_login=False),
    Verb("PROT", prot, "PROT P|C", "data connections go over TLS, or in the clear", needs_login=False),
)
