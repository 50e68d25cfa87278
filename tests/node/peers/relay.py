"""Somebody between two nodes: passes on what they say, records it, and changes it if he likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tagfs.node.identity import Identity
from tagfs.node.peers.tls import NodeTls

Change = Callable[[str, bytes], bytes]
"""Gets ``client`` or ``server``, and what that side said; gives what is passed on."""


class Relay:
    """Listens, and dials ``target`` for each connection. With an ``identity`` it ends TLS on either side, as that node."""

    def __init__(self, reactor: Any, target: str, identity: Identity | None, change: Change | None = None) -> None:
        self.said: list[tuple[str, bytes]] = []
        self._reactor = reactor
        self._host, _, port = target.partition(":")
        self._port = int(port)
        self._tls = NodeTls(identity) if identity is not None else None
        self._change = change or (lambda side, data: data)
        self._ends: set[_End] = set()
        factory = _Factory(lambda: _End(self, "client"))
        door = factory if self._tls is None else self._tls.wrap(factory, False, reactor)
        self.listening: IListeningPort = reactor.listenTCP(0, door, interface="127.0.0.1")

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.listening.getHost().port}"  # type: ignore[attr-defined]

    def pass_on(self, side: str, data: bytes) -> bytes:
        """What becomes of what a side said."""
        self.said.append((side, data))
        return self._change(side, data)

    async def close(self) -> None:
        """Ends everything."""
        await self.listening.stopListening()
        for end in list(self._ends):
            end.transport.abortConnection()

    def entered(self, end: _End) -> None:
        """A new end; for one of a client, the server is dialled."""
        self._ends.add(end)
        if end.side == "client":
            other = _End(self, "server")
            end.other, other.other = other, end
            factory = _Factory(lambda: other)
            wrapped = factory if self._tls is None else self._tls.wrap(factory, True, self._reactor)
            TCP4ClientEndpoint(self._reactor, self._host, self._port).connect(wrapped)

    def left(self, end: _End) -> None:
        """An end is gone, and so is the other one."""
        self._ends.discard(end)
        if end.other in self._ends:
            end.other.transport.loseConnection()


class _Factory(Factory):
    noisy = False

    def __init__(self, make: Callable[[], _End]) -> None:
        self._make = make

    def buildProtocol(self, addr: object) -> _End:
        return self._make()


class _End(Protocol):
    other: _End

    def __init__(self, relay: Relay, side: str) -> None:
        self.side = side
        self._relay = relay
        self._early: list[bytes] = []

    def connectionMade(self) -> None:
        for data in self._early:
            self.transport.write(data)
        self._relay.entered(self)

    def dataReceived(self, data: bytes) -> None:
        data = self._relay.pass_on(self.side, data)
        if self.other.transport is None:
            self.other._early.append(data)
        elif data:
            self.other.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._relay.left(self)
