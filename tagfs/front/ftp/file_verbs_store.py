"""STOR, STOU, APPE: contents on their way in. Layer: front.

A content is stored when its data connection has ended cleanly and the control connection is still there; else what came is
kept for a resume. Sources: RFC 959, RFC 1123 section 4.1.2.9 (STOU), RFC 3659 section 5 (REST).
"""

from __future__ import annotations

from collections.abc import Coroutine
from secrets import token_hex
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tagfs.errors import NotFound
from tagfs.front.ftp.ascii import FromNetwork
from tagfs.front.ftp.data_channel import DataLost
from tagfs.front.ftp.data_ports import NoDataConnection
from tagfs.front.ftp.directory import changes
from tagfs.front.ftp.directory.changes import Spot
from tagfs.front.ftp.directory.lookup import Lookup
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.file_state import lookup_of, state_of
from tagfs.front.ftp.file_verbs_names import path_of
from tagfs.front.ftp.file_verbs_retrieve import BadRestart
from tagfs.front.ftp.tag_verbs_content import copies_text
from tagfs.front.ftp.verb import Verb
from tagfs.model.paths import VirtualPath
from tagfs.node.interfaces import Added, IDrawing

T = TypeVar("T")

GRACE, GRACE_S = 0.05, 0.25
"""For how long an upload that has ended waits for the end of its session: this part of the time it took, at most so long."""
LEAST_S = 0.001
"""What the reactor can wait; less is a turn of it, since a millisecond more costs small files a third of their speed."""


async def stor(exchange: Exchange) -> None:
    """``STOR path``; behind REST it goes on at that offset"""
    state = state_of(exchange)
    offset = state.take_restart()
    try:
        spot = changes.writable(path_of(exchange))
        state.check_set_up()
        if offset:
            if state.ascii:
                raise BadRestart("REST goes with TYPE I only")
            receiving = await _restarted(lookup_of(exchange), spot, offset)
        else:
            receiving = await exchange.node.receive(exchange.principal, state.announced)
    except BaseException:
        state.drop_data()
        raise
    await _store(exchange, spot, receiving, whole=not offset)


async def appe(exchange: Exchange) -> None:
    """``APPE path``: goes on behind what is there: the file, else what came of an upload that was cut off"""
    state = state_of(exchange)
    state.take_restart()
    try:
        spot = changes.writable(path_of(exchange))
        state.check_set_up()
        receiving = await _appended(lookup_of(exchange), spot)
    except BaseException:
        state.drop_data()
        raise
    await _store(exchange, spot, receiving)


async def stou(exchange: Exchange) -> None:
    """``STOU [name]``: stores under a name that nothing in the directory has, and tells it"""
    state = state_of(exchange)
    state.take_restart()
    lookup = lookup_of(exchange)
    try:
        state.check_set_up()
        path = await _free_name(lookup, state.path(exchange.argument or "file"))
        spot = changes.writable(path)
        receiving: Any = await exchange.node.receive(exchange.principal, state.announced)
    except BaseException:
        state.drop_data()
        raise
    await _store(exchange, spot, receiving, f"FILE: {path.name}")


async def _free_name(lookup: Lookup, path: VirtualPath) -> VirtualPath:
    stem, dot, extension = path.name.rpartition(".")
    while True:
        try:
            await lookup.entry(path)
        except NotFound:
            return path
        unique = token_hex(4)
        path = path.parent.child(f"{stem}-{unique}.{extension}" if stem and dot else f"{path.name}-{unique}")


async def _restarted(lookup: Lookup, spot: Spot, offset: int) -> Any:
    """A receiving that goes on behind ``offset`` bytes: of what was kept of this upload, else of the file there."""
    kept = await lookup.node.kept(lookup.principal, str(spot.path))
    if kept is not None and kept >= offset:
        return await lookup.node.resume(lookup.principal, str(spot.path), offset)
    try:
        entry = await lookup.entry(spot.path)
    except NotFound:
        raise BadRestart(f"{spot.path}: {kept or 0} bytes are here, so it cannot go on at {offset}") from None
    if entry.content.size < offset:
        raise BadRestart(f"{spot.path} has {entry.content.size} bytes, so it cannot go on at {offset}")
    receiving: Any = await lookup.node.receive(lookup.principal)
    await _copied(lookup, entry, receiving, offset)
    return receiving


async def _appended(lookup: Lookup, spot: Spot) -> Any:
    """A receiving that goes on behind all that SIZE tells of."""
    try:
        entry = await lookup.entry(spot.path)
    except NotFound:
        kept = await lookup.node.kept(lookup.principal, str(spot.path))
        if kept is not None:
            return await lookup.node.resume(lookup.principal, str(spot.path), kept)
        return await lookup.node.receive(lookup.principal)
    receiving: Any = await lookup.node.receive(lookup.principal)
    await _copied(lookup, entry, receiving, entry.content.size)
    return receiving


