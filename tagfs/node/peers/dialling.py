"""Dialling: from ``host:port`` to a connection on which both ends are proved. Layer: node."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from tagfs.errors import TagfsError, Unavailable
from tagfs.node.peers import limits
from tagfs.node.peers.asking import Outbound
from tagfs.node.peers.tls import NodeTls
from tagfs.node.peers.trust import Own
from tagfs.settings.values import address as parse_address


async def dial(reactor: Any, own: Own, tls: NodeTls | None, address: str, wanted: str, timeout_s: float) -> Outbound:
    """A proved connection to whoever is at ``address``, or to ``wanted`` and nobody else. Raises Unavailable or Forbidden."""
    try:
        endpoint = _endpoint(reactor, address, min(timeout_s, limits.DIAL_S))
    except ValueError as error:
        raise Unavailable(f"{address} is no address: {error}") from None
    line = Outbound(own, address, wanted, reactor)
    factory: IProtocolFactory = _Once(line)
    if tls is not None:
        factory = tls.wrap(factory, True, reactor)
    begun_s = reactor.seconds()
    try:
        await endpoint.connect(factory)
    except ConnectingCancelledError:
        raise CancelledError from None
    except (ConnectError, DNSLookupError, OSError, ValueError) as error:
        raise Unavailable(f"{address}: {_in_words(error)}") from error
    left_s = max(0.1, min(timeout_s - (reactor.seconds() - begun_s), limits.GREET_S))
    try:
        await line.ready.addTimeout(left_s, reactor)
    except TimeoutError:
        line.give_up(Unavailable("given up"))
        raise Unavailable(f"{address}: it does not prove itself in time") from None
    except CancelledError:
        line.give_up(Unavailable("given up"))
        raise
    except TagfsError as error:
        raise type(error)(f"{address}: {error}") from None
    return line


def _in_words(error: Exception) -> str:
    """Why no connection came up; Twisted says it twice."""
    number = getattr(error, "osError", None)
    if isinstance(number, int):
        return os.strerror(number)
    return "no answer" if isinstance(error, ConnectTimeout) else str(error)


class _Once(Factory):
    """Makes the one protocol that was made already."""

    noisy = False

    def __init__(self, protocol: Outbound) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Outbound:
        """Twisted: the connection is there."""
        return self._protocol


def _endpoint(reactor: Any, address: str, timeout_s: float) -> IStreamClientEndpoint:
    host, port = parse_address(address)
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout_s)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout_s)
    return HostnameEndpoint(reactor, host, port, timeout_s)
