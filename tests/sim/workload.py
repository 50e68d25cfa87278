"""What users do to a simulated cluster, at random nodes at random times, and what they are promised for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any

from attrs import define, field
from blake3 import blake3
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tagfs.errors import BadRequest, Conflict, NotFound, Unavailable
from tagfs.model.entry import KIND
from tagfs.model.order import Scope
from tagfs.model.principal import OWNER
from tagfs.model.query.parser import parse
from tagfs.model.record import Ref
from tests.sim.oracle import Oracle, Violation
from tests.sim.whole_node import WholeNode, WholeWorld

TAGS = ("red", "green", "blue", "big", "year=2020", "year=2021")
QUERIES = ("red", "red and not blue", "green or big", "year > 2020", "not red", "year=*", "name:f*", "untagged")
LARGE = 140_000
"""Bytes of a content that does not travel with its record."""


@define(eq=False)
class Workload:
    """Runs one operation after the other; each looks at its own outcome. The first thing that is wrong is in ``wrong``."""

    world: WholeWorld
    oracle: Oracle
    known: list[str] = field(factory=list)
    contents: dict[str, set[bytes]] = field(factory=dict)
    wrong: list[BaseException] = field(factory=list)
    done: Counter[str] = field(factory=Counter)
    number: int = 0

    def one(self) -> None:
        """Begins an operation at a node that runs."""
        running = self.world.up()
        if not running:
            return
        node = self.world.random.choice(running)
        kinds = ["store"] * 4 + ["retag"] * 6 + ["bulk", "replace", "replace", "rename", "trash", "restore", "purge"]
        kinds += ["find"] * 5 + ["read", "read", "sync"]
        kind = self.world.random.choice(kinds if self.known else ["store"])
        self.number += 1
        running_operation = Deferred.fromCoroutine(getattr(self, kind)(node))
        running_operation.addCallbacks(lambda _: self.done.update([kind]), lambda failure: self._failed(kind, failure))

    def _failed(self, kind: str, failure: Failure) -> None:
        if failure.check(Unavailable, NotFound, BadRequest, Conflict):
            self.done[f"{kind} refused"] += 1
        else:
            self.wrong.append(failure.value)

    def _data(self) -> bytes:
        random = self.world.random
        chance = random.random()
        if chance < 0.2:
            return b"the same again %d" % random.randrange(3)
        return b"%d " % self.number + random.randbytes(LARGE if chance > 0.97 else random.randrange(40))

    def _some(self) -> str:
        recent = self.known[-12:]
        return self.world.random.choice(recent)

    async def store(self, node: WholeNode) -> None:
        data, random = self._data(), self.world.random
        tags = random.sample(TAGS, random.randrange(4))
        since = self.world.clock.seconds()
        receiving = await node.node.receive(OWNER, len(data))
        receiving.write(data)
        name = f"f{self.number}"
        adding = receiving.add(name, tags)
        try:
            added = await adding
        except Unavailable as error:
            identifier, _, rest = str(error).partition(" ")
            if rest.startswith("copies="):
                self._know(identifier, data)
            raise
        self._know(added.id, data)
        change = self.oracle.find(node, since, Ref(KIND, added.id), {"name": name})
        self.oracle.acknowledged(change, added.copies.have, blake3(data).digest())

    def _know(self, identifier: str, data: bytes) -> None:
        if identifier not in self.contents:
            self.known.append(identifier)
        self.contents.setdefault(identifier, set()).add(data)

    async def replace(self, node: WholeNode) -> None:
        data, identifier = self._data(), self._some()
        self.contents[identifier].add(data)
        since = self.world.clock.seconds()
        receiving = await node.node.receive(OWNER, len(data))
        receiving.write(data)
        added = await receiving.replace(identifier)
        for change in self.oracle.changes.get(Ref(KIND, identifier), ()):
            value = change.record.value("content")
            if change.node is node and change.at >= since and value and value[0] == blake3(data).digest():  # type: ignore[index]
                self.oracle.acknowledged(change, added.copies.have, blake3(data).digest())
                return
        raise Violation(f"a replaced content of {identifier} never became durable")

    async def retag(self, node: WholeNode) -> None:
        random, identifier = self.world.random, self._some()
        add = random.sample(TAGS, random.randrange(3))
        delete = [tag for tag in random.sample(TAGS, random.randrange(3)) if tag not in add]
        if add or delete:
            changing = node.node.retag(OWNER, parse(f"id:{identifier}"), add, delete)
            await self._change(node, identifier, changing, {f"tag:{tag}": True for tag in add[:0]})

    async def _change(
        self, node: WholeNode, identifier: str, changing: Coroutine[Any, Any, Any], fields: dict[str, object]
    ) -> None:
        since = self.world.clock.seconds()
        changed = await changing
        if changed.changed:
            change = self.oracle.find(node, since, Ref(KIND, identifier), fields)
            self.oracle.acknowledged(change, changed.copies.have)

    async def bulk(self, node: WholeNode) -> None:
        random = self.world.random
        await node.node.retag(OWNER, parse(random.choice(QUERIES)), [random.choice(TAGS)], [random.choice(TAGS)])

    async def rename(self, node: WholeNode) -> None:
        name = f"r{self.number}"
        identifier = self._some()
        await self._change(node, identifier, node.node.rename(OWNER, identifier, name), {"name": name})

    async def trash(self, node: WholeNode) -> None:
        identifier = self._some()
        await self._change(node, identifier, node.node.delete(OWNER, parse(f"id:{identifier}")), {"trash": True})

    async def restore(self, node: WholeNode) -> None:
        identifier = self._some()
        await self._change(node, identifier, node.node.restore(OWNER, parse(f"id:{identifier}")), {"trash": False})

    async def purge(self, node: WholeNode) -> None:
        identifier = self._some()
        await node.node.delete(OWNER, parse(f"id:{identifier}"))
        await self._change(node, identifier, node.node.purge(OWNER, parse(f"id:{identifier}")), {"purged": True})

    async def find(self, node: WholeNode) -> None:
        query, asked_at = parse(self.world.random.choice(QUERIES)), self.world.clock.seconds()
        found = await node.node.find(OWNER, query, limit=10_000, scope=Scope.LIVE)
        if found.complete:
            self.oracle.complete(node, asked_at, query, [each.id for each in found.entries])

    async def read(self, node: WholeNode) -> None:
        identifier = self._some()
        reading = await node.node.read(OWNER, identifier)
        try:
            pieces = []
            while piece := await reading.read(1 << 20):
                pieces.append(piece)
        finally:
            reading.close()
        if b"".join(pieces) not in self.contents[identifier]:
            raise Violation(f"{identifier} was read as something that nobody stored")

    async def sync(self, node: WholeNode) -> None:
        alive = node.cluster.view.alive
        theirs = [dict(other.catalog.states()) for other in self.world.up() if other.id in alive and other is not node]
        if await node.node.sync(OWNER, 5):
            for states in theirs:
                self.oracle.has_all_of(node, states, "after SYNC")
