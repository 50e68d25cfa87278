"""Member and settings records in the catalog, for the cluster's driver. Layer: node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from tagfs.cluster.members import MAX_MEMBERS, MEMBER, SETTINGS
from tagfs.model.record import Field, Record, Ref, Value
from tagfs.model.stamp import Stamp
from tagfs.node.core import Core


class Records(Protocol):
    """Keeps the records that the membership is about."""

    def load(self) -> Sequence[Record]:
        """All of them. Blocks; for the start."""

    def change(self, ref: Ref, fields: Mapping[str, Value]) -> Deferred[Sequence[Record]]:
        """Writes fields as this node's own change; the state that is durable then."""

    def merge(self, records: Sequence[Record]) -> Deferred[Sequence[Record]]:
        """Merges what came from others; the states that are durable then."""


class CoreRecords:
    """:class:`Records` of a running node."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def load(self) -> Sequence[Record]:
        catalog = self._core.catalog
        found = [record for record in catalog.get([SETTINGS]) if record is not None]
        return [*found, *catalog.records(MEMBER, "", MAX_MEMBERS)]

    def change(self, ref: Ref, fields: Mapping[str, Value]) -> Deferred[Sequence[Record]]:
        def plan(_present: Record | None, stamp: Stamp) -> Sequence[Record]:
            return [Record(ref.kind, ref.key, {name: Field(value, stamp) for name, value in fields.items()})]

        return Deferred.fromCoroutine(self._core.change(ref, plan))

    def merge(self, records: Sequence[Record]) -> Deferred[Sequence[Record]]:
        # Nobody knows here under which numbers the others have them: replication brings those later.
        origins: Mapping[Ref, Mapping[str, int]] = {record.ref: {} for record in records}
        catalog = self._core.catalog
        return Deferred.fromCoroutine(self._core.committer.exclusive(lambda: catalog.merge(records, origins)))
