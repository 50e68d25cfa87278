"""Brings a node into a cluster: connections, membership, replication and beacons, put together. Layer: top, under service."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from random import SystemRandom
from secrets import token_hex
from typing import Any

from attrs import define, field

from tagfs.cluster.view import ClusterSettings, View
from tagfs.doors import Doors
from tagfs.errors import StartError, Unwelcome
from tagfs.first_admin import FirstAdmin
from tagfs.node.accounts import Accounts
from tagfs.node.cluster.cluster import Cluster, Start
from tagfs.node.cluster.records import CoreRecords
from tagfs.node.cluster.state import StateFile
from tagfs.node.cluster.trace import open_trace
from tagfs.node.contents.contents import Contents
from tagfs.node.core import Core
from tagfs.node.datadir import DataDirectory
from tagfs.node.discovery.discovery import Discovery
from tagfs.node.discovery.networks import Network, networks_of
from tagfs.node.housekeeping import Housekeeping
from tagfs.node.machine import machine
from tagfs.node.offload import Offload
from tagfs.node.peers.interfaces import Caller
from tagfs.node.peers.key import read_cluster_key
from tagfs.node.peers.peers import Peers
from tagfs.node.recovery import Recovery
from tagfs.node.replication.replication import Replication
from tagfs.node.together import Together
from tagfs.settings import Settings
from tagfs.wire.beacons import Beacon

MAX_ADDRESSES = 8
TRACE = "TAGFS_CLUSTER_TRACE"
"""Variable of the environment that names a file for a recording of what the membership decided, and why."""


@define(eq=False)
class Neighbourhood:
    """This node's connections to others, and with a cluster's key its part in the cluster.

    Made in two steps: :meth:`listen` opens the node door, :meth:`join` makes what needs its address; then :meth:`start`.
    ``dismissed`` is called once it is known that the cluster forgot this node.
    """

    reactor: Any
    settings: Settings
    directory: DataDirectory
    dismissed: Callable[[], None]
    _boot: str = field(factory=lambda: token_hex(8))
    _key: bytes | None = None
    _peers: Peers = field(init=False)
    _cluster: Cluster | None = None
    _replication: Replication | None = None
    _contents: Contents | None = None
    _discovery: Discovery | None = None
    _first_admin: FirstAdmin | None = None
    _recovery: Recovery | None = None
    _start: Start = field(init=False)
    _listener: tuple[str, int] = ("", 0)

    def listen(self, doors: Doors) -> None:
        """Opens the node door. Raises StartError."""
        settings = self.settings
        self._key = None if settings.cluster_key is None else read_cluster_key(settings.cluster_key)
        self._peers = Peers(
            self.reactor,
            self.directory.identity,
            settings.name,
            self._key,
            boot=self._boot,
            tls=settings.node_tls,
            address=lambda: self._start.addresses[0] if self._cluster else "",
            cluster=lambda: self._cluster.introduced_as if self._cluster else "",
            admit=self._admit,
        )
        doors.open_node(self._peers.door, self._peers.close)
        address = doors.addresses.get("node", "")
        if self._key is not None:
            self._listener = self._split(address)

    def join(
        self, core: Core, accounts: Accounts, password: str | None, offload: Any, streams: Offload
    ) -> Together | None:
        """What the node needs to be in the cluster; None for a node that is alone. ``password`` is for the first admin, ``streams``
        has the threads that move large contents."""
        if self._key is None:
            return None
        settings = self.settings
        self._start = Start(
            settings.name,
            self._addresses(),
            self._boot,
            zone=settings.zone,
            host=machine(),
            settings=ClusterSettings(
                settings.copies,
                settings.write_copies or 0,
                settings.out_after,
                settings.trash_days,
                settings.node_tls,
            ),
            seeds=tuple(map(str, settings.join)),
            merge=settings.merge,
        )
        cluster = self._cluster = Cluster(
            self._peers,
            self.reactor,
            CoreRecords(core),
            StateFile(self.directory.path, offload, self.directory.formers),
            self._start,
            entries=lambda: core.catalog.statistics()["entries"] + core.catalog.statistics()["trash"] > 0,
            now_ms=core.now_ms,
            trace=open_trace(os.environ.get(TRACE, "")),
        )
        replication = self._replication = Replication(core, self._peers, self.reactor)
        core.replication = replication
        core.contents = self._contents = Contents(core, self._peers, self.reactor, self._boot, threads=streams)
        cluster.watch(self._contents.see)
        cluster.on_dismissal(self.dismissed)
        self._recovery = Recovery(
            core, self.reactor, self.directory.formers, lambda: not cluster.refusal and replication.complete
        )
        if settings.discovery:
            self._discovery = Discovery(
                self.reactor,
                self._peers.id,
                self._key,
                self._listener[0],
                settings.beacon_port,
                self._beacon,
                lambda beacon: cluster.heard(beacon.address, beacon.node, beacon.cluster, beacon.founding),
                SystemRandom(),
            )
        if password is not None:
            self._first_admin = FirstAdmin(
                self.reactor,
                accounts,
                password,
                ready=lambda: not cluster.refusal and replication.complete,
                founded=lambda: not cluster.view.peers(),
            )
        return Together(core, self._start, cluster, replication)

    def keep_house(self, housekeeping: Housekeeping) -> None:
        """Chores follow the settings of the cluster."""

        def follow(view: View) -> None:
            if view.cluster:
                housekeeping.trash_days = view.settings.trash_days

        if self._cluster is not None:
            self._cluster.watch(follow)

    def start(self) -> None:
        """Begins to look for others. Raises what the catalog raises."""
        if self._cluster is not None:
            self._cluster.start()
        for part in (self._contents, self._discovery, self._first_admin, self._recovery):
            if part is not None:
                part.start()

    def closers(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What stops it, in the order in which it is to be called."""
        parts = (self._recovery, self._first_admin, self._discovery, self._cluster, self._contents)
        return [*(part.stop for part in parts if part is not None), self._stop_replication]

    async def _stop_replication(self) -> None:
        if self._replication is not None:
            self._replication.stop()

    def _admit(self, caller: Caller) -> Unwelcome | None:
        return None if self._cluster is None else self._cluster.unwelcome(caller)

    def _beacon(self, network: Network) -> Beacon | None:
        assert self._cluster is not None
        advertised = self.settings.advertise
        return Beacon(
            self._peers.id,
            self._boot,
            self._cluster.view.cluster,
            str(advertised) if advertised else f"{network.address}:{self._listener[1]}",
            int(self.reactor.seconds() * 1000),
            self._cluster.is_founding,
        )

    def _addresses(self) -> tuple[str, ...]:
        """Where others reach this node."""
        advertised = self.settings.advertise
        if advertised is not None:
            return (str(advertised),)
        host, port = self._listener
        if ":" in host and not ip_address(host).is_unspecified:
            return (f"[{host}]:{port}",)
        found = [network.address for network in networks_of(host)] or [host]
        return tuple(f"{address}:{port}" for address in found[:MAX_ADDRESSES])

    def _split(self, address: str) -> tuple[str, int]:
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit():
            raise StartError(
                f"--node {self.settings.node}: other nodes need an address of TCP; say by --advertise HOST:PORT where they reach "
                "this node"
            )
        return host.strip("[]"), int(port)
