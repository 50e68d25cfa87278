"""CWD, MKD, RMD, DELE, RNFR, RNTO, SIZE, MDTM, MFMT, SITE: what is there, and under which name. Layer: front.

Sources: RFC 959, RFC 3659 (SIZE, MDTM), draft-somers-ftp-mfxx (MFMT).
"""

from __future__ import annotations

from datetime import UTC, datetime

from tagfs.errors import BadRequest, NotFound
from tagfs.front.ftp.directory import changes
from tagfs.front.ftp.directory.formats import moment
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.file_state import lookup_of, state_of
from tagfs.front.ftp.file_verbs_setup import BadSequence, NotForThis
from tagfs.front.ftp.verb import Verb
from tagfs.model.paths import TOP, VirtualPath


def path_of(exchange: Exchange) -> VirtualPath:
    """The path that a command names. Raises BadRequest where it names none."""
    if not exchange.argument:
        raise BadRequest(f"{exchange.verb.name} takes a path")
    return state_of(exchange).path(exchange.argument)


def quoted(path: VirtualPath | str) -> str:
    """A path in a reply text: in double quotes, those in it doubled (RFC 959, appendix II)."""
    return '"{}"'.format(str(path).replace('"', '""'))


async def cwd(exchange: Exchange) -> None:
    """``CWD [path]``; without a path to the top"""
    state = state_of(exchange)
    path = state.path(exchange.argument) if exchange.argument else TOP
    await lookup_of(exchange).directory(path)
    state.cwd = path
    exchange.reply(250, f"{quoted(path)} is the current directory")


async def cdup(exchange: Exchange) -> None:
    """``CDUP``"""
    state = state_of(exchange)
    state.cwd = state.cwd.parent
    exchange.reply(250, f"{quoted(state.cwd)} is the current directory")


def pwd(exchange: Exchange) -> None:
    """``PWD``"""
    exchange.reply(257, f"{quoted(state_of(exchange).cwd)} is the current directory")


async def mkd(exchange: Exchange) -> None:
    """``MKD path``"""
    path = path_of(exchange)
    await changes.make_directory(lookup_of(exchange), path)
    exchange.reply(257, f"{quoted(path)} is made")


async def rmd(exchange: Exchange) -> None:
    """``RMD path``"""
    await changes.remove_directory(lookup_of(exchange), path_of(exchange))
    exchange.reply(250, "removed")


async def dele(exchange: Exchange) -> None:
    """``DELE path``"""
    identifier = await changes.delete(lookup_of(exchange), path_of(exchange))
    exchange.session.tally("deleted")
    exchange.reply(250, f"in the trash; RESTORE id:{identifier} takes it back")


async def rnfr(exchange: Exchange) -> None:
    """``RNFR path``"""
    state = state_of(exchange)
    path = path_of(exchange)
    state.renaming = None
    named = await lookup_of(exchange).named_by(path)
    if not path.parts:
        raise NotFound("the top has no name")
    state.renaming = named.path
    exchange.reply(350, "RNTO says where to")


async def rnto(exchange: Exchange) -> None:
    """``RNTO path``"""
    state = state_of(exchange)
    source, state.renaming = state.renaming, None
    if source is None:
        raise BadSequence("RNFR comes first")
    path = path_of(exchange)
    lookup = lookup_of(exchange)
    named = await lookup.named_by(source)
    if named.entry is None:
        await changes.rename_directory(lookup, source, path)
    else:
        await changes.move(lookup, named._replace(entry=await lookup.sole_entry(source)), changes.writable(path))
    exchange.reply(250, "renamed")


async def size(exchange: Exchange) -> None:
    """``SIZE path``: of a file, else the bytes kept of an upload to that path that was cut off"""
    path = path_of(exchange)
    try:
        number = (await lookup_of(exchange).entry(path)).content.size
    except NotFound:
        kept = await exchange.node.kept(exchange.principal, str(path))
        if kept is None:
            raise
        number = kept
    exchange.reply(213, str(number))


async def mdtm(exchange: Exchange) -> None:
    """``MDTM path``"""
    entry = await lookup_of(exchange).entry(path_of(exchange))
    exchange.reply(213, moment(entry.content.modified))


async def mfmt(exchange: Exchange) -> None:
    """``MFMT YYYYMMDDHHMMSS path``"""
    text, _, path = exchange.argument.partition(" ")
    milliseconds = read_moment(text)
    if not path:
        raise BadRequest("MFMT takes a time and a path")
    entry = await lookup_of(exchange).sole_entry(state_of(exchange).path(path))
    await exchange.node.touch(exchange.principal, entry.id, milliseconds)
    exchange.reply(213, f"Modify={text}; {path}")


def read_moment(text: str) -> int:
    """Milliseconds since 1970 of ``YYYYMMDDHHMMSS[.sss]`` in UTC. Raises BadRequest."""
    whole, _, fraction = text.partition(".")
    try:
        if not (len(whole) == 14 and whole.isascii() and whole.isdigit()):
            raise ValueError
        at = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return int(at.timestamp()) * 1000 + int((fraction or "0")[:3].ljust(3, "0"))
    except ValueError:
        raise BadRequest(f"{text[:40]!r} is no time; it is written YYYYMMDDHHMMSS, in UTC") from None


def site(exchange: Exchange) -> None:
    """``SITE CHMOD mode path``: answered, without effect; ``SITE HELP``"""
    word = exchange.argument.strip().upper().partition(" ")[0]
    if word == "CHMOD":
        exchange.reply(200, "there are no modes here; nothing was changed")
    elif word in ("HELP", ""):
        exchange.open(214, "SITE knows")
        exchange.row("CHMOD (answered, without effect)")
        exchange.row("HELP")
        exchange.reply(214, "End")
    else:
        raise NotForThis("SITE knows CHMOD and HELP")


VERBS = (
    *(
        Verb(name, cwd, f"{name} path", "changes the current directory: /beach/2024 is two tags", any_bytes=True)
        for name in ("CWD", "XCWD")
    ),
    *(Verb(name, cdup, name, "changes to the directory above") for name in ("CDUP", "XCUP")),
    *(Verb(name, pwd, name, "tells the current directory") for name in ("PWD", "XPWD")),
    *(
        Verb(name, mkd, f"{name} path", "makes a directory: declares a tag", any_bytes=True, finishes=True)
        for name in ("MKD", "XMKD")
    ),
    *(
        Verb(name, rmd, f"{name} path", "removes a tag that no file carries", any_bytes=True, finishes=True)
        for name in ("RMD", "XRMD")
    ),
    Verb("DELE", dele, "DELE path", "moves a file to the trash", any_bytes=True, finishes=True),
    Verb("RNFR", rnfr, "RNFR path", "names what RNTO renames", any_bytes=True),
    Verb("RNTO", rnto, "RNTO path", "renames, or moves: re-tags", any_bytes=True, finishes=True),
    Verb("SIZE", size, "SIZE path", "tells the size of a file, or how much came of one", any_bytes=True),
    Verb("MDTM", mdtm, "MDTM path", "tells when a file was modified (UTC)", any_bytes=True),
    Verb("MFMT", mfmt, "MFMT time path", "sets when a file was modified", any_bytes=True, finishes=True),
    Verb("SITE", site, "SITE CHMOD|HELP", "what only some servers know", any_bytes=True),
)
