"""How one session gets its next data connection: passive or active, and only with the control connection's peer. Layer: front.

Sources: RFC 959 section 3.2, RFC 2428, RFC 2577 section 3 (the bounce attack).
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory

from tagfs.errors import TagfsError
from tagfs.front.ftp.data_connection import DataConnection
from tagfs.front.ftp.data_lines import Address, Target
from tagfs.front.ftp.data_ports import Lease, NoDataConnection, PassivePorts

LEASE_S = 60.0
"""How long a passive port waits for its call."""
CALL_S = 15.0
"""How long a transfer waits for the data connection, either way."""
LOWEST_PORT = 1024
"""PORT and EPRT to ports below are refused: nothing that listens there is an FTP client."""


class RefusedTarget(TagfsError):
    """PORT or EPRT named another host than the client's, or a privileged port."""

    ftp = 504


class DataSetup:
    """The data connections of one session, one at a time."""

    def __init__(self, reactor: Any, ports: PassivePorts, local: Address, peer: Address) -> None:
        self._reactor = reactor
        self._ports = ports
        self.local = local
        self.peer = peer
        self._target: Target | None = None
        self._lease: Lease | None = None
        self._patience: IDelayedCall | None = None
        self._ready: DataConnection | None = None
        self._waiting: Deferred[DataConnection] | None = None

    @property
    def is_set(self) -> bool:
        """Whether a data connection was asked for since the last transfer."""
        return not (self._target is None and self._lease is None and self._ready is None)

    async def listen(self) -> tuple[Address, int]:
        """Waits for the client at the address and port returned. Raises :class:`NoDataConnection`."""
        self.clear()
        lease = await self._ports.lease(self.local, self.peer, self._called)
        self.clear()
        self._lease = lease
        self._patience = self._reactor.callLater(LEASE_S, self.clear)
        shown = self.local
        if self._ports.masquerade is not None and not self.peer.is_loopback:
            shown = self._ports.masquerade
        return shown, lease.port

    def call(self, target: Target) -> None:
        """Calls the client at ``target`` when a transfer begins. Raises :class:`RefusedTarget`."""
        if target.host != self.peer:
            raise RefusedTarget(f"{target.host} is not where this session comes from ({self.peer})")
        if target.port < LOWEST_PORT:
            raise RefusedTarget(f"port {target.port} is below {LOWEST_PORT}; data connections go to other ports")
        self.clear()
        self._target = target

    async def open(self) -> DataConnection:
        """The data connection for a transfer that begins now; the next one needs another set-up.

        Raises :class:`NoDataConnection` where none was set up, or none came within :data:`CALL_S` seconds.
        """
        try:
            if self._target is not None:
                return await self._dial(self._target)
            if self._lease is None and self._ready is None:
                raise NoDataConnection("use PASV, EPSV, PORT or EPRT first")
            return self._ready or await self._call_of_client()
        finally:
            self._ready = None
            self.clear()

    def clear(self) -> None:
        """Forgets what was set up, and cuts a connection no transfer took. A transfer that waits for one fails."""
        self._target = None
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()
        self._end_patience()
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.abort()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(NoDataConnection("the data connection was given up"))

    def _called(self, connection: DataConnection) -> None:
        """The client called the leased port."""
        self._lease = None
        self._end_patience()
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._ready = connection
        else:
            waiting.callback(connection)

    def _end_patience(self) -> None:
        patience, self._patience = self._patience, None
        if patience is not None and patience.active():
            patience.cancel()

    async def _call_of_client(self) -> DataConnection:
        waiting: Deferred[DataConnection] = Deferred()
        self._waiting = waiting
        try:
            return await waiting.addTimeout(CALL_S, self._reactor)
        except TimedOut:
            raise NoDataConnection(f"the client did not open the data connection within {CALL_S:.0f} seconds") from None
        finally:
            self._waiting = None

    async def _dial(self, target: Target) -> DataConnection:
        endpoint: Any = TCP4ClientEndpoint if isinstance(target.host, IPv4Address) else TCP6ClientEndpoint
        # From the address that the client knows: firewalls and clients look at where a call comes from.
        calling = endpoint(self._reactor, str(target.host), target.port, CALL_S, (str(self.local), 0))
        factory = Factory.forProtocol(DataConnection)
        factory.noisy = False
        try:
            connection: DataConnection = await calling.connect(factory)
        except ConnectingCancelledError:
            raise CancelledError from None
        except ConnectError as problem:
            raise NoDataConnection(f"cannot call {target.host} at port {target.port}: {problem}") from problem
        return connection
