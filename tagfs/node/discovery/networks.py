"""Which IPv4 networks a listener is on, as the system knows them at the moment. Layer: node."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface, ip_address
from typing import NamedTuple

import ifaddr

MAX_NETWORKS = 16
"""Most networks that beacons go to: a machine with more has them for containers, mostly."""
_EVERYWHERE = ("", "0.0.0.0", "::")


class Network(NamedTuple):
    """This machine's ``address`` on a network, and the network's ``broadcast`` address."""

    address: str
    broadcast: str


def networks_of(host: str) -> Sequence[Network]:
    """The networks on which somebody who connects to a listener on ``host`` (an address; ``0.0.0.0`` or ``::`` for all) may be.

    A listener on all addresses is found on all networks but loopback, or on loopback where there is nothing else.
    """
    there = [
        Network(str(ip.ip), str(IPv4Interface(f"{ip.ip}/{ip.network_prefix}").network.broadcast_address))
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if ip.is_IPv4
    ]
    if host not in _EVERYWHERE:
        return [network for network in there if network.address == host]
    beyond = [network for network in there if not ip_address(network.address).is_loopback]
    return (beyond or there)[:MAX_NETWORKS]
