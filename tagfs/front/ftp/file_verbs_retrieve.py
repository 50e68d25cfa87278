"""RETR, REST, ABOR: contents on their way out, and the end of transfers. Layer: front.

Sources: RFC 959, RFC 3659 section 5 (REST).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from tagfs.errors import BadRequest, TagfsError
from tagfs.front.ftp.ascii import to_network
from tagfs.front.ftp.data_channel import DataLost
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.file_state import lookup_of, state_of
from tagfs.front.ftp.file_verbs_names import path_of
from tagfs.front.ftp.verb import Verb
from tagfs.node.interfaces import IPouring


class BadRestart(TagfsError):
    """REST named an offset that is not there (RFC 3659 section 5.3)."""

    ftp = 554


async def retr(exchange: Exchange) -> None:
    """``RETR path``"""
    state = state_of(exchange)
    offset = state.take_restart()
    try:
        if offset and state.ascii:
            raise BadRestart("REST goes with TYPE I only")
        path = path_of(exchange)
        entry = await lookup_of(exchange).entry(path)
        if offset > entry.content.size:
            raise BadRestart(f"{path} has {entry.content.size} bytes; there is no byte {offset}")
        reading: Any = await exchange.node.read(exchange.principal, entry.id, offset)
    except BaseException:
        state.drop_data()
        raise
    try:
        read = to_network(reading.read) if state.ascii else reading.read
        pouring = reading if IPouring.providedBy(reading) and not state.ascii else None
        await send_all(exchange, read, f"{path} ({reading.length} bytes)", pouring)
    finally:
        reading.close()
    exchange.session.tally("sent")
    exchange.reply(226, "sent")


async def send_all(
    exchange: Exchange, read: Callable[[int], Awaitable[bytes]], what: str, pouring: IPouring | None = None
) -> None:
    """Announces and sends what ``read`` gives over the data connection, or faster the same by ``pouring``; returns when all
    was handed to the network."""
    state = state_of(exchange)
    state.check_set_up()
    exchange.reply(150, f"Opening data connection for {what}")
    exchange.begin_transfer()
    try:
        connection = await state.open_data()
        if pouring is None:
            await connection.send(read, state.piece)
        else:
            await connection.pour(pouring)
    except CancelledError:
        state.drop_data()
        raise DataLost("stopped") from None
    finally:
        state.connection = None


def rest(exchange: Exchange) -> None:
    """``REST offset``"""
    text = exchange.argument.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadRequest("REST takes an offset in bytes")
    state_of(exchange).restart = int(text)
    exchange.reply(350, f"the next transfer begins at {int(text)}")


async def abor(exchange: Exchange) -> None:
    """``ABOR``: the transfer is answered 426, then this 226"""
    transfer = exchange.session.transfer
    if transfer is not None:
        if transfer.running is None:
            # It came in the same packet, and is still on its way to where it first waits.
            await deferLater(exchange.session.door.clock, 0)
        transfer.cancel()
        await transfer.finished()
    state_of(exchange).drop_data()
    exchange.reply(226, "nothing is transferred any more")


VERBS = (
    Verb("RETR", retr, "RETR path", "sends a file", any_bytes=True),
    Verb("REST", rest, "REST offset", "the next transfer begins there"),
    Verb("ABOR", abor, "ABOR", "stops the transfer", in_transfer=True),
)
