"""Membership: who belongs to the cluster, who is alive, who is in the layout. ``step(event, now)`` gives effects. Layer: cluster.

The state is in :mod:`standing`; what others ask is answered in :mod:`requests`; :mod:`detection`, :mod:`outs`, :mod:`founding`,
:mod:`admission` and :mod:`clocks` decide one thing each.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tagfs.cluster import admission
from tagfs.cluster.detection import ALIVE, DEAD
from tagfs.cluster.effects import (
    Answered,
    Ask,
    Asked,
    Change,
    Dismissed,
    Effect,
    Event,
    Failed,
    Hear,
    Heard,
    Learnt,
    Meet,
    Merge,
    Met,
    Missed,
    Say,
    Tick,
)
from tagfs.cluster.members import SETTINGS, member_fields, member_ref, settings_fields, settings_of
from tagfs.cluster.pings import read_ping
from tagfs.cluster.requests import JOIN_TIMEOUT_S, OWN_FIELDS, PROBE_TIMEOUT_S, Requests
from tagfs.cluster.standing import BYE, EXCHANGE, JOIN, PING, PROBE, Self, Standing
from tagfs.cluster.view import ClusterSettings, Member, View
from tagfs.errors import Conflict, Forbidden, Forgotten, Unwelcome
from tagfs.model.record import Record

AGAIN_S = 5.0
"""Seconds after which a change that did not come back is written again."""
REFUSED_PAUSE_S = 10.0
"""Seconds for which a node that the others refuse leaves them alone."""
AT_ONCE_S = 1.0
"""A ping that fails within this many seconds had no connection, rather than no answer."""


_REFUSED = frozenset({Forbidden.wire, Conflict.wire, Unwelcome.wire, Forgotten.wire})
"""What a ping fails with where the other node does not take this one for a member."""


class Membership:
    """The decisions of one node about its cluster."""

    def __init__(self, own: Self, random: Random) -> None:
        self.standing = Standing(own, random)
        self._requests = Requests(self.standing)
        self._adopt: ClusterSettings | None = None
        self._compared = False  # the settings of the cluster with those of this node

    @property
    def version(self) -> int:
        """Counts changes of what :meth:`view` gives."""
        return self.standing.version

    def view(self) -> View:
        """The cluster as this node sees it now."""
        standing, roll = self.standing, self.standing.roll
        states = {node: self._state(member) for node, member in roll.members.items() if member.state != "forgotten"}
        own = roll.members.get(standing.me)
        # Who left asks nobody for anything any more, and goes on answering.
        others = standing.askable if own is None or own.present else ()
        alive = frozenset([standing.me, *others])
        return View(standing.me, standing.cluster, dict(roll.members), states, alive, roll.layout, roll.settings)

    def _state(self, member: Member) -> str:
        if member.state == "left" or member.out:
            return "left" if member.state == "left" else "out"
        peer = self.standing.detector.peers.get(member.id)
        return ALIVE if member.id == self.standing.me else DEAD if peer is None else peer.state

    def objection_to(self, node: str, boot: str, now: float) -> Unwelcome | None:
        """Why a member may not connect; None where it may."""
        if self.standing.roll.members[node].state == "forgotten":
            return Forgotten(admission.GONE["forgotten"])
        return Unwelcome(admission.TWICE) if self.standing.admission.is_refused(node, boot, now) else None

    def stop(self) -> list[Ask]:
        """What to say at a clean stop."""
        return [Ask(node, BYE, facts=self.standing.greeting(), timeout_s=1.0) for node in self.standing.askable]

    def step(self, event: Event, now: float) -> list[Effect]:
        """What follows from an event. ``now``: seconds of a clock that never goes back."""
        standing = self.standing
        effects: list[Effect] = []
        missed = standing.detector.doubt(now)
        if missed >= AT_ONCE_S:
            effects.append(Say("warn", f"this node stood still for {missed:.1f} s; it gives all others that time"))
        effects += self._follow(event, now)
        askable = standing.detector.askable(now)
        if askable is not standing.askable:
            standing.version += askable != standing.askable
            standing.askable = askable
        return effects

    def _follow(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Tick():
                return self._tick(event, now)
            case Asked():
                self.standing.wall_ms, self.standing.other = event.wall_ms, dict(event.own)
                return self._requests.asked(event, now)
            case Answered():
                self.standing.wall_ms = event.wall_ms
                return self._answered(event, now)
            case Failed():
                return self._failed(event, now)
            case Learnt():
                return self._learnt(event, now)
            case Heard():
                return self._heard(event, now)
            case Met():
                return self._met(event, now)
            case Missed():
                return iter(() if self.standing.cluster else self.standing.entrance.fail(event.why, now))

    # --- time passes ----------------------------------------------------------------------------------------------

    def _tick(self, event: Tick, now: float) -> Iterator[Effect]:
        standing = self.standing
        standing.wall_ms, standing.entries, standing.other = event.wall_ms, event.entries, dict(event.facts)
        if not standing.cluster:
            yield from self._enter(now)
            return
        for turn in standing.detector.tick(now):
            yield from standing.tell(turn, now)
        yield from self._requests.tick(now)
        own = standing.roll.members.get(standing.me)
        if now < standing.refused_until or (own is not None and own.state == "forgotten"):
            return
        if own is None or own.present:
            yield from self._write_self(now)
        for node in standing.detector.to_ping(now):
            yield standing.ping(node, now)
        for other, node in standing.detector.to_probe(now):
            yield Ask(other, PROBE, (node,), standing.greeting(), timeout_s=PROBE_TIMEOUT_S + 0.5)
        for node, out in standing.outs.decide(standing.roll, standing.detector.peers, now):
            yield from self._write_out(node, out, now)
        if not standing.askable and (len(standing.roll.present()) > 1 or (standing.own.seeds and standing.is_alone())):
            yield from standing.entrance.attempt(now)
        self._judge_clock()

    def _enter(self, now: float) -> Iterator[Effect]:
        standing = self.standing
        if not standing.entrance.founds(now):
            yield from standing.entrance.attempt(now)
            return
        standing.cluster = f"{standing.random.getrandbits(64):016x}"
        standing.version += 1
        yield standing.persist()
        yield Say("info", f"this node founds the cluster {standing.cluster}")
        yield Change(SETTINGS, settings_fields(standing.own.settings))
        yield Change(member_ref(standing.me), member_fields(standing.own.member))

    def _write_self(self, now: float) -> Iterator[Effect]:
        """Brings this node's own record up to date, where it moved or was renamed; and what a founder did not get to write."""
        standing = self.standing
        known = standing.roll.records.get(member_ref(standing.me))
        changed = member_fields(standing.own.member)
        if known is not None:
            changed = {key: changed[key] for key in OWN_FIELDS if known.value(key) != changed[key]}
        elif standing.roll.members or not standing.entrance.may_found:
            return  # the record of a node that joined comes from the one that let it in, and so do the settings
        if changed and standing.may("write self", AGAIN_S, now):
            yield Change(member_ref(standing.me), changed)
            if SETTINGS not in standing.roll.records:
                yield Change(SETTINGS, settings_fields(standing.own.settings))

    def _write_out(self, node: str, out: bool, now: float) -> Iterator[Effect]:
        standing = self.standing
        if standing.may(("out", node, out), AGAIN_S, now):
            yield Change(member_ref(node), {"out": out})

    def _judge_clock(self) -> None:
        standing = self.standing
        refusal = standing.clocks.refusal(standing.askable)
        standing.version += bool(refusal) != bool(standing.clock_refusal)
        standing.clock_refusal = refusal

    # --- answers --------------------------------------------------------------------------------------------------

    def _answered(self, event: Answered, now: float) -> Iterator[Effect]:
        standing = self.standing
        ping = read_ping(event.facts)
        if event.verb == PING:
            warning = standing.clocks.sample(event.node, ping.clock_ms, event.wall_ms, event.took_s)
            if warning:
                yield Say("warn", f"the clock of {standing.name(event.node)} {warning}")
            if standing.refused:
                standing.refused = ""
                standing.version += 1
            yield from standing.note(event.node, ping.boot, ping, now, direct=True)
            yield from self._requests.answered(event.node, ping.boot, ping.incarnation, event.took_s, now)
            if ping.other:
                yield Hear(event.node, ping.other, event.asked_at)
        elif event.verb == PROBE:
            yield from standing.tell(
                standing.detector.sign(event.words[0], ping.boot, ping.incarnation, now, direct=False), now
            )
        elif event.verb == EXCHANGE:
            yield from self._exchanged(event)
        elif event.verb == JOIN:
            yield from self._joined(event, now)

    def _exchanged(self, event: Answered) -> Iterator[Effect]:
        """The answer has all that the other has, or nothing where both have the same."""
        roll = self.standing.roll
        if not event.records:
            return
        news, lacking = roll.news(event.records), roll.lacking(event.records)
        if news:
            yield Merge(news)
        if lacking:
            yield self.standing.exchange(event.node, lacking)

    def _joined(self, event: Answered, now: float) -> Iterator[Effect]:
        standing = self.standing
        cluster = event.facts.get("cluster", "")
        if not cluster or (standing.cluster and not standing.is_alone()):
            return
        if SETTINGS in standing.roll.records:
            # Those of a cluster that this node founded for itself do not count here, however late it wrote them.
            theirs = next((record for record in event.records if record.ref == SETTINGS), None)
            self._adopt = settings_of(theirs)
        standing.cluster = cluster
        standing.version += 1
        standing.entrance.may_found = False
        standing.entrance.why = "its records are on their way"
        yield standing.persist()
        yield Say("info", f"this node joined the cluster {cluster} by way of {event.node[:8]}")
        yield Merge(event.records)

    def _failed(self, event: Failed, now: float) -> Iterator[Effect]:
        standing = self.standing
        if event.code == Forgotten.wire:
            yield from self._dismiss()
        if event.verb == JOIN:
            if not standing.cluster:
                stubborn = event.code not in ("unavailable", "internal")
                yield from standing.entrance.fail(event.text, now, stubborn)
        elif event.verb == PING:
            if event.code in _REFUSED:
                yield from self._refuse(event, now)
            elif event.code == "missing":
                yield standing.exchange(event.node, standing.roll.records.values())
            elif event.took_s < AT_ONCE_S:
                yield from self._requests.settle(event.node, "", now)

    def _refuse(self, event: Failed, now: float) -> Iterator[Effect]:
        """A member says that this node must not take part."""
        standing = self.standing
        if standing.refused != event.text:
            yield Say("error", f"{standing.name(event.node)} refuses this node: {event.text}")
            standing.refused = event.text
            standing.version += 1
        standing.refused_until = now + REFUSED_PAUSE_S

    def _dismiss(self) -> Iterator[Effect]:
        if not self.standing.dismissed:
            self.standing.dismissed = True
            yield Dismissed()

    # --- meetings -------------------------------------------------------------------------------------------------

    def _heard(self, event: Heard, now: float) -> Iterator[Effect]:
        standing = self.standing
        if event.node == standing.me:
            return
        if not standing.cluster:
            standing.entrance.hear(event, now)
        elif event.cluster == standing.cluster:
            if event.node not in standing.askable and standing.may(("meet", event.address), AGAIN_S, now):
                yield Meet(event.address)
        elif event.cluster:
            yield from self._meet_other_cluster(event.cluster, event.address, now)

    def _meet_other_cluster(self, cluster: str, address: str, now: float) -> Iterator[Effect]:
        standing = self.standing
        if standing.may_join_others():
            if standing.may(("meet", address), AGAIN_S, now):
                yield Meet(address)
        elif standing.may(("other", cluster), 600, now):
            if standing.is_alone():
                way = "this node is alone in its own and has entries: start it with --merge to bring them into that one"
            else:
                way = (
                    "start the nodes of one of them with --join and --merge and a data directory that knows no cluster"
                )
            yield Say(
                "error",
                f"there is another cluster of the same key ({cluster}, at {address}); they are never merged by themselves: "
                f"{way}",
            )

    def _met(self, event: Met, now: float) -> Iterator[Effect]:
        standing = self.standing
        if event.node == standing.me:
            yield from standing.entrance.fail(f"{event.address} is this node itself", now)
        elif not standing.cluster or (event.cluster != standing.cluster and standing.may_join_others()):
            # A founder that is alone does not say its cluster when it introduces itself, so as to be able to join others.
            own = standing.own
            facts = admission.join_facts(
                own.member, standing.entries, own.merge, standing.cluster, told=bool(own.seeds)
            )
            yield Ask(event.node, JOIN, facts=facts, timeout_s=JOIN_TIMEOUT_S)
        elif event.cluster == standing.cluster:
            yield standing.ping(event.node, now)
        elif event.cluster or standing.is_alone():
            # A founder that is alone does not say its cluster, either.
            yield from self._meet_other_cluster(event.cluster or "of one node", event.address, now)

    # --- records --------------------------------------------------------------------------------------------------

    def _learnt(self, event: Learnt, now: float) -> Iterator[Effect]:
        standing, roll = self.standing, self.standing.roll
        before, settings = dict(roll.members), roll.settings
        changed = [record for record in event.records if roll.news([record])]
        if roll.learn(changed):
            standing.version += 1
            if self._adopt is not None and SETTINGS in roll.records:
                wanted, self._adopt = self._adopt, None
                if roll.settings != wanted:
                    yield Change(SETTINGS, settings_fields(wanted))
        if standing.cluster:
            yield from self._tell_members(before, settings)
            yield from self._push(changed)
            for node, old in before.items():
                peer = standing.detector.peers.get(node)
                if old.present and roll.members[node].state == "left" and peer is not None and peer.state != DEAD:
                    standing.parting.add(node)
            yield from standing.connect(now)
        own = roll.members.get(standing.me)
        if own is not None and own.state == "forgotten":
            yield from self._dismiss()
        yield from self._requests.learnt()

    def _push(self, changed: list[Record]) -> Iterator[Effect]:
        """What this node wrote, all hear at once; what others wrote, they tell themselves."""
        mine = [record for record in changed if record.greatest().node == self.standing.me]
        if mine:
            for node in self.standing.askable:
                yield self.standing.exchange(node, mine)

    def _tell_members(self, before: dict[str, Member], settings: ClusterSettings) -> Iterator[Effect]:
        standing = self.standing
        for node, member in standing.roll.members.items():
            old = before.get(node)
            if old == member:
                continue
            name = "this node" if node == standing.me else standing.name(node)
            if old is None and member.present:
                yield Say("info", f"{name} belongs to the cluster, at {', '.join(member.addresses)}")
            elif old is not None and old.state != member.state:
                words = {"joined": "takes part again", "draining": "is being drained", "left": "left the cluster"}
                yield Say("warn", f"{name} {words.get(member.state, 'was forgotten')}")
            elif old is not None and old.out != member.out:
                what = "is out: contents are placed on the others" if member.out else "is back in the layout"
                yield Say("warn", f"{name} {what}")
            elif old is not None and old.addresses != member.addresses:
                yield Say("info", f"{name} is at {', '.join(member.addresses)} now")
        if standing.roll.settings != settings:
            now = ", ".join(f"{key}={value}" for key, value in standing.roll.settings._asdict().items())
            yield Say("info", f"settings of the cluster: {now}")
        if SETTINGS in standing.roll.records and (standing.roll.settings != settings or not self._compared):
            self._compared = True
            yield from self._tell_ignored()

    def _tell_ignored(self) -> Iterator[Effect]:
        """An operator who set something else for this node is told that it does not count."""
        now, usual = self.standing.roll.settings, ClusterSettings()
        given = self.standing.own.settings._asdict().items()
        ignored = [f"{key}={value}" for key, value in given if value not in (getattr(now, key), getattr(usual, key))]
        if ignored:
            yield Say("warn", f"ignored, since the cluster's settings hold for all its nodes: {', '.join(ignored)}")
