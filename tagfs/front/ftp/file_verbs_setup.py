"""TYPE, MODE, STRU, PASV, EPSV, PORT, EPRT, OPTS, FEAT and such: what is agreed on before a transfer. Layer: front.

Sources: RFC 959, RFC 2389 (FEAT, OPTS), RFC 2428 (EPSV, EPRT), RFC 2640 (UTF8), RFC 7151 (HOST).
"""

from __future__ import annotations

from ipaddress import IPv4Address

from tagfs.errors import BadRequest, TagfsError
from tagfs.front.ftp.data_lines import check_epsv, epsv_text, parse_eprt, parse_port, pasv_text
from tagfs.front.ftp.data_ports import NoDataConnection
from tagfs.front.ftp.directory.formats import FACTS
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.file_state import FileState, state_of
from tagfs.front.ftp.file_verbs_hash import ALGORITHMS
from tagfs.front.ftp.verb import Verb


class NotForThis(TagfsError):
    """The command is known, but not with this argument."""

    ftp = 504


class BadSequence(TagfsError):
    """Another command must come first."""

    ftp = 503


def syst(exchange: Exchange) -> None:
    """``SYST``: clients read from this that binary transfers and Unix listings fit."""
    exchange.reply(215, "UNIX Type: L8")


def feat(exchange: Exchange) -> None:
    """``FEAT``"""
    state = state_of(exchange)
    exchange.open(211, "Features")
    for feature in _features(state):
        exchange.row(feature)
    exchange.reply(211, "End")


def _features(state: FileState) -> list[str]:
    facts = "".join(f"{fact}{'*' if fact in state.facts else ''};" for fact in FACTS)
    algorithms = ";".join(f"{name}{'*' if name == state.hash else ''}" for name in ALGORITHMS)
    features = ["CLNT", "EPRT", "EPSV", f"HASH {algorithms}", "HOST", "MDTM", "MFMT", f"MLST {facts}"]
    features += ["REST STREAM", "SIZE", "TVFS", "UTF8", "XSHA256"]
    if state.tls is not None:
        features += ["AUTH TLS", "PBSZ", "PROT"]
    return sorted(features)


def opts(exchange: Exchange) -> None:
    """``OPTS UTF8 ON``, ``OPTS MLST fact;…``, ``OPTS HASH algorithm``"""
    name, _, value = exchange.argument.strip().partition(" ")
    state = state_of(exchange)
    match name.upper():
        case "UTF8" | "UTF-8":
            if value.strip().upper() not in ("", "ON"):
                raise NotForThis("names are always in UTF-8 here")
            exchange.reply(200, "names are always in UTF-8 here")
        case "MLST":
            wanted = {fact.strip().lower() for fact in value.split(";")}
            state.facts = frozenset(FACTS) & wanted
            chosen = "".join(f"{fact};" for fact in FACTS if fact in state.facts)
            exchange.reply(200, f"MLST OPTS {chosen}".rstrip())
        case "HASH":
            if value and value.strip().upper() not in ALGORITHMS:
                raise BadRequest(f"HASH knows {', '.join(ALGORITHMS)}")
            state.hash = value.strip().upper() or state.hash
            exchange.reply(200, state.hash)
        case _:
            raise BadRequest("OPTS takes UTF8 ON, MLST and facts, or HASH and an algorithm")


def clnt(exchange: Exchange) -> None:
    """``CLNT name``: which program the client is; nothing depends on it."""
    exchange.reply(200, "noted")


def host(exchange: Exchange) -> None:
    """``HOST name``: the same files are served under every name."""
    if not exchange.argument.strip():
        raise BadRequest("HOST takes the name under which you know this server")
    exchange.reply(220, exchange.node.name)


def type_(exchange: Exchange) -> None:
    """``TYPE A [N]``, ``TYPE I``, ``TYPE L 8``"""
    wanted = exchange.argument.upper().split()
    state = state_of(exchange)
    if wanted in (["A"], ["A", "N"]):
        state.ascii = True
        exchange.reply(200, "type is A: line ends go as CRLF")
    elif wanted in (["I"], ["L", "8"], ["L8"]):
        state.ascii = False
        exchange.reply(200, "type is I: contents go as they are")
    elif wanted and wanted[0] in ("A", "E", "I", "L"):
        raise NotForThis("TYPE takes A, I or L 8")
    else:
        raise BadRequest("TYPE takes A, I or L 8")


