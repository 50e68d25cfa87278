"""The sockets of beacons: bound to the group and to broadcast addresses, so that nothing sent to this machine itself gets in.

Layer: node. IPv4; the group is from the range for one's own organisation (RFC 2365 section 6.2) and is never routed (TTL 1).
"""

from __future__ import annotations

import socket
from contextlib import suppress

from tagfs.node.discovery.networks import Network

GROUP = "239.255.47.47"
_IP_MULTICAST_ALL = 49
"""Linux' number of the option by which a socket hears only the groups that it joined itself (ip(7)); Python has no name for it."""
_RECEIVE_BUFFER = 1 << 16


def hearing(address: str, port: int) -> socket.socket:
    """A socket that hears what is sent to ``address`` (the group, or a broadcast address), beside others of this host.

    Raises OSError.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if address == GROUP:
            with suppress(OSError):  # systems that do not know it need not be told
                made.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


def join_group(hearer: socket.socket, network: Network) -> None:
    """Lets a socket of the group hear it on a network, too. Raises OSError."""
    membership = socket.inet_aton(GROUP) + socket.inet_aton(network.address)
    hearer.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)


def say(network: Network, port: int, datagram: bytes) -> None:
    """Sends a datagram to the group and to everybody on a network. Raises OSError where neither way is open."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.bind((network.address, 0))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(network.address))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        closed = []
        for target in (GROUP, network.broadcast):
            try:
                made.sendto(datagram, (target, port))
            except OSError as error:
                closed.append(error)
        if len(closed) == 2:
            raise closed[0]
