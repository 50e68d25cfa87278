"""Who may speak as a member: joiners, and new runs of a member's process. Layer: cluster.

A request from another run of a node's process than the one known is held until the one known was pinged: if that still
answers, there are two live processes with one id, and the newer one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from tagfs.cluster.effects import Asked
from tagfs.cluster.members import MAX_MEMBERS, Roll, check_member
from tagfs.cluster.view import Member
from tagfs.errors import BadRequest, Forgotten

LOOK_S = 2.5
"""Seconds in which the run known so far may show that it lives."""
MOST_HELD = 8
MOST_CLAIMS = 256
REFUSED_S = 60.0
"""Seconds for which a second run stays refused before it is looked at again."""

TWICE = "another process with this node's id is running; give each node a data directory of its own"
GONE = {
    "left": "this node left the cluster; to take part again, it starts anew with an empty data directory",
    "forgotten": "this node was forgotten by the cluster; it can take part again only as another node",
}


@define
class Claim:
    """A run of a member's process that is not the one known."""

    boot: str
    since: float
    held: list[Asked] = field(factory=list)


class Admission:
    """Claims under way, and runs that were refused."""

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}
        self._refused: dict[tuple[str, str], float] = {}

    def is_refused(self, node: str, boot: str, now: float) -> bool:
        """Whether that run was found to be a second one."""
        return self._refused.get((node, boot), now) > now

    def hold(self, asked: Asked, now: float) -> bool:
        """Holds a request of another run; whether the run known so far is to be pinged for it now."""
        claim = self.claims.get(asked.node)
        begins = claim is None
        if claim is None or claim.boot != asked.boot:
            held = [] if claim is None else claim.held
            claim = self.claims[asked.node] = Claim(asked.boot, now, held)
        claim.held.append(asked)
        return begins

    def is_full(self, node: str) -> bool:
        """Whether no more requests of that node are held."""
        claim = self.claims.get(node)
        return len(self.claims) >= MOST_CLAIMS if claim is None else len(claim.held) >= MOST_HELD

    def settle(self, node: str, boot: str, now: float) -> tuple[list[Asked], list[Asked]]:
        """The run ``boot`` answered (empty: none did). What was held for the run that counts, and what is to be refused."""
        claim = self.claims.pop(node, None)
        if claim is None:
            return [], []
        counts = boot or claim.boot
        taken = [asked for asked in claim.held if asked.boot == counts]
        refused = [asked for asked in claim.held if asked.boot != counts]
        self._refused = {key: until for key, until in self._refused.items() if until > now}
        self._refused.update(((node, asked.boot), now + REFUSED_S) for asked in refused)
        return taken, refused

    def answers(self, node: str, boot: str, asked: float) -> bool:
        """The run ``boot`` answered a ping of the time ``asked``: whether that settles a claim. What was asked before the claim was
        made, a process may have answered that is no more."""
        self._refused.pop((node, boot), None)
        claim = self.claims.get(node)
        return claim is not None and asked >= claim.since

    def overdue(self, now: float) -> list[str]:
        """Nodes whose run known so far did not answer in time."""
        return [node for node, claim in self.claims.items() if now - claim.since >= LOOK_S]


def joiner(asked: Asked) -> Member:
    """The member that a JOIN tells of. Raises BadRequest."""
    facts = asked.facts
    capacity = facts.get("capacity", "1")
    if not asked.node:
        raise BadRequest("only a node can join")
    if not (capacity.isascii() and capacity.isdigit() and len(capacity) < 8):
        raise BadRequest(f"capacity {capacity[:20]!r} is no whole number")
    addresses = tuple(address for address in facts.get("addresses", "").split(",") if address)
    return check_member(
        Member(
            asked.node, facts.get("name", ""), addresses, facts.get("zone", ""), facts.get("host", ""), int(capacity)
        )
    )


def join_facts(member: Member, entries: bool, merge: bool, alone_in: str, told: bool) -> Mapping[str, str]:
    """What a JOIN says. ``alone_in``: the cluster that the joiner founded and in which it is alone; ``told``: an operator said
    where to join. Read by :func:`joiner`."""
    facts = {
        "name": member.name,
        "addresses": ",".join(member.addresses),
        "zone": member.zone,
        "host": member.host,
        "capacity": str(member.capacity),
        "entries": "yes" if entries else "",
        "merge": "yes" if merge else "",
        "alone-in": alone_in,
        "told": "yes" if told else "",
    }
    return {key: value for key, value in facts.items() if value}


def objection(asked: Asked, roll: Roll) -> tuple[str, str] | None:
    """Why a joiner is refused (wire code, text), or None."""
    known = roll.members.get(asked.node)
    if known is not None and not known.present:
        return Forgotten.wire if known.state == "forgotten" else "forbidden", GONE[known.state]
    if known is None and len(roll.members) >= MAX_MEMBERS:
        return "too-large", f"the cluster has {MAX_MEMBERS} members, which is the most"
    if known is None and asked.facts.get("entries") and not asked.facts.get("merge"):
        return "conflict", "this node has entries of its own; they are merged into the cluster's with --merge"
    return None
