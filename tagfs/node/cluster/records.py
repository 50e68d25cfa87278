"""Member and settings records in the catalog, for the cluster's driver. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from tagfs.cluster.members import MAX_MEMBERS, MEMBER, SETTINGS
from tagfs.model.record import Field, Record, Ref, Value
from tagfs.model.stamp import Stamp
from tagfs.node.core import Core
from tagfs.node.group_commit import News


class Records(Protocol):
    """Keeps the records that the membership is about."""

    def watch(self, learn: Callable[[Sequence[Record]], None]) -> None:
        """Tells the states of records, of other kinds too, that became durable here, whoever wrote them."""

    def load(self) -> Sequence[Record]:
        """All of them. Blocks; for the start."""

    def change(self, ref: Ref, fields: Mapping[str, Value]) -> Deferred[Any]:
        """Writes fields as this node's own change; fires when durable."""

    def merge(self, records: Sequence[Record]) -> Deferred[Any]:
        """Merges what came from others; fires when durable."""


class CoreRecords:
    """:class:`Records` of a running node."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def watch(self, learn: Callable[[Sequence[Record]], None]) -> None:
        self._core.learners.append(learn)

    def load(self) -> Sequence[Record]:
        catalog = self._core.catalog
        found = [record for record in catalog.get([SETTINGS]) if record is not None]
        return [*found, *catalog.records(MEMBER, "", MAX_MEMBERS)]

    def change(self, ref: Ref, fields: Mapping[str, Value]) -> Deferred[Any]:
        def plan(_present: Record | None, stamp: Stamp) -> Sequence[Record]:
            return [Record(ref.kind, ref.key, {name: Field(value, stamp) for name, value in fields.items()})]

        return Deferred.fromCoroutine(self._core.change(ref, plan))

    def merge(self, records: Sequence[Record]) -> Deferred[Any]:
        # Nobody knows here under which numbers the others have them: replication brings those later.
        return self._core.committer.apply(News(records, {record.ref: {} for record in records}, {}))
