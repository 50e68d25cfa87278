"""ICluster: what a node asks of the cluster it is in; and the answers of a node that is in none. Layer: node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen
from zope.interface import Attribute, Interface, implementer

from tagfs.errors import NotSupported
from tagfs.node.core import Core
from tagfs.node.interfaces import NodeStatus, Retirement

_ALONE = "this node is alone: it was started without --cluster-key"


class ICluster(Interface):
    """The cluster behind one node's :class:`~tagfs.node.interfaces.INode`; rights were checked above."""

    refusal = Attribute("str: empty, or why nothing may be written here now.")

    def nodes() -> Sequence[NodeStatus]:
        """Rows of NODES, this node first."""

    async def retire(node: str, how: Retirement) -> str:
        """As :meth:`INode.retire`."""

    def settings() -> Mapping[str, str]:
        """As :meth:`INode.cluster_settings`."""

    async def set_settings(changes: Mapping[str, str]) -> Mapping[str, str]:
        """As :meth:`INode.set_cluster_settings`."""

    async def sync(seconds: float) -> bool:
        """As :meth:`INode.sync`."""


@implementer(ICluster)
@frozen
class Alone:
    """A node without a cluster: it has everything, and there is nobody to ask. ``address`` is where it would be reached."""

    core: Core
    name: str
    zone: str
    address: str
    refusal = ""

    def nodes(self) -> Sequence[NodeStatus]:
        figures = self.core.catalog.statistics()
        return [
            NodeStatus(
                self.core.node_id, self.name, self.zone, "alive", self.address, figures["entries"], figures["bytes"]
            )
        ]

    async def retire(self, node: str, how: Retirement) -> str:
        raise NotSupported(_ALONE)

    def settings(self) -> Mapping[str, str]:
        raise NotSupported(_ALONE)

    async def set_settings(self, changes: Mapping[str, str]) -> Mapping[str, str]:
        raise NotSupported(_ALONE)

    async def sync(self, seconds: float) -> bool:
        return True
