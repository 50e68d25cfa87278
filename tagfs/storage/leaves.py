"""The leaves of the hash tree: where a record belongs, and what it adds there. Layer: storage.

Two nodes have the same records of a partition exactly if the leaves are equal (but for chance, 2^-128). A leaf is the
exclusive or of its records' hashes: it does not depend on the order of arrival, and a change of one record is
taken out and put in without reading the others (Bellare, Micciancio: *A New Paradigm for Collision-Free Hashing*,
1997; an exclusive or is no defence against members that forge records, which a cluster does not have to be).
"""

from __future__ import annotations

from blake3 import blake3

from tagfs.errors import BadRequest
from tagfs.model.entry import ID_LENGTH, KIND
from tagfs.model.record import Ref

LEAVES = 256
"""Leaves of one partition: at a million entries, about fifteen records share one."""
HASH = 16
"""Bytes of a record's hash, and of a leaf."""
NOTHING = bytes(HASH)
"""A leaf without records."""

_DIGITS = {letter: value for value, letter in enumerate("0123456789abcdefghjkmnpqrstvwxyz")}


def place(ref: Ref) -> tuple[int, int]:
    """Partition (0 to 255) and leaf (0 to :data:`LEAVES` - 1) of a record.

    Those of an entry are the last and the last but one byte of its id, which are random; those of any other
    record come from the hash of its ref. Raises BadRequest for an entry whose key is no entry id.
    """
    if ref.kind == KIND:
        return _place_of_entry(ref.key)
    digest = blake3(f"{ref.kind}\0{ref.key}".encode()).digest(2)
    return digest[0], digest[1]


def _place_of_entry(key: str) -> tuple[int, int]:
    # As model.entry.partition, without decoding 26 letters for 2 bytes: they are in the last 4, above 2 bits of padding.
    digits = _DIGITS
    try:
        bits = digits[key[22]] << 15 | digits[key[23]] << 10 | digits[key[24]] << 5 | digits[key[25]]
    except (KeyError, IndexError):
        bits = 1
    if bits & 3 or len(key) != ID_LENGTH:
        raise BadRequest(f"{key[:80]!r} is no entry id")
    return bits >> 2 & 255, bits >> 10 & 255


def record_hash(encoded: bytes) -> bytes:
    """The hash (16 bytes) of a record's canonical bytes (:func:`tagfs.model.record.encode`)."""
    return blake3(encoded).digest(HASH)


def xor(left: bytes, right: bytes) -> bytes:
    """The exclusive or of two byte strings of one length."""
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(len(left), "little")
