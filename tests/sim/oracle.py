"""What must be true of a cluster of whole nodes, told by whoever made changes: nothing acknowledged is lost, nothing purged comes
back, all states are merges of what was written, and an answer marked complete lacks nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from attrs import define, field

from tagfs.cluster.replication import FRESH_S
from tagfs.model.entry import KIND, compact, digests, entry, is_gone, is_whole, partition
from tagfs.model.query import Query
from tagfs.model.query.meaning import matches
from tagfs.model.record import Record, Ref
from tests.sim.whole_node import WholeNode, WholeWorld

USERS_KINDS = ("entry", "tag", "search", "user")
"""Kinds of records that users make; others are the membership's."""


class Violation(AssertionError):
    """Something that must never be."""


def newest(states: Iterable[Record]) -> Record:
    """The merge of some changes of one record: the law of records, written down once more, apart from production's."""
    kind = key = ""
    fields = {}
    for state in states:
        kind, key = state.kind, state.key
        for name, theirs in state.fields.items():
            ours = fields.get(name)
            if ours is None or (theirs.stamp, repr(theirs.value)) > (ours.stamp, repr(ours.value)):
                fields[name] = theirs
    return Record(kind, key, fields)


def covers(state: Record | None, change: Record) -> bool:
    """Whether a state has seen a change: each field as it was written, or a later one; or the entry is gone for good."""
    if state is None:
        return False
    if state.kind == KIND and is_gone(state):
        return True
    return all(
        name in state.fields and state.fields[name].stamp >= field.stamp for name, field in change.fields.items()
    )


@define
class Change:
    """One change that became durable at the node that made it. ``copies`` is what its writer was told, 0 where nothing was."""

    at: float
    node: WholeNode
    record: Record
    copies: int = 0


