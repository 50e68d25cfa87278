"""The tag port in Twisted: connections in, sessions out. Layer: front. The only file here that touches a transport."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.front import direct
from tagfs.front.ftp.door import DOOR, Door, Files, Limits
from tagfs.front.ftp.secured import SecuredChannel
from tagfs.front.ftp.session import Channel, Session
from tagfs.front.ftp.tls import TlsContext
from tagfs.front.ftp.verb import Verb
from tagfs.front.ftp.verbs import VERBS
from tagfs.front.tally import Tally
from tagfs.node.interfaces import INode

if TYPE_CHECKING:
    from twisted.internet.tcp import Connection

GRACE_S = 2.0
"""How long sessions may take to end when the node stops; twistd gives all of it five seconds."""
STOPPING = "this node is stopping"
BUFFER_SIZE = 1 << 18
"""Bytes read from a socket at once, and held for it before its producer is paused (measured best for bodies)."""


class PlainChannel:
    """What a session needs of a transport."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.pauseProducing = transport.pauseProducing
        self.resumeProducing = transport.resumeProducing
        self.unregisterProducer = transport.unregisterProducer
        self.loseConnection = transport.loseConnection
        self.abortConnection = transport.abortConnection

    def write(self, data: bytes) -> None:
        """Sends it, at once if possible."""
        direct.write(self._transport, data)


@implementer(IHalfCloseableProtocol, IPushProducer)
class TagFtpProtocol(Protocol):
    """One control connection."""

    factory: TagFtpFactory
    session: Session | None = None
    _host = ""
    _tls: SecuredChannel | None = None

    def connectionMade(self) -> None:
        """Tunes the socket, and greets, or refuses one session too many."""
        transport = self.transport
        assert transport is not None
        peer, local = transport.getPeer(), transport.getHost()
        self._host = getattr(peer, "host", "")
        self._tune()
        channel = PlainChannel(transport)
        session = Session(self.factory.door, channel, self._host, _place(peer), _place(local), self._secured)
        session.secure = ISSLTransport.providedBy(transport)
        transport.registerProducer(self, True)  # type: ignore[attr-defined]
        self.session = session
        why = self.factory.enter(self, self._host)
        if why:
            session.refuse(why)
        else:
            session.connected()

    def _tune(self) -> None:
        transport = self.transport
        if ITCPTransport.providedBy(transport):
            cast("Connection", transport).setTcpNoDelay(True)
        if hasattr(transport, "bufferSize"):
            cast("Connection", transport).bufferSize = BUFFER_SIZE
        get_handle = getattr(transport, "getHandle", None)
        handle = get_handle() if get_handle is not None else None
        if isinstance(handle, socket.socket):
            # Clients send ABOR as urgent data; out of line, its last byte would be lost (RFC 959, page 35).
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def _secured(self, context: TlsContext) -> Channel:
        session = self.session
        assert session is not None
        self._tls = SecuredChannel(
            PlainChannel(self.transport), context.for_control(), session.received, session.input_ended
        )
        return self._tls

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes came."""
        if self._tls is not None:
            self._tls.feed(data)
        elif self.session is not None:
            self.session.received(data)

    def readConnectionLost(self) -> None:
        """Twisted: the client has ended its stream."""
        assert self.session is not None
        self.session.input_ended()

    def writeConnectionLost(self) -> None:
        """Twisted: our side was closed; only ever done as a whole."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        session, self.session = self.session, None
        if session is not None:
            self.factory.leave(self, self._host)
            session.lost()

    def shut_down(self, why: str) -> None:
        """The node stops."""
        if self.session is not None:
            self.session.shut_down(why)

    def cut_off(self, why: str) -> None:
        """The node stops and waits no longer."""
        if self.session is not None:
            self.session.abort(why)

    def pauseProducing(self) -> None:
        """Twisted: the client does not keep up."""
        if self.session is not None:
            self.session.output_full()

    def resumeProducing(self) -> None:
        """Twisted: all that was written is with the kernel."""
        if self.session is not None:
            self.session.output_taken()

    def stopProducing(self) -> None:
        """Twisted: the connection is about to be lost; connectionLost follows."""


def _place(address: object) -> str:
    """An address for people."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        return str(getattr(address, "name", address))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class TagFtpFactory(Factory):
    """The tag protocol, with FTP inside it, on one listener."""

    noisy = False

    def __init__(
        self,
        node: INode,
        clock: IReactorTime,
        *,
        limits: Limits | None = None,
        files: Callable[[Session], Files] | None = None,
        tls: TlsContext | None = None,
        verbs: Mapping[bytes, Verb] = VERBS,
        tally: Tally | None = None,
    ) -> None:
        """Listens to nothing by itself.

        :param node: what all sessions ask.
        :param clock: for time-outs and turns; the reactor, or a ``task.Clock`` in tests.
        :param limits: bounds of sessions.
        :param files: makes the FTP state of a session; without it there is the tag protocol alone.
        :param tls: for ``AUTH TLS``.
        :param verbs: another table of verbs, for tests.
        :param tally: what the other doors count, too.
        """
        self.door = Door(node, clock, verbs, limits or Limits(), files, tls, tally or Tally())
        self._protocols: set[TagFtpProtocol] = set()
        self._hosts: Counter[str] = Counter()
        self._emptied: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> TagFtpProtocol:  # type: ignore[override]
        """Twisted: somebody connects."""
        protocol = TagFtpProtocol()
        protocol.factory = self
        return protocol

    def enter(self, protocol: TagFtpProtocol, host: str) -> str:
        """Counts a session in. Returns why it is refused, or an empty text; :meth:`leave` follows in either case."""
        limits = self.door.limits
        self._protocols.add(protocol)
        self._hosts[host] += 1
        self.door.tally.connections[DOOR] += 1
        if self._emptied is not None:
            return STOPPING
        if len(self._protocols) > limits.sessions:
            return f"there are {limits.sessions} sessions already; try again later"
        if self._hosts[host] > limits.sessions_per_host:
            return f"there are {limits.sessions_per_host} sessions from {host} already; try again later"
        return ""

    def leave(self, protocol: TagFtpProtocol, host: str) -> None:
        """Counts a session out."""
        self._protocols.discard(protocol)
        self.door.tally.connections[DOOR] -= 1
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
        if not self._protocols and self._emptied is not None and not self._emptied.called:
            self._emptied.callback(None)

    async def close(self) -> None:
        """Ends all sessions: what runs comes to its end or is told off, and after :data:`GRACE_S` the rest is cut off."""
        if self._emptied is None:
            self._emptied = Deferred()
        if not self._protocols:
            return
        for protocol in list(self._protocols):
            protocol.shut_down(STOPPING)
        if self._protocols:
            cut_off = self.door.clock.callLater(GRACE_S, self._cut_off)
            await self._emptied
            if cut_off.active():
                cut_off.cancel()

    def _cut_off(self) -> None:
        for protocol in list(self._protocols):
            protocol.cut_off(STOPPING)
