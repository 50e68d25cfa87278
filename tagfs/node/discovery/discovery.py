"""Says beacons, hears those of others, and passes on what is new and made with the cluster's key. Layer: node."""

from __future__ import annotations

import socket
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from tagfs.node.discovery.networks import Network, networks_of
from tagfs.node.discovery.sockets import GROUP, hearing, join_group, say
from tagfs.wire.beacons import LIMIT, Beacon, beacon_key, decode_beacon, encode_beacon

FIRST_S, FIRST_BEACONS = 0.5, 8
"""Seconds between the first beacons after a start, when somebody may be waiting for them, and how many those are."""
LATER_S = 3.0
"""Seconds between beacons later on."""
CHECKS_PER_S = 200
"""Most datagrams per second whose authenticity is looked at; a flood beyond that is dropped unread."""
REMEMBERED = 1024
"""Most nodes of which the last beacon's number is remembered."""


class _Ear(DatagramProtocol):
    """One hearing socket; all of a node's give what they hear to the same place."""

    noisy = False

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Twisted: a datagram."""
        self._take(datagram)


class Discovery:
    """Beacons of one node; on the reactor's thread only.

    ``host`` is the address that the node door listens on, ``port`` the beacon port. ``own`` gives what to say on a network
    now (None: nothing); ``heard`` gets each beacon that a node other than ``node`` made with the same ``cluster_key``, once.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        node: str,
        cluster_key: bytes,
        host: str,
        port: int,
        own: Callable[[Network], Beacon | None],
        heard: Callable[[Beacon], None],
        random: Random,
    ) -> None:
        self._reactor = reactor
        self._node = node
        self._key = beacon_key(cluster_key)
        self._host = host
        self._port = port
        self._own = own
        self._heard = heard
        self._random = random
        self._ports: dict[str, Any] = {}
        self._group: socket.socket | None = None
        self._joined: set[Network] = set()
        self._complained: set[str] = set()
        self._numbers: dict[str, tuple[str, int]] = {}
        self._said = 0
        self._call: IDelayedCall | None = None
        self._checks = float(CHECKS_PER_S)
        self._checked_s = 0.0

    def start(self) -> None:
        """Begins to hear, and says the first beacon at once."""
        self._turn()

    async def stop(self) -> None:
        """Says and hears nothing more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._group is not None:
            self._group.close()
            self._group = None
        ports, self._ports = self._ports, {}
        for port in ports.values():
            await maybeDeferred(port.stopListening)

    def hear(self, datagram: bytes) -> None:
        """Takes a datagram. What is forged, replayed or too much is dropped without a word."""
        if len(datagram) > LIMIT or not self._may_check():
            return
        beacon = decode_beacon(datagram, self._key)
        if beacon is None or beacon.node == self._node:
            return
        boot, number = self._numbers.get(beacon.node, ("", -1))
        if boot == beacon.boot and beacon.number <= number:
            return
        if len(self._numbers) >= REMEMBERED and beacon.node not in self._numbers:
            self._numbers.pop(next(iter(self._numbers)))
        self._numbers[beacon.node] = (beacon.boot, beacon.number)
        self._heard(beacon)

    def _may_check(self) -> bool:
        now_s = self._reactor.seconds()
        self._checks = min(CHECKS_PER_S, self._checks + (now_s - self._checked_s) * CHECKS_PER_S)
        self._checked_s = now_s
        if self._checks < 1:
            return False
        self._checks -= 1
        return True

    def _turn(self) -> None:
        networks = networks_of(self._host)  # asked each time: cables are plugged in, containers join networks
        for network in networks:
            self._hear_on(network)
            self._say_on(network)
        self._said += 1
        pause_s = FIRST_S if self._said < FIRST_BEACONS else LATER_S
        self._call = self._reactor.callLater(pause_s * self._random.uniform(0.8, 1.2), self._turn)

    def _hear_on(self, network: Network) -> None:
        if network in self._joined:
            return
        try:
            if self._group is None:
                self._group = hearing(GROUP, self._port)
                self._adopt(GROUP, self._group)
            join_group(self._group, network)
        except OSError as error:
            self._complain(f"hear multicast on {network.address}", error)
        try:
            if network.broadcast not in self._ports:
                with hearing(network.broadcast, self._port) as hearer:
                    self._adopt(network.broadcast, hearer)
        except OSError as error:
            self._complain(f"hear broadcast on {network.address}", error)
        self._joined.add(network)

    def _adopt(self, address: str, hearer: socket.socket) -> None:
        self._ports[address] = self._reactor.adoptDatagramPort(hearer.fileno(), socket.AF_INET, _Ear(self.hear))

    def _say_on(self, network: Network) -> None:
        beacon = self._own(network)
        if beacon is None:
            return
        try:
            say(network, self._port, encode_beacon(beacon, self._key))
        except OSError as error:
            self._complain(f"send beacons on {network.address}", error)

    def _complain(self, what: str, error: OSError) -> None:
        if what not in self._complained:
            self._complained.add(what)
            self.log.warn(
                "cannot {what}: {error}; nodes there are found by --join and by one another only",
                what=what,
                error=error.strerror or error,
            )
