"""Small pictures of images, made by Pillow in a thread of their own, with every cost bounded. Layer: front."""

from __future__ import annotations

import io
from typing import Any

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from tagfs.front.web.conditions import is_unchanged
from tagfs.front.web.disposition import UNKNOWN_TYPE
from tagfs.front.web.entries import PATH, entry_id
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.reply import Refused, Reply
from tagfs.front.web.routes import Route
from tagfs.node.interfaces import IReading

SMALLEST, USUAL, LARGEST = 16, 256, 1024
"""Sizes that can be asked for: the longest side in pixels."""
MAX_BYTES = 64 << 20
"""Largest content that is looked at."""
MAX_PIXELS = 64_000_000
"""Largest image that is decoded; a small file may claim to be a huge one."""
AT_ONCE = 2
"""Images that are held in memory and worked on at once; others wait."""
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF")
TYPE = "image/webp"


class Unreadable(Exception):
    """No image, or one that is not shown small; the text says why."""


def shrink(data: bytes, size: int) -> bytes:
    """A WebP picture of at most ``size`` pixels a side, upright. Raises :class:`Unreadable`. Blocking, and may take a second."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Unreadable(f"the image has {image.width} × {image.height} pixels, which is too many")
            image.draft("RGB", (size, size))  # a large JPEG is decoded small at once
            image.thumbnail((size, size))
            upright: Any = ImageOps.exif_transpose(image)
            clear = "A" in upright.getbands() or "transparency" in upright.info
            made = io.BytesIO()
            upright.convert("RGBA" if clear else "RGB").save(made, "WEBP", quality=78)
            return made.getvalue()
    except Unreadable:
        raise
    except Exception as error:  # decoders fail in all ways on what users store
        raise Unreadable(f"the content cannot be shown as a picture ({type(error).__name__})") from error


class Studio:
    """The thread that shrinks. Starts with the first picture; :meth:`close` ends it."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool: ThreadPool | None = None
        self._seats = DeferredSemaphore(AT_ONCE)

    async def picture(self, reading: IReading, size: int) -> bytes:
        """A small picture of a content, which is read and closed. Raises :class:`Unreadable`."""
        try:
            await self._seats.acquire()
            try:
                return await self._work(reading, size)
            finally:
                self._seats.release()
        finally:
            reading.close()

    async def _work(self, reading: IReading, size: int) -> bytes:
        pieces = []
        while data := await reading.read(1 << 20):
            pieces.append(data)
        if self._pool is None:
            self._pool = ThreadPool(1, 1, "thumbnails")
            self._pool.start()
        return await deferToThreadPool(self._reactor, self._pool, shrink, b"".join(pieces), size)

    def close(self) -> None:
        """Ends the thread, after the picture it works on."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()


async def thumbnail(exchange: Exchange) -> Reply:
    """A small picture of an image."""
    size = exchange.query.number("size", USUAL, SMALLEST, LARGEST)
    identifier = entry_id(exchange)
    content = (await exchange.node.info(exchange.principal, identifier)).entry.content
    if not content.type.startswith("image/") and content.type != UNKNOWN_TYPE:
        raise Refused(415, f"a content of type {content.type[:80]} is not shown as a picture")
    if content.size > MAX_BYTES:
        raise Refused(413, f"the content has {content.size} bytes; pictures are made of at most {MAX_BYTES}")
    tag = f"{content.digest.hex()}-{size}"
    reply = Reply(200, type=TYPE, headers=[("ETag", f'"{tag}"')], cache="private, no-cache")
    if is_unchanged(exchange.header("if-none-match"), tag):
        reply.status, reply.type = 304, ""
        return reply
    reading = await exchange.node.read(exchange.principal, identifier)
    try:
        reply.body = await exchange.door.studio.picture(reading, size)
    except Unreadable as error:
        raise Refused(415, str(error)) from None
    return reply


ROUTES = (Route("GET", PATH + "/{id}/thumbnail", thumbnail, ("size",)),)
