"""All files of a query as one zip, made while it is sent. Layer: front."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator

from tagfs.errors import Corrupt, NotFound, TooLarge
from tagfs.front.web.disposition import disposition
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.outflow import PIECE, Outflow
from tagfs.front.web.reply import Reply
from tagfs.front.web.routes import Route
from tagfs.model.entry import Entry
from tagfs.model.names import short_id
from tagfs.node.interfaces import IListing
from tagfs.wire.tag_commands import read_query

MOST = 65_000
"""Entries of one archive: its directory comes last, and is held in memory until then."""
TYPE = "application/zip"
_FIRST_YEAR, _LAST_YEAR = 1980, 2107
"""What the time stamps of the format can tell."""


class _Sink:
    """What the zip writer takes for a file: it can only be appended to, and is emptied by whoever sends."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        """What was written since the last call."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


class _Names:
    """Names that are unique within the archive: a second ``a.txt`` becomes ``a~<short id>.txt``."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def of(self, entry: Entry) -> str:
        for name in self._candidates(entry):
            folded = name.casefold()
            if folded not in self._used:
                self._used.add(folded)
                return name
        raise AssertionError("ids are unique")

    def _candidates(self, entry: Entry) -> Iterator[str]:
        # A backslash is a separator where archives are mostly unpacked.
        plain = entry.name.replace("\\", "_")
        yield plain
        stem, dot, end = plain.rpartition(".")
        for length in (6, len(entry.id)):
            mark = short_id(entry.id, length)
            yield f"{stem}~{mark}.{end}" if dot and stem else f"{plain}~{mark}"


async def archive(exchange: Exchange) -> Reply:
    """The contents of all entries that match, not compressed: what is large mostly is compressed already."""
    query, scope = read_query(exchange.query.text("q"))
    listing = await exchange.node.listing(exchange.principal, query, scope=scope)
    if not 0 < listing.total <= MOST:
        listing.close()
        if listing.total:
            raise TooLarge(f"{listing.total} files are too many for one archive; at most {MOST} fit")
        raise NotFound("no file matches")

    async def stream(outflow: Outflow) -> None:
        try:
            await _send(exchange, listing, outflow)
        finally:
            listing.close()

    headers = [("Content-Disposition", disposition("files.zip", TYPE, save=True))]
    return Reply(200, type=TYPE, headers=headers, stream=stream, endless=True, abandon=listing.close)


async def _send(exchange: Exchange, listing: IListing, outflow: Outflow) -> None:
    sink, names = _Sink(), _Names()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as writer:  # type: ignore[call-overload]
        while entries := await listing.next():
            for entry in entries:
                await _send_entry(exchange, entry, names.of(entry), writer, sink, outflow)
    await outflow.send(sink.take())


async def _send_entry(
    exchange: Exchange, entry: Entry, name: str, writer: zipfile.ZipFile, sink: _Sink, outflow: Outflow
) -> None:
    try:
        reading = await exchange.node.read(exchange.principal, entry.id)
    except NotFound:
        return  # it was purged since the listing began
    try:
        info = zipfile.ZipInfo(name, _moment(reading.entry.content.modified))
        info.external_attr = 0o100644 << 16
        with writer.open(info, "w", force_zip64=reading.size >= zipfile.ZIP64_LIMIT) as member:
            left = reading.size
            while left:
                data = await reading.read(min(PIECE, left))
                if not data:
                    raise Corrupt(f"the content of {entry.id} is {left} bytes short")
                left -= len(data)
                member.write(data)
                await outflow.send(sink.take())
    finally:
        reading.close()


def _moment(milliseconds: int) -> tuple[int, int, int, int, int, int]:
    """A time as the format has it, in UTC; the nearest that it can tell."""
    moment = time.gmtime(min(max(milliseconds // 1000, 0), 253_402_300_799))
    if moment.tm_year < _FIRST_YEAR:
        return (_FIRST_YEAR, 1, 1, 0, 0, 0)
    if moment.tm_year > _LAST_YEAR:
        return (_LAST_YEAR, 12, 31, 23, 59, 58)
    return moment[:6]


ROUTES = (Route("GET", "/api/v1/archive", archive, ("q",)),)