async def _copied(lookup: Lookup, entry: Any, receiving: Any, length: int) -> None:
    try:
        await changes.copy(lookup, entry, receiving, length)
    except BaseException:
        receiving.abort()
        raise


async def _store(exchange: Exchange, spot: Spot, receiving: Any, what: str = "", *, whole: bool = False) -> None:
    """Takes a content in over the data connection and stores it at ``spot``. A ``whole`` one ends what an earlier upload to
    that path left: it must not be mixed into a later one."""
    state = state_of(exchange)
    state.announced = None
    exchange.reply(150, what or f"Ok to send data for {spot.path}")
    exchange.begin_transfer()
    try:
        await _receive(exchange, receiving)
    except (DataLost, NoDataConnection, CancelledError) as error:
        state.drop_data()
        kept = await unstoppable(_keep(receiving, str(spot.path)))
        if isinstance(error, NoDataConnection):
            raise
        raise DataLost(f"cut off; {kept} bytes are kept: SIZE tells them, REST or APPE goes on") from None
    except BaseException:
        state.drop_data()
        receiving.abort()
        raise
    finally:
        state.connection = None
    added = await unstoppable(_commit(exchange, spot, receiving, whole))
    exchange.session.tally("stored")
    exchange.reply(226, f"stored as {added.id} {copies_text(added.copies)}")


async def _commit(exchange: Exchange, spot: Spot, receiving: Any, whole: bool) -> Added:
    # Asked for beside the store: hardly ever is there something.
    kept = Deferred.fromCoroutine(exchange.node.kept(exchange.principal, str(spot.path))) if whole else succeed(None)
    try:
        async with state_of(exchange).door.turn(spot):
            added = await changes.store(lookup_of(exchange), spot, receiving)
    except BaseException:
        kept.addErrback(lambda _: None)  # the other failure is told
        receiving.abort()
        raise
    if await kept is not None:
        left: Any = await exchange.node.resume(exchange.principal, str(spot.path), 0)
        left.abort()
    return added


async def _receive(exchange: Exchange, receiving: Any) -> None:
    state, clock = state_of(exchange), exchange.session.door.clock
    connection = await state.open_data()
    begun = clock.seconds()
    if state.ascii:
        converting = FromNetwork(receiving)
        await connection.receive(converting)
        await _settled(converting.finish())
    else:
        await connection.receive(receiving, receiving if IDrawing.providedBy(receiving) else None)
    receiving.complete()
    await _see_who_is_left(exchange, clock.seconds() - begun)


async def _see_who_is_left(exchange: Exchange, lasted_s: float) -> None:
    """Waits a moment for the end of the control connection, which cancels this exchange.

    A client that died, or gave up, ends both its connections, the data connection as cleanly as after a whole file; the
    control connection may be a little later. Two turns of the reactor see what is there already. Long uploads are the ones
    that are given up, so these wait longer, in proportion.
    """
    clock = exchange.session.door.clock
    wait_s = min(lasted_s * GRACE, GRACE_S)
    for delay_s in (0, wait_s if wait_s >= LEAST_S else 0):
        await deferLater(clock, delay_s)


async def _settled(waited: object) -> None:
    if isinstance(waited, Deferred):
        await waited


async def _keep(receiving: Any, slot: str) -> int:
    if not receiving.size:
        receiving.abort()
        return 0
    try:
        kept: int = await receiving.keep(slot)
    except BaseException:
        receiving.abort()
        raise
    return kept


async def unstoppable(work: Coroutine[Any, Any, T]) -> T:
    """Does ``work`` to its end, also where the client leaves or ABOR comes meanwhile."""
    ends: list[T | Failure] = []
    outcome = Deferred.fromCoroutine(work).addBoth(ends.append)
    while not ends:
        ended: Deferred[None] = Deferred()
        outcome.addBoth(_wake, ended)
        try:
            await ended
        except CancelledError:
            continue
    # Not by awaiting the outcome: it is what wakes us, and cannot be asked in the middle of its own callbacks.
    (end,) = ends
    if isinstance(end, Failure):
        end.raiseException()
    return end


def _wake(_: object, ended: Deferred[None]) -> None:
    if not ended.called:
        ended.callback(None)


VERBS = (
    Verb(
        "STOR", stor, "STOR path", "stores a file: its directories are its tags", any_bytes=True, ends_with_input=True
    ),
    Verb("STOU", stou, "STOU [name]", "stores a file under a new name", any_bytes=True, ends_with_input=True),
    Verb(
        "APPE", appe, "APPE path", "appends to a file, or goes on with an upload", any_bytes=True, ends_with_input=True
    ),
)
