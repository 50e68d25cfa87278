"""ICluster of a node that is not alone: the cluster's driver and replication, as INode wants them. Layer: node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from zope.interface import implementer

from tagfs.cluster.orders import find_member
from tagfs.cluster.view import ClusterSettings, View
from tagfs.errors import BadRequest
from tagfs.model.record import Value
from tagfs.node.alone import ICluster
from tagfs.node.cluster.cluster import Cluster, Start
from tagfs.node.core import Core
from tagfs.node.interfaces import Figure, NodeStatus, Retirement
from tagfs.node.replication.replication import Replication

AUTO = "auto"
STATES = ("alive", "suspect", "dead", "out", "left")
"""What NODES shows of a member."""
_SWITCHES = {"on": True, "off": False}
ENTRIES, BYTES = "n", "b"
"""Facts in pings: how many entries a node knows of, and the sum of their sizes."""


@implementer(ICluster)
class Together:
    """Joins the parts; told of pings and views, it tells them on."""

    def __init__(self, core: Core, start: Start, cluster: Cluster, replication: Replication) -> None:
        self._core = core
        self._start = start
        self._cluster = cluster
        self._replication = replication
        self._told: dict[str, tuple[int, int]] = {}
        core.refusal = lambda: cluster.refusal
        cluster.tell(self._facts)
        cluster.listen(self._hear)
        cluster.watch(replication.see)
        replication.listeners.append(cluster.learn)
        core.reports.append(self.figures)

    @property
    def refusal(self) -> str:
        return self._cluster.refusal

    def nodes(self) -> Sequence[NodeStatus]:
        view = self._cluster.view
        others = sorted(view.states.keys() - {view.me}, key=lambda node: (view.members[node].name, node))
        return [self._status(view, node) for node in (view.me, *others)]

    async def retire(self, node: str, how: Retirement) -> str:
        identifier = find_member(self._cluster.view, node).id
        if how is Retirement.LEAVE:
            await self._cluster.leave(identifier)
        elif how is Retirement.FORGET:
            await self._cluster.forget(identifier)
        else:
            await self._cluster.drain(identifier)
        return identifier

    def settings(self) -> Mapping[str, str]:
        view = self._cluster.view
        return {"cluster": view.cluster or "-", **written(view.settings)}

    async def set_settings(self, changes: Mapping[str, str]) -> Mapping[str, str]:
        await self._cluster.set_settings({name: read_setting(name, text) for name, text in changes.items()})
        return self.settings()

    async def sync(self, seconds: float) -> bool:
        return await self._replication.sync(seconds)

    def figures(self) -> Iterable[Figure]:
        """For INode.figures: how many members are in which state, and how far their clocks are from this node's."""
        view = self._cluster.view
        counts = Counter(view.states.values())
        for state in STATES:
            yield Figure("members", "Members of the cluster as this node sees them.", counts[state], {"state": state})
        for node in sorted(view.states.keys() - {view.me}):
            offset_ms = self._cluster.clock_offset_ms(node)
            what = "By how much a member's clock is ahead of this node's."
            yield Figure("clock_offset_milliseconds", what, offset_ms, {"node": node})
        warnings = self._cluster.clock_warnings
        yield Figure("clock_warnings", "Clocks found more than half a second apart.", warnings, grows=True)

    def _status(self, view: View, node: str) -> NodeStatus:
        figures = self._core.catalog.statistics()
        own = (figures["entries"], figures["bytes"])
        entries, size = own if node == view.me else self._told.get(node, (0, 0))
        member = view.members.get(node)
        if member is None or node not in view.states:  # this node itself, before it is in a cluster
            start = self._start
            return NodeStatus(node, start.name, start.zone, "alive", ",".join(start.addresses), entries, size)
        return NodeStatus(node, member.name, member.zone, view.states[node], ",".join(member.addresses), entries, size)

    def _facts(self) -> Mapping[str, str]:
        figures = self._core.catalog.statistics()
        return {ENTRIES: str(figures["entries"]), BYTES: str(figures["bytes"])}

    def _hear(self, node: str, facts: Mapping[str, str], asked_at: float) -> None:
        if facts.get(ENTRIES, "").isdigit() and facts.get(BYTES, "").isdigit():
            self._told[node] = (int(facts[ENTRIES]), int(facts[BYTES]))


def written(settings: ClusterSettings) -> Mapping[str, str]:
    """The settings as people write them. Inverse, one by one, of :func:`read_setting`."""
    texts = {}
    for name, value in settings._asdict().items():
        if isinstance(value, bool):
            texts[name] = "on" if value else "off"
        else:
            texts[name] = AUTO if name == "write_copies" and not value else str(value)
    return texts


def read_setting(name: str, text: str) -> Value:
    """A setting's value. Raises BadRequest for what cannot be one; whether it is in bounds is seen later."""
    if name == "write_copies" and text == AUTO:
        return 0
    if text in _SWITCHES:
        return _SWITCHES[text]
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise BadRequest(f"{name}: {text[:40]!r} is no value of a setting")
