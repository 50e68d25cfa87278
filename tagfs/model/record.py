"""Records: what is replicated, and the law by which two states of one record become one. Layer: model.

A record is a map of fields; each holds a value and the stamp it was written with. :func:`merge` takes the
greater stamp per field, which makes it commutative, associative and idempotent, so that nodes may exchange
states in any order and any number of times (Shapiro et al.: *Conflict-free Replicated Data Types*, 2011).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import msgpack

from tagfs.errors import Corrupt
from tagfs.model.stamp import ZERO, Stamp

Value: TypeAlias = "bool | int | str | bytes | tuple[Value, ...] | None"
"""What a field may hold. Integers fit in 64 bits, signed."""

FORMAT = 1
"""First item of an encoded record; raised when the encoding changes."""


_SCALARS = frozenset({bool, int, str, bytes, type(None)})


class Ref(NamedTuple):
    """The name of a record: its kind (``entry``, ``tag``, ``search``, ``user``, …) and its key."""

    kind: str
    key: str


class Field(NamedTuple):
    """A value and when it was written."""

    value: Value
    stamp: Stamp


class Record(NamedTuple):
    """One state, or a part of a state (a change), of the record ``kind``/``key``. Never mutate ``fields``."""

    kind: str
    key: str
    fields: Mapping[str, Field]

    @property
    def ref(self) -> Ref:
        return Ref(self.kind, self.key)

    def value(self, field: str, default: Value = None) -> Value:
        """The value of ``field``, or ``default`` where it was never written."""
        found = self.fields.get(field)
        return default if found is None else found.value

    def greatest(self) -> Stamp:
        """The greatest stamp in the record; :data:`~tagfs.model.stamp.ZERO` if it has no fields."""
        return max((field.stamp for field in self.fields.values()), default=ZERO)


class Encoded(Record):
    """A record that came with its canonical bytes (:func:`decode_canonical`), which :func:`encode` gives back. A state made from
    it, by ``_replace``, has none."""

    data: bytes


def merge(left: Record, right: Record) -> Record:
    """The state that has seen both. Both must be of one ref.

    Per field the greater stamp wins; equal stamps (which one node never gives to two values) are settled by
    the encoded value, so that the result never depends on the order.
    """
    assert left.kind == right.kind and left.key == right.key, "merge of two different records"
    fields = dict(left.fields)
    changed = False
    for name, theirs in right.fields.items():
        ours = fields.get(name)
        if ours is None or _rank(theirs) > _rank(ours):
            fields[name] = theirs
            changed = True
    return left._replace(fields=fields) if changed else left


def merge_all(states: Iterable[Record]) -> Record:
    """:func:`merge` of one or more states of one record."""
    rest = iter(states)
    result = next(rest)
    for state in rest:
        result = merge(result, state)
    return result


def _rank(field: Field) -> tuple[Stamp, bytes]:
    return field.stamp, b"" if field.value is None else msgpack.packb(field.value)


def encode(record: Record) -> bytes:
    """Canonical bytes of a record: equal states give equal bytes. Inverse of :func:`decode`.

    msgpack of ``[format, kind, key, stamps, names, values, stamp numbers]``: fields in order of their names,
    and each stamp once, since one write usually sets many fields.
    """
    if type(record) is Encoded and "data" in record.__dict__:
        return record.data
    names = sorted(record.fields)
    values = []
    written = []
    for name in names:
        value, stamp = record.fields[name]
        values.append(value)
        written.append(stamp)
    if not written or written.count(written[0]) == len(written):
        stamps, numbers = written[:1], [0] * len(written)  # a record of one write, as most are
    else:
        stamps = sorted(set(written))
        number = {stamp: index for index, stamp in enumerate(stamps)}
        numbers = [number[stamp] for stamp in written]
    return msgpack.packb(  # type: ignore[no-any-return]
        (FORMAT, record.kind, record.key, stamps, names, values, numbers)
    )


def decode(data: bytes) -> Record:
    """The record that :func:`encode` wrote. Raises :class:`~tagfs.errors.Corrupt` for anything else."""
    return Record(*_decode(data)[0])


def decode_canonical(data: bytes) -> Record:
    """:func:`decode` of what another node encoded; where it is seen to be canonical, it need not be encoded again here."""
    (kind, key, fields), names, stamps, numbers = _decode(data)
    if list(names) != sorted(fields) or list(stamps) != sorted(set(stamps)) or {*numbers} != {*range(len(stamps))}:
        return Record(kind, key, fields)
    record = Encoded(kind, key, fields)
    record.data = data
    return record


def _decode(data: bytes) -> tuple[tuple[str, str, dict[str, Field]], tuple[str, ...], list[Stamp], tuple[int, ...]]:
    """Kind, key and fields; and names, stamps and stamp numbers as they are written. Raises Corrupt."""
    try:
        version, kind, key, stamps, names, values, numbers = msgpack.unpackb(data, use_list=False)
        if version != FORMAT:
            raise Corrupt(f"a record of format {version!r} cannot be read by this version of tagfs; upgrade it")
        _check_types(str, (kind, key, *names, *(node for _time, node in stamps)))
        _check_types(int, (*numbers, *(time for time, _node in stamps)))
        _check_values(values)
        made = [Stamp(*stamp) for stamp in stamps]
        fields = {name: Field(value, made[at]) for name, value, at in zip(names, values, numbers, strict=True)}
    except (ValueError, TypeError, IndexError, RecursionError, msgpack.UnpackException) as error:
        raise Corrupt(f"a record cannot be read: {error}") from error
    return (kind, key, fields), names, made, numbers


def _check_types(wanted: type, items: tuple[object, ...]) -> None:
    # Records come from peers as well: what has another type here would fail much later, far from its cause.
    if not {wanted}.issuperset(map(type, items)):
        raise TypeError(f"something else where {wanted.__name__} belongs")


def _check_values(values: tuple[object, ...]) -> None:
    if not _SCALARS.issuperset(map(type, values)):
        for value in values:
            if type(value) is tuple:
                _check_values(value)
            elif type(value) not in _SCALARS:
                raise TypeError(f"a field cannot hold {type(value).__name__}")
