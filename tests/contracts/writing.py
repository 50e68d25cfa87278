"""Changes as the nodes of a cluster would make them, for the suites in this directory."""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from tagfs.model.entry import KIND, Content, change, creation, entry_id, stamp_text, tagging
from tagfs.model.record import Field, Record, Ref, Value
from tagfs.model.stamp import ZERO, HybridClock, Stamp

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: when the tests' first change happens."""


def content(
    text: str = "content", size: int | None = None, modified: int = START_MS, type: str = "text/plain"
) -> Content:
    """A content whose digest is that of ``text``; ``size`` need not be its true one."""
    data = text.encode()
    return Content(blake3(data).digest(), len(data) if size is None else size, type, modified)


class Writer:
    """One node that makes changes; its clock moves a millisecond with each stamp unless told otherwise."""

    def __init__(self, node: str = "n1", start_ms: int = START_MS) -> None:
        self.node = node
        self.now_ms = start_ms
        self._clock = HybridClock(node)
        self._made = 0

    def stamp(self, after: Stamp = ZERO) -> Stamp:
        self.now_ms += 1
        return self._clock.stamp(self.now_ms, after)

    def new_id(self, partition: int | None = None) -> str:
        """A fresh entry id; of a certain partition if wanted."""
        self._made += 1
        random = bytearray(blake3(f"{self.node} {self._made}".encode()).digest(10))
        if partition is not None:
            random[-1] = partition
        return entry_id(self.now_ms, bytes(random))

    def entry(
        self,
        name: str = "file",
        tags: Iterable[str] = (),
        *,
        home: str | None = None,
        text: str | None = None,
        size: int | None = None,
        modified: int = START_MS,
        added: int | None = None,
        type: str = "text/plain",
        id: str | None = None,
    ) -> Record:
        """The first state of a new entry."""
        identifier = id or self.new_id()
        return creation(
            identifier,
            self.stamp(),
            name,
            content(identifier if text is None else text, size, modified, type),
            self.now_ms if added is None else added,
            tags,
            home,
        )

    def set(self, record: Record, **fields: Value) -> Record:
        """A change of an entry's fields."""
        return change(record.key, self.stamp(record.greatest()), **fields)

    def tag(self, record: Record, *present: str, absent: Iterable[str] = ()) -> Record:
        """A change of an entry's tags."""
        return tagging(record.key, self.stamp(record.greatest()), present, absent)

    def trash(self, record: Record) -> Record:
        return self.set(record, trash=True)

    def purge(self, record: Record) -> Record:
        return self.set(record, purged=True)

    def expire(self, trashed: Record) -> Record:
        """An automatic purge: it names the trash stamp that it ends."""
        return self.set(trashed, expired=stamp_text(trashed.fields["trash"].stamp))

    def other(self, kind: str, key: str, **fields: Value) -> Record:
        """A change of a record that is no entry."""
        stamp = self.stamp()
        return Record(kind, key, {name: Field(value, stamp) for name, value in fields.items()})


def ref(record: Record) -> Ref:
    return Ref(record.kind, record.key)


def entry_ref(identifier: str) -> Ref:
    return Ref(KIND, identifier)
