"""What a node answers to the others: PING, PROBE, JOIN, EXCHANGE, BYE. Layer: cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tagfs.cluster import admission
from tagfs.cluster.detection import DEAD
from tagfs.cluster.effects import Asked, Change, Decline, Effect, Heard, Keep, Merge, Reply, Say
from tagfs.cluster.members import Roll, member_fields, member_ref
from tagfs.cluster.pings import read_ping, write_ping
from tagfs.cluster.standing import BYE, EXCHANGE, JOIN, PING, PROBE, Standing
from tagfs.errors import BadRequest, Forgotten
from tagfs.model.record import Value

PROBE_TIMEOUT_S = 1.5
JOIN_TIMEOUT_S = 6.0
MOST_PROBES = 64
"""Requests to look for others that are under way at a time."""
MOST_JOINING = 64
"""Joins under way at a time."""
MOVED_PAUSE_S = 5.0
OWN_FIELDS = ("name", "addresses", "zone", "host", "capacity")
"""Fields of a member's record that the node itself knows best."""


class Requests:
    """Serves one node's requests. Some wait: joins until the record is durable, probes until the other answers, and what comes
    from a new run of a member's process until it is known whether the old one lives."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._joining: list[tuple[Asked, float]] = []
        self._looking: list[tuple[str, int, float]] = []
        self._serve: dict[str, Callable[[Asked, float], Iterator[Effect]]] = {
            PING: self._ping,
            PROBE: self._probe,
            JOIN: self._join,
            EXCHANGE: self._exchange,
            BYE: self._bye,
        }

    def asked(self, event: Asked, now: float) -> Iterator[Effect]:
        """Another node asks."""
        standing = self._standing
        if not standing.cluster:
            if event.facts.get("cluster"):
                # Who lets this node in may have done so without its hearing of it.
                standing.entrance.hear(Heard(event.address, event.node, event.facts["cluster"]), now)
            yield Decline(event.token, "unavailable", "this node is not in a cluster yet")
            return
        objection = self._objection_to_joiner(event) if event.verb == JOIN else self._objection(event)
        if event.node == standing.me or standing.admission.is_refused(event.node, event.boot, now):
            objection = "conflict", admission.TWICE
        if objection is not None:
            if event.verb == JOIN and standing.may(("refused", event.node, objection), 60, now):
                who = event.facts.get("name", "")[:64] or event.node
                yield Say("warn", f"{who} was refused as a member: {objection[1]}")
            yield Decline(event.token, *objection)
        else:
            yield from self._admit(event, now)

    def _objection(self, event: Asked) -> tuple[str, str] | None:
        standing = self._standing
        member = standing.roll.members.get(event.node)
        theirs = event.facts.get("cluster", "")
        if theirs != standing.cluster:
            return "conflict", f"this node is in the cluster {standing.cluster}, not in {theirs[:64] or 'none'}"
        if member is None:
            # Whoever joined by way of another brings its own record, until that other one's news are here.
            return None if event.verb == EXCHANGE else ("missing", "this node does not know of you yet")
        return None if member.state != "forgotten" else (Forgotten.wire, admission.GONE[member.state])

    def _objection_to_joiner(self, event: Asked) -> tuple[str, str] | None:
        standing = self._standing
        # Of two that are alone and heard of each other, one must stay. Whom an operator sent here does not wait for this node.
        sent = event.facts.get("told") and not standing.own.seeds
        if event.facts.get("alone-in") and not sent and standing.may_join_others() and event.node < standing.me:
            return "conflict", "this node is alone, too, and joins the one with the lower id"
        if len(self._joining) >= MOST_JOINING:
            return "unavailable", "too many nodes are joining; this one will have its turn"
        return admission.objection(event, standing.roll)

    def _admit(self, event: Asked, now: float) -> Iterator[Effect]:
        """Serves a request, unless its process is another than the one known, and that may live still."""
        standing = self._standing
        peer = standing.detector.peers.get(event.node)
        member = standing.roll.members.get(event.node)
        moved = member is not None and event.verb == PING and event.address not in member.addresses
        if member is not None and moved and standing.may(("moved", event.node, event.address), MOVED_PAUSE_S, now):
            # Its record says so, too, but may need the connection to get here.
            yield Keep(event.node, (event.address, *member.addresses))
        if peer is None or peer.state == DEAD or not peer.boot or peer.boot == event.boot:
            yield from self._serve[event.verb](event, now)
        elif standing.admission.is_full(event.node):
            yield Decline(event.token, "unavailable", "it is being looked whether another process has this node's id")
        elif standing.admission.hold(event, now):
            yield standing.ping(event.node, now)

    def settle(self, node: str, boot: str, now: float) -> Iterator[Effect]:
        """It is known which run of a node's process counts: ``boot``, which answered, or (empty) the new one."""
        taken, refused = self._standing.admission.settle(node, boot, now)
        for asked in refused:
            yield Decline(asked.token, "conflict", admission.TWICE)
        if refused:
            yield Say("error", f"a second process with the id of {self._standing.name(node)} is running; it is refused")
        for asked in taken:
            yield from self._serve[asked.verb](asked, now)

    def tick(self, now: float) -> Iterator[Effect]:
        """Ends what waited too long."""
        for node in self._standing.admission.overdue(now):
            yield from self.settle(node, "", now)
        for node, token, until in self._looking:
            if now >= until:
                yield Decline(token, "unavailable", f"{self._standing.name(node)} does not answer here either")
        self._looking = [each for each in self._looking if now < each[2]]
        for asked, until in self._joining:
            if now >= until:
                yield Decline(asked.token, "unavailable", "the member record could not be written in time")
        self._joining = [each for each in self._joining if now < each[1]]

    def answered(self, node: str, boot: str, incarnation: int, took_s: float, now: float) -> Iterator[Effect]:
        """A node answered a ping: who asked to look for it hears, and it is known which run of its process lives."""
        if self._standing.admission.answers(node, boot, now - took_s):
            yield from self.settle(node, boot, now)
        for each, token, _until in self._looking:
            if each == node:
                yield Reply(token, {"boot": boot, "inc": str(incarnation)})
        self._looking = [each for each in self._looking if each[0] != node]

    def learnt(self) -> Iterator[Effect]:
        """Records became durable: joiners whose record is among them are let in."""
        waiting = []
        for asked, until in self._joining:
            if self._missing(asked):
                waiting.append((asked, until))
            else:
                yield self._let_in(asked)
        self._joining = waiting

    def _ping(self, event: Asked, now: float) -> Iterator[Effect]:
        standing = self._standing
        member = standing.roll.members.get(event.node)
        if member is not None and member.state == "left" and event.node not in standing.parting:
            # It left, and is back with what it keeps.
            standing.parting.add(event.node)
            yield from standing.connect(now)
        yield from standing.note(event.node, event.boot, read_ping(event.facts), now, direct=False)
        yield Reply(event.token, write_ping(standing.words(now, whole=False)))

    def _probe(self, event: Asked, now: float) -> Iterator[Effect]:
        node = event.words[0] if event.words else ""
        if node not in self._standing.detector.peers:
            yield Decline(event.token, "missing", "there is no such member")
        elif len(self._looking) >= MOST_PROBES:
            yield Decline(event.token, "unavailable", "too many probes are under way")
        else:
            self._looking.append((node, event.token, now + PROBE_TIMEOUT_S))
            yield self._standing.ping(node, now)

    def _exchange(self, event: Asked, now: float) -> Iterator[Effect]:
        roll = self._standing.roll
        news = roll.news(event.records)
        if news:
            yield Merge(news)
        same = roll.hash == event.facts.get("hash")
        if news and not same:
            after = Roll()
            after.learn([*roll.records.values(), *news])
            same = after.hash == event.facts.get("hash")
        yield Reply(event.token, {"hash": roll.hash}, () if same else tuple(roll.records.values()))

    def _bye(self, event: Asked, now: float) -> Iterator[Effect]:
        yield Reply(event.token)
        yield from self._standing.tell(self._standing.detector.stop(event.node, event.boot, now), now)

    def _join(self, event: Asked, now: float) -> Iterator[Effect]:
        try:
            fields = self._missing(event)
        except BadRequest as error:
            yield Decline(event.token, error.wire, str(error))
            return
        if fields:
            self._joining.append((event, now + JOIN_TIMEOUT_S - 1))
            yield Change(member_ref(event.node), fields)
        else:
            yield self._let_in(event)

    def _missing(self, event: Asked) -> dict[str, Value]:
        """The fields that the record of a joiner lacks."""
        fields = member_fields(admission.joiner(event))
        known = self._standing.roll.records.get(member_ref(event.node))
        if known is None:
            return fields
        return {key: fields[key] for key in OWN_FIELDS if known.value(key) != fields[key]}

    def _let_in(self, event: Asked) -> Reply:
        standing = self._standing
        return Reply(event.token, {"cluster": standing.cluster}, tuple(standing.roll.records.values()))