@define(eq=False)
class Oracle:
    """Hears of all changes when they become durable."""

    world: WholeWorld
    changes: dict[Ref, list[Change]] = field(factory=dict)
    stamps: dict[str, int] = field(factory=dict)
    lives: dict[str, int] = field(factory=dict)
    checked: int = 0

    def watch(self) -> None:
        """From now on."""
        for node in self.world.nodes:
            node.catalog.heard = self._heard(node)

    def _heard(self, node: WholeNode) -> Callable[[str, Sequence[Record]], None]:
        def heard(_: str, changes: Sequence[Record]) -> None:
            for change in changes:
                if change.kind in USERS_KINDS:
                    self._look_at_stamps(node, change)
                    self.changes.setdefault(change.ref, []).append(Change(self.world.clock.seconds(), node, change))

        return heard

    def _look_at_stamps(self, node: WholeNode, change: Record) -> None:
        own = [field.stamp.time for field in change.fields.values() if field.stamp.node == node.id]
        before = self.stamps.get(f"{node.id}.{node.starts - 1}", 0)
        if own and not node.restored and min(own) <= before:
            raise Violation(f"{node.name} gave a stamp that is not greater than those before its restart")
        life = f"{node.id}.{node.starts}"
        self.stamps[life] = max([before, self.stamps.get(life, 0), *own])

    # While it runs

    def find(self, node: WholeNode, since: float, ref: Ref, fields: Mapping[str, object]) -> Change | None:
        """The first change of a record with those values that became durable at a node since some time."""
        for change in self.changes.get(ref, ()):
            fits = all(change.record.value(name) == value for name, value in fields.items())
            if fits and change.node is node and change.at >= since:
                return change
        return None

    def acknowledged(self, change: Change | None, copies: int, content: bytes | None = None) -> None:
        """A writer was told so many copies: as many nodes must have it durably, now."""
        if change is None:
            raise Violation("a change was acknowledged that never became durable")
        change.copies = copies
        have = [
            node
            for node in self.world.nodes
            if self._has(node, change.record)
            and (content is None or self._is_gone(change.record.ref) or node.blobs.stat(content) is not None)
        ]
        if len(have) < copies:
            raise Violation(f"copies={copies} were told of {change.record.key}, and {len(have)} nodes have it")

    def _has(self, node: WholeNode, change: Record) -> bool:
        """Whether a node has seen a change; a tombstone that was dropped is none of its duties."""
        state = node.catalog.state(change.ref)
        return covers(state, change) or (state is None and change.kind == KIND and self._is_gone(change.ref))

    def _is_gone(self, ref: Ref) -> bool:
        return is_gone(newest(change.record for change in self.changes[ref]))

    def complete(self, node: WholeNode, asked_at: float, query: Query, found: Iterable[str]) -> None:
        """An answer was marked complete: all that every member had two seconds before it was asked for is in it."""
        self.checked += 1
        horizon = asked_at - FRESH_S
        found = set(found)
        for ref, changes in self.changes.items():
            old = [change for change in changes if change.at <= horizon and not self._is_lost(change)]
            if not old:
                continue
            wanted = newest(change.record for change in old)
            if not self._has(node, wanted):
                raise Violation(f"a complete answer of {node.name} did not know {ref} as it was {FRESH_S} s before")
            if ref.kind == KIND and len(old) == len(changes):
                state = compact(wanted)
                fits = is_whole(state) and not state.value("trash") and matches(query, entry(state))
                if fits != (ref.key in found):
                    raise Violation(f"a complete answer of {node.name} judged {ref.key} wrongly: {fits} is right")

    def _is_lost(self, change: Change) -> bool:
        """Whether it may be gone with the disk of its node, or with what was put in its place."""
        node = change.node
        gone = node.destroyed or any(first <= change.at <= last for first, last in node.restored)
        return gone and change.copies < 2

    def has_all_of(self, node: WholeNode, states: Mapping[Ref, Record], since: str) -> None:
        """A node must have these states, or later ones."""
        for ref, state in states.items():
            if ref.kind in USERS_KINDS and ref in self.changes and not self._has(node, state):
                raise Violation(f"{node.name} lacks {ref} {since}")

    # In the end

    def in_step(self) -> bool:
        """Whether all nodes that are left have the same records, and the owners the contents."""
        first, *others = nodes = self._left()
        states = self._users(first)
        if any(self._users(other) != states for other in others):
            return False
        return not any(self._lacking(nodes, states))

    def _left(self) -> list[WholeNode]:
        return [node for node in self.world.nodes if not node.destroyed]

    def _users(self, node: WholeNode) -> Mapping[Ref, Record]:
        return {ref: state for ref, state in node.catalog.states().items() if ref.kind in USERS_KINDS}

    def _lacking(self, nodes: Sequence[WholeNode], states: Mapping[Ref, Record]) -> Iterator[str]:
        """Contents that an owner lacks although somebody has them."""
        layout = nodes[0].cluster.view.layout
        for ref, state in states.items():
            if ref.kind == KIND and is_whole(state):
                owners = layout.owners(partition(ref.key))
                for digest in digests(state):
                    if any(node.blobs.stat(digest) for node in nodes):
                        for node in nodes:
                            if node.id in owners and node.blobs.stat(digest) is None:
                                yield f"{node.name} lacks a content of {ref.key}"

    def final(self) -> None:
        """After everything is healed: the nodes agree, on what was written and nothing else."""
        nodes = self._left()
        states = self._users(nodes[0])
        for node in nodes[1:]:
            theirs = self._users(node)
            for ref in sorted({*states, *theirs}):
                if states.get(ref) != theirs.get(ref):
                    raise Violation(f"{nodes[0].name} and {node.name} differ in {ref} for good")
        for lacking in self._lacking(nodes, states):
            raise Violation(f"{lacking} for good")
        for ref, changes in self.changes.items():
            self._check_record(nodes, ref, changes, states.get(ref))
        for ref in states:
            if ref not in self.changes:
                raise Violation(f"{ref} was never written")

    def _check_record(self, nodes: Sequence[WholeNode], ref: Ref, changes: list[Change], state: Record | None) -> None:
        kept = [change for change in changes if not self._is_lost(change)]
        everything = newest(change.record for change in changes)
        if state is None and ref.kind == KIND and is_gone(everything):
            return
        if kept and not covers(state, newest(change.record for change in kept)):
            raise Violation(f"a change of {ref} was lost")
        if state is None:
            return
        if not covers(compact(everything) if ref.kind == KIND else everything, state):
            raise Violation(f"{ref} has what nobody wrote")
        if len(kept) == len(changes) and ref.kind == KIND and is_gone(everything) != is_gone(state):
            raise Violation(f"{ref} was purged and came back")
        if len(kept) == len(changes) and not is_gone(state) and dict(state.fields) != dict(everything.fields):
            raise Violation(f"{ref} is not the merge of its changes")
        if ref.kind == KIND and not is_gone(state):
            self._check_contents(nodes, kept, state)

    def _check_contents(self, nodes: Sequence[WholeNode], kept: Sequence[Change], state: Record) -> None:
        """Each content that was acknowledged is still the present one or a version, and somewhere."""
        there = digests(state)
        for change in kept:
            value = change.record.value("content")
            if change.copies and value is not None:
                digest = value[0]  # type: ignore[index]
                if digest not in there:
                    raise Violation(f"an acknowledged content of {state.key} is neither there nor a version")
                if not any(node.blobs.stat(digest) for node in nodes):  # type: ignore[arg-type]
                    raise Violation(f"an acknowledged content of {state.key} is nowhere")
