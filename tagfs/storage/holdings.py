"""Holdings: an entry and its content in 24 bytes, as nodes tell each other which contents they hold. Layer: storage.

16 bytes of the entry id, then the first 8 bytes of the content's digest: whoever holds another content of that entry (an
older one, or one not heard of here yet) does not count. Many are one string of bytes, sorted where it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tagfs.model.entry import id_bytes, id_from_bytes

HOLDING = 24
"""Bytes of one."""
ID = 16
"""Of these, bytes of the entry id."""


def holding(entry_id: str, digest: bytes) -> bytes:
    """The holding of an entry's content."""
    return id_bytes(entry_id) + digest[: HOLDING - ID]


def split(holdings: bytes) -> Sequence[bytes]:
    """One by one."""
    return [holdings[at : at + HOLDING] for at in range(0, len(holdings), HOLDING)]


def entry_ids(holdings: bytes) -> list[str]:
    """The entry ids in them, in their order."""
    return [id_from_bytes(holdings[at : at + ID]) for at in range(0, len(holdings), HOLDING)]


def joined(holdings: Iterable[bytes]) -> bytes:
    """Sorted, as one string of bytes."""
    return b"".join(sorted(holdings))
