"""LIST, NLST, MLSD, MLST, STAT: directories as FTP lists them, streamed. Layer: front.

Sources: RFC 959, RFC 1123 section 4.1.2.7, RFC 3659 section 7.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from fnmatch import fnmatchcase
from typing import NamedTuple

from tagfs.errors import NotFound, TagfsError
from tagfs.front.ftp.directory.formats import FactRows, LsRows, bare, classified, encode
from tagfs.front.ftp.directory.listing import Item, items
from tagfs.front.ftp.directory.lookup import Lookup
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.file_state import lookup_of, state_of
from tagfs.front.ftp.file_verbs_retrieve import send_all
from tagfs.front.ftp.verb import Verb
from tagfs.model.paths import VirtualPath

_OPTIONS = re.compile(r"(?:-[A-Za-z1]+(?: +|$))+")
_WILD = re.compile(r"[*?\[]")


class NoDirectory(TagfsError):
    """MLSD is of directories only (RFC 3659 section 7.2.1)."""

    ftp = 501


class Wanted(NamedTuple):
    """What a listing shows: its items, and what stands before their names (for patterns with a directory in them)."""

    items: AsyncIterator[list[Item]]
    prefix: str = ""


def _arguments(exchange: Exchange) -> tuple[str, str]:
    """The options of ``ls`` that clients put before a path, as letters, and the path."""
    match = _OPTIONS.match(exchange.argument)
    if match is None:
        return "", exchange.argument
    return match[0].replace("-", "").replace(" ", ""), exchange.argument[match.end() :]


async def _one(item: Item) -> AsyncIterator[list[Item]]:
    yield [item]


async def _wanted(lookup: Lookup, base: VirtualPath, text: str) -> Wanted:
    """What ``text`` names: a directory's items, one file, or what matches a pattern in its last part."""
    path = base.joined(text)
    try:
        named = await lookup.named_by(path)
    except NotFound:
        if not _WILD.search(path.name):
            raise
    else:
        if named.entry is None:
            return Wanted(items(lookup, named.place))
        return Wanted(_one(Item(text, named.entry)))
    place = await lookup.directory(path.parent)
    return Wanted(_matching(items(lookup, place), path.name), text[: text.rfind("/") + 1])


async def _matching(all_items: AsyncIterator[list[Item]], pattern: str) -> AsyncIterator[list[Item]]:
    async for some in all_items:
        yield [item for item in some if fnmatchcase(item.name, pattern)]


async def _send(exchange: Exchange, wanted: Wanted, row: Callable[[Item], str]) -> None:
    """Sends a listing over the data connection."""
    rows = aiter(wanted.items)
    count = 0

    async def read(limit: int) -> bytes:
        nonlocal count
        async for some in rows:
            count += len(some)
            named = [item._replace(name=wanted.prefix + item.name) for item in some] if wanted.prefix else some
            if named:
                return encode(named, row)
        return b""

    try:
        await send_all(exchange, read, "the listing")
    finally:
        await rows.aclose()  # type: ignore[attr-defined]
    exchange.reply(226, f"{count} listed")


async def list_(exchange: Exchange) -> None:
    """``LIST [-options] [path]``"""
    state = state_of(exchange)
    try:
        _, text = _arguments(exchange)
        wanted = await _wanted(lookup_of(exchange), state.cwd, text)
    except BaseException:
        state.drop_data()
        raise
    await _send(exchange, wanted, _ls(exchange))


async def nlst(exchange: Exchange) -> None:
    """``NLST [-options] [path]``"""
    state = state_of(exchange)
    try:
        options, text = _arguments(exchange)
        wanted = await _wanted(lookup_of(exchange), state.cwd, text)
    except BaseException:
        state.drop_data()
        raise
    row = _ls(exchange) if "l" in options else classified if "F" in options else bare
    await _send(exchange, wanted, row)


async def mlsd(exchange: Exchange) -> None:
    """``MLSD [path]``"""
    state = state_of(exchange)
    lookup = lookup_of(exchange)
    try:
        named = await lookup.named_by(state.path(exchange.argument))
        if named.entry is not None:
            raise NoDirectory(f"{named.path}: is a file; MLST tells of it")
    except BaseException:
        state.drop_data()
        raise
    await _send(exchange, Wanted(items(lookup, named.place)), FactRows(state.facts, exchange.principal.role))


async def mlst(exchange: Exchange) -> None:
    """``MLST [path]``"""
    state = state_of(exchange)
    named = await lookup_of(exchange).named_by(state.path(exchange.argument))
    item = Item(str(named.path), named.entry)
    facts = FactRows(state.facts, exchange.principal.role).facts(item, "dir" if exchange.argument else "cdir")
    exchange.open(250, "Listing")
    exchange.row(f"{facts} {named.path}")
    exchange.reply(250, "End")


async def stat(exchange: Exchange) -> None:
    """``STAT``: the session and its transfer; ``STAT path``: a listing without data connection"""
    _, text = _arguments(exchange)
    if not text and not exchange.argument:
        _status(exchange)
        return
    wanted = await _wanted(lookup_of(exchange), state_of(exchange).cwd, text)
    row = _ls(exchange)
    exchange.open(213, "Status")
    async for some in wanted.items:
        await exchange.send(encode(some, row, b" "))
    exchange.reply(213, "End")


def _status(exchange: Exchange) -> None:
    session, state = exchange.session, state_of(exchange)
    exchange.open(211, f"{exchange.node.name}, session from {session.peer}")
    exchange.row(f"user {exchange.principal.name}, {'TLS' if session.secure else 'no TLS'}")
    exchange.row(f"directory {state.cwd}, type {'A' if state.ascii else 'I'}")
    transfer = session.transfer
    if transfer is not None and transfer is not exchange:
        moved = state.connection.moved if state.connection is not None else 0
        exchange.row(f"{transfer.verb.name} {transfer.argument}: {moved} bytes so far")
    else:
        exchange.row("no transfer is going on")
    exchange.reply(211, "End")


def _ls(exchange: Exchange) -> LsRows:
    return LsRows(exchange.session.door.clock.seconds(), exchange.principal.role)


VERBS = (
    Verb("LIST", list_, "LIST [path]", "lists a directory as ls -l does", any_bytes=True),
    Verb("NLST", nlst, "NLST [path]", "lists the names in a directory", any_bytes=True),
    Verb("MLSD", mlsd, "MLSD [path]", "lists a directory for programs", any_bytes=True),
    Verb("MLST", mlst, "MLST [path]", "tells of one file or directory, for programs", any_bytes=True),
    Verb("STAT", stat, "STAT [path]", "tells of the session, or of a path", any_bytes=True, in_transfer=True),
)
