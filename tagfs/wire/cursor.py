"""Where a page ended, as text that clients hand back: opaque, and safe in URLs. Layer: wire.

Base 64 (RFC 4648 section 5, no padding) of msgpack ``[format, sort key, descending, value, id]``. The order is in it, so that a
cursor is never taken for one of another order.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

import msgpack

from tagfs.errors import BadRequest
from tagfs.model.entry import id_bytes, id_from_bytes
from tagfs.model.order import SORT_KEYS, Cursor, Sort

FORMAT = 1
MAX_LENGTH = 1024
"""Characters of a cursor; one that holds a file name of 255 bytes has less than half of that."""


def encode_cursor(cursor: Cursor, sort: Sort) -> str:
    """The text of a cursor of this order."""
    packed = msgpack.packb((FORMAT, SORT_KEYS.index(sort.key), sort.descending, cursor.value, id_bytes(cursor.id)))
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_cursor(text: str, sort: Sort) -> Cursor:
    """Inverse of :func:`encode_cursor`. Raises BadRequest for a text that is no cursor, or is one of another order."""
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError("too long")
        packed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        version, key, descending, value, identifier = msgpack.unpackb(packed)
        made = Sort(SORT_KEYS[key], descending)
        if version != FORMAT or key < 0 or type(value) is not (str if made.key == "name" else int):
            raise ValueError("not ours")
        if len(identifier) != 16:
            raise ValueError("no entry id")
        cursor = Cursor(value, id_from_bytes(identifier))
    except (ValueError, TypeError, LookupError, Base64Error, msgpack.UnpackException):
        raise BadRequest(f"{text[:40]!r} is no cursor; give back what next= said, unchanged") from None
    if made != sort:
        raise BadRequest(f"this cursor belongs to sort={sort_text(made)}; give the same sort with it")
    return cursor


def sort_text(sort: Sort) -> str:
    """An order as commands and URLs spell it: ``-added``."""
    return f"-{sort.key}" if sort.descending else sort.key


def read_sort(text: str) -> Sort:
    """Inverse of :func:`sort_text`. Raises BadRequest."""
    sort = Sort(text.removeprefix("-"), text.startswith("-"))
    if sort.key not in SORT_KEYS:
        raise BadRequest(f"sort={text[:40]}: sort by {', '.join(SORT_KEYS)}; a - before it turns the order round")
    return sort
