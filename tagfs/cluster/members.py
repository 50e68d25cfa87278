"""Member records and the settings of the cluster: what is in them, and all of them in memory. Layer: cluster.

A member is the record ``member``/<node id>; the settings are the record ``settings``/``cluster``. Fields of a member:

=============  =======================================================================================
``name``       str: the node's name for people
``addresses``  tuple of str: ``host:port`` where other nodes reach it, the best first
``zone``       str: its zone, or empty
``host``       str: what tells its machine apart, or empty
``capacity``   int: its weight in placement, 1 or more
``state``      str: ``joined``, ``draining``, ``left`` or ``forgotten``
``out``        bool: the others took it out of the layout while it was dead
=============  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgpack
from blake3 import blake3

from tagfs.cluster.placement import Layout, Place
from tagfs.cluster.view import ClusterSettings, Member
from tagfs.errors import BadRequest, Corrupt
from tagfs.model.record import Record, Ref, Value, decode, encode, merge

MEMBER: Final = "member"
SETTINGS: Final = Ref("settings", "cluster")
STATES = ("joined", "draining", "left", "forgotten")
MAX_MEMBERS = 1_500
"""Most member records, those of nodes that left included."""
MAX_ADDRESSES = 8
_MAX_TEXT = 400


def member_ref(node: str) -> Ref:
    """The name of a node's member record."""
    return Ref(MEMBER, node)


def is_ours(record: Record) -> bool:
    """Whether a record is one that members exchange whole: a member or the settings."""
    return record.kind == MEMBER or record.ref == SETTINGS


def member_fields(member: Member) -> dict[str, Value]:
    """The fields of a member's record. Inverse of :func:`member_of`."""
    fields: dict[str, Value] = dict(member._asdict())
    del fields["id"]
    return fields


def member_of(record: Record) -> Member | None:
    """The member of a record; None where it makes no sense."""
    name, addresses = record.value("name"), record.value("addresses")
    zone, host = record.value("zone", ""), record.value("host", "")
    capacity, state = record.value("capacity", 1), record.value("state")
    if not (isinstance(name, str) and isinstance(addresses, tuple) and isinstance(zone, str) and isinstance(host, str)):
        return None
    if type(capacity) is not int or capacity < 1 or state not in STATES:
        return None
    where = tuple(each for each in addresses if isinstance(each, str))
    return Member(record.key, name, where, zone, host, capacity, str(state), bool(record.value("out", False)))


def settings_fields(settings: ClusterSettings) -> dict[str, Value]:
    """The fields of the settings record. Inverse of :func:`settings_of`."""
    return dict(settings._asdict())


def settings_of(record: Record | None) -> ClusterSettings:
    """The settings of a record; the default for what it lacks or has out of bounds."""
    default = ClusterSettings()
    if record is None:
        return default
    found = {name: record.value(name) for name in default._fields}
    sound = {name: value for name, value in found.items() if _is_sound(name, value)}
    return default._replace(**sound)  # type: ignore[arg-type]


_BOUNDS = {"copies": (1, 16), "write_copies": (0, 16), "out_after": (10, 31_536_000), "trash_days": (1, 36_500)}


def _is_sound(name: str, value: Value) -> bool:
    if name == "node_tls":
        return type(value) is bool
    least, most = _BOUNDS[name]
    return type(value) is int and least <= value <= most


def check_settings(changed: Mapping[str, Value]) -> None:
    """Raises BadRequest where a setting is unknown or out of bounds."""
    for name, value in changed.items():
        if name not in ClusterSettings._fields:
            raise BadRequest(f"there is no setting {name!r}; there are {', '.join(ClusterSettings._fields)}")
        if not _is_sound(name, value):
            bounds = _BOUNDS.get(name)
            raise BadRequest(
                f"{name} {value!r}: {f'a whole number from {bounds[0]} to {bounds[1]}' if bounds else 'on or off'}"
            )


