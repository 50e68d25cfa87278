"""The leaves of the hash tree in memory, and changes of them packed for the journal. Layer: storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tagfs.model.record import Ref
from tagfs.storage.leaves import HASH, LEAVES, place, record_hash

PARTITIONS = 256
_CHANGE = np.dtype([("place", ">u2"), ("put", "u8", (HASH // 8,))])


class Tree:
    """All leaves of all partitions. One thread changes it at a time; reading needs no lock."""

    def __init__(self, packed: bytes = bytes(PARTITIONS * LEAVES * HASH)) -> None:
        self._leaves = np.frombuffer(bytearray(packed), dtype=np.uint64).reshape(PARTITIONS * LEAVES, HASH // 8)

    def pack(self) -> bytes:
        """Everything; :class:`Tree` takes it back."""
        return self._leaves.tobytes()

    def partition(self, number: int) -> bytes:
        """The leaves of one partition."""
        return self._leaves[number * LEAVES : (number + 1) * LEAVES].tobytes()

    def change(self, packed: bytes) -> None:
        """Takes in changes that :meth:`LeafChanges.pack` packed."""
        changes = np.frombuffer(packed, dtype=_CHANGE)
        self._leaves[changes["place"]] ^= changes["put"]

    def put_many(self, places: Sequence[int], records: Iterable[bytes]) -> None:
        """Puts records (their canonical bytes) into the leaves at these places."""
        hashes = np.frombuffer(b"".join(map(record_hash, records)), dtype=np.uint64).reshape(-1, HASH // 8)
        np.bitwise_xor.at(self._leaves, np.asarray(places, dtype=np.intp), hashes)


class LeafChanges:
    """What is to be put into which leaf, by exclusive or."""

    def __init__(self) -> None:
        self._puts: dict[int, int] = {}

    def put(self, at: int, data: bytes) -> None:
        """Puts a record (its canonical bytes) in, or takes it out."""
        self._puts[at] = self._puts.get(at, 0) ^ int.from_bytes(record_hash(data), "big")

    def pack(self) -> bytes:
        """Each place once: two bytes, then what is put there."""
        return b"".join([at.to_bytes(2, "big") + put.to_bytes(HASH, "big") for at, put in self._puts.items()])


def place_number(ref: Ref) -> int:
    """The place of a record: its partition and leaf as one number of 16 bits. Raises BadRequest for no entry id."""
    partition, leaf = place(ref)
    return partition * LEAVES + leaf
