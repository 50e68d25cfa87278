"""Bodies of PUSH, PULL, VECTOR and HELD: records, vectors and numbers between nodes (docs/protocols/node.md). Layer: wire, sans-io.

All are msgpack. What comes from a peer is checked before anybody relies on it: types, lengths, keys that are entry ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack
from blake3 import blake3

from tagfs.errors import BadRequest
from tagfs.model.record import Record, Ref, decode_canonical
from tagfs.storage.interfaces import MAX_BATCH, SMALL_CONTENT, Changes
from tagfs.storage.leaves import place

Vector: TypeAlias = Mapping[str, int]
"""Per origin, the number up to which everything is there."""

MAX_ORIGINS: Final = 4_096
"""Most origins in a vector that is taken."""


class Pushed(NamedTuple):
    """One numbered change of a PUSH: the number, the record's canonical bytes, its new small contents, and whether the new
    larger ones are to be fetched at once."""

    number: int
    data: bytes
    contents: Sequence[bytes] = ()
    fetch: bool = False


class Push(NamedTuple):
    """Everything that one origin numbered from ``first`` to ``last``; a change that a later one in it superseded is left out."""

    first: int
    last: int
    changes: Sequence[Pushed]


def pack_push(first: int, last: int, changes: Iterable[Pushed]) -> bytes:
    """The body of a PUSH."""
    rows = [
        (number, data) if not (contents or fetch) else (number, data, contents, fetch)
        for number, data, contents, fetch in changes
    ]
    return msgpack.packb((first, last, rows))  # type: ignore[no-any-return]


def unpack_push(body: bytes) -> Push:
    """Inverse of :func:`pack_push`. Raises BadRequest."""
    first, last, rows = _unpack(body, 3)
    _check(type(first) is int and type(last) is int and 1 <= first <= last)
    _check(type(rows) is tuple and len(rows) <= min(MAX_BATCH, last - first + 1))
    changes = [_pushed(row) for row in rows]
    _check(all(first <= change.number <= last for change in changes))
    return Push(first, last, changes)


def _pushed(row: Any) -> Pushed:
    _check(type(row) is tuple and len(row) in (2, 4))
    change = Pushed(*row)
    _check(type(change.number) is int and type(change.data) is bytes and type(change.fetch) is bool)
    _check(type(change.contents) is tuple)
    _check(all(type(content) is bytes and len(content) <= SMALL_CONTENT for content in change.contents))
    return change


def read_record(data: bytes) -> Record:
    """A record from a peer. Raises Corrupt, or BadRequest for an entry whose key is no entry id."""
    record = decode_canonical(data)
    place(record.ref)
    return record


def pack_vector(vector: Vector) -> bytes:
    """A vector as a body."""
    return msgpack.packb(dict(sorted(vector.items())))  # type: ignore[no-any-return]


def unpack_vector(body: bytes) -> Vector:
    """Inverse of :func:`pack_vector`. Raises BadRequest."""
    return _vector(_unpack(body))


def _vector(found: Any) -> Vector:
    _check(type(found) is dict and len(found) <= MAX_ORIGINS)
    _check(all(type(name) is str and type(number) is int and number >= 0 for name, number in found.items()))
    return found  # type: ignore[no-any-return]


class PulledPage(NamedTuple):
    """The answer to a PULL: :class:`~tagfs.storage.interfaces.Changes` with encoded records, some of which are ``left_out``: too
    large for one message, they are fetched by RECORD."""

    rows: Sequence[bytes]
    left_out: Sequence[Ref]
    origins: Mapping[Ref, Vector]
    vector: Vector
    covered: Vector


def pack_changes(records: Sequence[bytes], left_out: Sequence[Ref], page: Changes) -> bytes:
    """The body of the answer to a PULL; ``records`` are those of the page, encoded, without those that are left out."""
    names = sorted({name for known in page.origins.values() for name in known})
    at = {name: index for index, name in enumerate(names)}
    numbers = [
        (ref.kind, ref.key, {at[name]: number for name, number in known.items()}) for ref, known in page.origins.items()
    ]
    parts = (records, [tuple(ref) for ref in left_out], names, numbers, dict(page.vector), dict(page.covered))
    return msgpack.packb(parts)  # type: ignore[no-any-return]


def unpack_changes(body: bytes) -> PulledPage:
    """Inverse of :func:`pack_changes`. Raises BadRequest."""
    rows, left_out, names, numbers, vector, covered = _unpack(body, 6)
    _check(all(type(part) is tuple and len(part) <= MAX_BATCH for part in (rows, left_out, names, numbers)))
    _check(all(type(row) is bytes for row in rows) and all(type(name) is str for name in names))
    _check(all(type(row) is tuple and len(row) == 3 and type(row[2]) is dict for row in numbers))
    origins = {}
    for kind, key, known in numbers:
        _check(all(type(at) is int and 0 <= at < len(names) for at in known))
        origins[_ref((kind, key))] = _vector({names[at]: number for at, number in known.items()})
    return PulledPage(rows, [_ref(row) for row in left_out], origins, _vector(vector), _vector(covered))


def _ref(row: Any) -> Ref:
    _check(type(row) is tuple and len(row) == 2 and type(row[0]) is str and type(row[1]) is str)
    return Ref(*row)


def pack_numbers(numbers: Iterable[int]) -> bytes:
    """Numbers of changes as a body."""
    return msgpack.packb(list(numbers))  # type: ignore[no-any-return]


def unpack_numbers(body: bytes) -> Sequence[int]:
    """Inverse of :func:`pack_numbers`. Raises BadRequest."""
    found = _unpack(body)
    _check(type(found) is tuple and len(found) <= MAX_BATCH and all(type(number) is int for number in found))
    return found  # type: ignore[no-any-return]


def vector_hash(body: bytes) -> str:
    """What tells two packed vectors of one node apart: so that one that did not change is not sent again."""
    return blake3(body).hexdigest(8)


def _unpack(body: bytes, size: int = 0) -> Any:
    try:
        found = msgpack.unpackb(body, use_list=False, strict_map_key=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise BadRequest(f"the body of a message between nodes cannot be read: {error}") from error
    _check(not size or (type(found) is tuple and len(found) == size))
    return found


def _check(holds: bool) -> None:
    if not holds:
        raise BadRequest("the body of a message between nodes has something else where it matters")