def mode(exchange: Exchange) -> None:
    """``MODE S``"""
    _only(exchange, "S", "BC", "stream")


def stru(exchange: Exchange) -> None:
    """``STRU F``"""
    _only(exchange, "F", "RP", "file")


def _only(exchange: Exchange, taken: str, known: str, word: str) -> None:
    wanted = exchange.argument.strip().upper()
    if wanted == taken:
        exchange.reply(200, f"{exchange.verb.name} is {taken} ({word})")
    elif len(wanted) == 1 and wanted in known:
        raise NotForThis(f"{exchange.verb.name} takes {taken} only")
    else:
        raise BadRequest(f"{exchange.verb.name} takes {taken}")


def allo(exchange: Exchange) -> None:
    """``ALLO size [R size]``: the next upload is refused at once if that does not fit."""
    size = exchange.argument.split()[:1]
    if not size or not (size[0].isascii() and size[0].isdigit() and len(size[0]) < 20):
        raise BadRequest("ALLO takes a size in bytes")
    state_of(exchange).announced = int(size[0])
    exchange.reply(200, "noted")


# Data connections


async def pasv(exchange: Exchange) -> None:
    """``PASV``"""
    state = _not_extended_only(exchange)
    if not isinstance(state.data.local, IPv4Address):
        raise NoDataConnection("PASV is for IPv4 and this session is not; use EPSV")
    address, port = await state.data.listen()
    assert isinstance(address, IPv4Address)
    exchange.reply(227, pasv_text(address, port))


async def epsv(exchange: Exchange) -> None:
    """``EPSV [1|2|ALL]``"""
    state = state_of(exchange)
    if exchange.argument.strip().upper() == "ALL":
        state.extended_only = True
        exchange.reply(200, "only EPSV from now on")
        return
    check_epsv(exchange.argument, state.data.local)
    _, port = await state.data.listen()
    exchange.reply(229, epsv_text(port))


def port(exchange: Exchange) -> None:
    """``PORT h1,h2,h3,h4,p1,p2``"""
    _not_extended_only(exchange).data.call(parse_port(exchange.argument))
    exchange.reply(200, "PORT is set")


def eprt(exchange: Exchange) -> None:
    """``EPRT |1|address|port|``"""
    _not_extended_only(exchange).data.call(parse_eprt(exchange.argument.strip()))
    exchange.reply(200, "EPRT is set")


def _not_extended_only(exchange: Exchange) -> FileState:
    state = state_of(exchange)
    if state.extended_only:
        raise BadSequence("you said EPSV ALL, so only EPSV is taken")
    return state


VERBS = (
    Verb("SYST", syst, "SYST", "tells what kind of system this is", needs_login=False),
    Verb("FEAT", feat, "FEAT", "lists what is spoken here beyond RFC 959", needs_login=False),
    Verb("OPTS", opts, "OPTS UTF8 ON|MLST facts|HASH algorithm", "chooses options of a command", needs_login=False),
    Verb("CLNT", clnt, "CLNT name", "tells which program the client is", needs_login=False),
    Verb("HOST", host, "HOST name", "tells under which name this server was called", needs_login=False),
    Verb("TYPE", type_, "TYPE A|I|L 8", "chooses text or binary transfers"),
    Verb("MODE", mode, "MODE S", "chooses the transfer mode; there is only stream"),
    Verb("STRU", stru, "STRU F", "chooses the file structure; there is only file"),
    Verb("ALLO", allo, "ALLO size", "announces the size of the next upload"),
    Verb("PASV", pasv, "PASV", "the client opens the data connection (IPv4)"),
    Verb("EPSV", epsv, "EPSV [1|2|ALL]", "the client opens the data connection"),
    Verb("PORT", port, "PORT h1,h2,h3,h4,p1,p2", "this server opens the data connection (IPv4)"),
    Verb("EPRT", eprt, "EPRT |1|address|port|", "this server opens the data connection"),
)