def check_member(member: Member) -> Member:
    """The member, where its record may be written. Raises BadRequest."""
    texts = (member.name, member.zone, member.host, *member.addresses)
    if not member.name or not member.addresses or len(member.addresses) > MAX_ADDRESSES:
        raise BadRequest(f"a member has a name and 1 to {MAX_ADDRESSES} addresses")
    if any(len(text) > _MAX_TEXT or not text.isprintable() for text in texts):
        raise BadRequest(
            f"a member's name, zone, host and addresses are printable and have at most {_MAX_TEXT} characters"
        )
    if not 1 <= member.capacity <= 1_000_000:
        raise BadRequest("a member's capacity is a whole number from 1 to 1000000")
    return member


def pack(records: Iterable[Record]) -> bytes:
    """Records as the body of a message. Inverse of :func:`unpack`; nothing for none."""
    encoded = [encode(record) for record in records]
    return msgpack.packb(encoded) if encoded else b""


def unpack(body: bytes) -> tuple[Record, ...]:
    """The member and settings records in a body. Raises Corrupt for anything else."""
    if not body:
        return ()
    try:
        items = msgpack.unpackb(body, use_list=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise Corrupt(f"member records cannot be read: {error}") from error
    if not isinstance(items, tuple) or len(items) > MAX_MEMBERS + 1 or not all(type(item) is bytes for item in items):
        raise Corrupt("member records cannot be read: not a list of records")
    records = tuple(decode(item) for item in items)
    if not all(is_ours(record) for record in records):
        raise Corrupt("among the member records is one of another kind")
    return records


class Roll:
    """All member records and the settings, in memory; learns states in any order."""

    def __init__(self) -> None:
        self.records: dict[Ref, Record] = {}
        self.members: dict[str, Member] = {}
        self.settings = ClusterSettings()
        self.hash = ""
        self.layout = Layout.of((), self.settings.copies)
        self._encoded: dict[Ref, bytes] = {}

    def learn(self, records: Iterable[Record]) -> bool:
        """Takes note of records, merged with what is known; whether that changed anything."""
        changed = False
        for record in records:
            if not is_ours(record):
                continue
            known = self.records.get(record.ref)
            if known is None and len(self.records) > MAX_MEMBERS:
                continue
            state = record if known is None else merge(known, record)
            if state != known:
                changed = True
                self.records[record.ref] = state
                self._encoded[record.ref] = encode(state)
                member = member_of(state) if state.kind == MEMBER else None
                if member is not None:
                    self.members[member.id] = member
        if changed:
            self._derive()
        return changed

    def lacking(self, theirs: Iterable[Record]) -> tuple[Record, ...]:
        """What is known here and not there, where ``theirs`` is all that they have."""
        there = {record.ref: record for record in theirs}
        return tuple(
            record
            for ref, record in sorted(self.records.items())
            if ref not in there or merge(there[ref], record) != there[ref]
        )

    def news(self, theirs: Iterable[Record]) -> tuple[Record, ...]:
        """Those of ``theirs`` that would change what is known here."""
        return tuple(record for record in theirs if self._is_news(record))

    def _is_news(self, record: Record) -> bool:
        known = self.records.get(record.ref)
        return is_ours(record) and (known is None or merge(known, record) != known)

    def present(self) -> Sequence[str]:
        """Ids of the nodes that belong to the cluster, in order."""
        return sorted(member.id for member in self.members.values() if member.present)

    def _derive(self) -> None:
        self.settings = settings_of(self.records.get(SETTINGS))
        total = blake3()
        for ref in sorted(self._encoded):
            total.update(self._encoded[ref])
        self.hash = total.hexdigest()[:8]
        self.layout = Layout.of(
            (
                Place(member.id, member.zone, member.host, member.capacity)
                for member in self.members.values()
                if member.in_layout
            ),
            self.settings.copies,
        )
