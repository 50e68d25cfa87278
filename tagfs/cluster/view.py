"""The cluster as one node sees it at one moment: who is there, who is alive, who holds what. Layer: cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tagfs.cluster.placement import Layout


class ClusterSettings(NamedTuple):
    """What holds for the whole cluster: the replicated record ``settings``/``cluster``.

    ``copies`` 1 to 16; ``write_copies`` 0 for auto, else 1 to ``copies``; ``out_after`` in seconds; ``trash_days`` in days;
    ``node_tls`` whether nodes speak TLS with each other.
    """

    copies: int = 3
    write_copies: int = 0
    out_after: int = 600
    trash_days: int = 30
    node_tls: bool = True


class Member(NamedTuple):
    """One node that belongs to the cluster, by its member record. ``host`` tells machines apart; ``capacity`` weighs it.

    ``state`` is ``joined``, ``draining``, ``left`` or ``forgotten``; ``out`` means that the others took it out of the layout
    while it was dead.
    """

    id: str
    name: str
    addresses: tuple[str, ...]
    zone: str = ""
    host: str = ""
    capacity: int = 1
    state: str = "joined"
    out: bool = False

    @property
    def in_layout(self) -> bool:
        """Whether contents are placed on it."""
        return self.state == "joined" and not self.out

    @property
    def present(self) -> bool:
        """Whether it still belongs to the cluster: its news count, its confirmations are waited for."""
        return self.state in ("joined", "draining")


class View(NamedTuple):
    """A snapshot. ``cluster`` is the cluster's id, empty until this node founded or joined one.

    ``members`` holds all that there ever were, ``states`` what NODES shows of each (alive, suspect, dead, out, left; nothing
    of those that were forgotten), and ``alive`` those that can be asked now, this node included: not who is known to live
    by the word of others only. ``layout`` places contents.
    """

    me: str
    cluster: str
    members: Mapping[str, Member]
    states: Mapping[str, str]
    alive: frozenset[str]
    layout: Layout
    settings: ClusterSettings = ClusterSettings()

    def peers(self) -> list[str]:
        """The other nodes that belong to the cluster, in order."""
        return sorted(id for id, member in self.members.items() if member.present and id != self.me)
