"""What must never happen to a membership, looked at while a simulation runs; it knows what is really the case."""

from __future__ import annotations

from collections.abc import Mapping

from tagfs.cluster.view import View
from tagfs.model.record import Ref, Value
from tests.sim.member_world import MemberNode, MemberWorld

LATE_S = 10.0
"""Nobody may be dead for others that could reach it for so long; nor be declared dead if it could be reached all that time."""
VOTE_S = 6.0
"""What somebody said counts for so long."""


class Violation(AssertionError):
    """Something happened that must not."""


class Truth:
    """Which nodes could reach which, and since when; and the checks that need to know."""

    def __init__(self, world: MemberWorld) -> None:
        self.world = world
        self.ending: set[str] = set()
        """Nodes that are stopping."""
        self.verdicts = 0
        self.outs = 0
        self.undone = 0
        self._good_since: dict[tuple[str, str], float] = {}
        self._left_alone_since: dict[tuple[str, str], float] = {}
        self._last_told: dict[tuple[str, str], float] = {}
        self._wrong: list[str] = []
        """What nodes did that they must not; told at the next look, and not where it happens, amid their own code."""
        self._known: dict[str, set[str]] = {}
        self._states: dict[str, Mapping[str, str]] = {}
        self.gone: dict[str, str] = {}
        """Nodes that left or were forgotten, as far as anybody knows."""
        world.watching.append(self._born)
        world.written = self._written

    def _born(self, node: MemberNode) -> None:
        self._states[node.id] = {}
        node.cluster.watch(lambda view: self._seen(node, view))

    def _runs(self, node: MemberNode) -> bool:
        return node.up and node.id not in self.ending and self.world.clock.seconds() >= node.clock.still_until

    def _linked(self, one: str, other: str) -> bool:
        cut = self.world.network.cut
        return (one, other) not in cut and (other, one) not in cut

    def look(self) -> None:
        """Takes note of what is the case now; to be called whenever something changes, and often."""
        now = self.world.clock.seconds()
        running = [node for node in self.world.nodes if self._runs(node)]
        ids = {node.id for node in running}
        self._known = {node.id: self._knows(node) for node in self.world.nodes if node.up}
        for one in self.world.nodes:
            for other in self.world.nodes:
                if one is not other:
                    pair = one.id, other.id
                    reached = other.id in ids and self._can_meet(one, other) and self._reaches(one.id, other.id, ids)
                    self._note(self._left_alone_since, pair, reached, now)
                    self._note(self._good_since, pair, reached and one.id in ids, now)
                    if other.id in ids and (other.id, one.id) not in self.world.network.cut:
                        self._last_told[pair] = now
        for one in running:
            self._check_condemned(one, now)
        if self._wrong:
            raise Violation(self._wrong[0])

    def _reaches(self, one: str, other: str, running: set[str]) -> bool:
        """Whether a node can be heard of: directly, or by way of most others."""
        if self._linked(one, other):
            return True
        both = {one, other}
        between = {
            third
            for third in running - both - self.gone.keys()
            if both <= self._known[third] and all(third in self._known.get(each, ()) for each in both)
        }
        ways = sum(self._linked(one, third) and self._linked(third, other) for third in between)
        return bool(between) and ways * 2 > len(between)

    @staticmethod
    def _knows(node: MemberNode) -> set[str]:
        return {id for id, member in node.view.members.items() if member.present}

    def _can_meet(self, one: MemberNode, other: MemberNode) -> bool:
        """Whether two know each other, and one of them where the other one is: who both moved need a third, or beacons."""
        if other.id not in self._known.get(one.id, ()) or one.id not in self._known.get(other.id, ()):
            return False
        there, here = one.view.members[other.id], other.view.members[one.id]
        return self.world.beacons or other.address in there.addresses or one.address in here.addresses

    @staticmethod
    def _note(since: dict[tuple[str, str], float], pair: tuple[str, str], holds: bool, now: float) -> None:
        if holds:
            since.setdefault(pair, now)
        else:
            since.pop(pair, None)

    def _check_condemned(self, one: MemberNode, now: float) -> None:
        for other, state in one.view.states.items():
            good = self._good_since.get((one.id, other))
            if state == "dead" and good is not None and now - good > LATE_S and self._are_members(one, other):
                self._wrong.append(f"{one.name} sees {other} dead, which it could reach for {now - good:.1f} s")

    def _are_members(self, one: MemberNode, other: str) -> bool:
        """Whether both belong to the cluster as far as both know, and take part."""
        there = next(node for node in self.world.nodes if node.id == other)
        present = all(
            view.cluster == one.view.cluster
            and {one.id, other} <= {id for id, member in view.members.items() if member.present}
            for view in (one.view, there.view)
        )
        return present and not {one.id, other} & self.gone.keys()

    def _seen(self, node: MemberNode, view: View) -> None:
        """A node's view changed."""
        now = self.world.clock.seconds()
        before, self._states[node.id] = self._states[node.id], view.states
        for other, state in view.states.items():
            if state == "dead" and before.get(other, "dead") != "dead":
                self.verdicts += 1
                alone = self._left_alone_since.get((node.id, other))
                if alone is not None and now - alone > LATE_S and self._are_members(node, other):
                    self._wrong.append(
                        f"{node.name} declares {other} dead, which could be reached for {now - alone:.1f} s"
                    )
        for id, member in view.members.items():
            if member.present and id in self.gone and node.id not in self.gone and self._knew_better(node, id):
                self._wrong.append(f"{id}, which was {self.gone[id]}, belongs to the cluster again for {node.name}")

    def _knew_better(self, node: MemberNode, id: str) -> bool:
        record = node.cluster.membership.standing.roll.members.get(id)
        return record is not None and not record.present

    def _written(self, node: MemberNode, ref: Ref, fields: Mapping[str, Value]) -> None:
        """A node writes a record."""
        if ref.kind != "member" or set(fields) != {"out"}:
            return
        now = self.world.clock.seconds()
        layout = {place.node for place in node.view.layout.places} | {ref.key}
        reached = {id for id in layout if now - self._last_told.get((node.id, id), -100.0) <= VOTE_S} | {node.id}
        if fields["out"]:
            self.outs += 1
            reached.discard(ref.key)
        else:
            self.undone += 1
        if len(reached & layout) * 2 <= len(layout):
            what = "takes out" if fields["out"] else "takes back"
            self._wrong.append(
                f"{node.name} {what} {ref.key} with {len(reached & layout)} of {len(layout)} of the layout"
            )
