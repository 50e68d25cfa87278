"""Passive ports: a pool of listeners that stay open, leased for one data connection at a time. Layer: front.

Opening a listener for each transfer costs half the time of a small one, so listeners are kept. A lease ends when its
client has called; whoever else calls a listener is turned away at once (RFC 2577 section 7: stealing data).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.log import callWithContext

from tagfs.errors import TagfsError
from tagfs.front.ftp.data_connection import DataConnection
from tagfs.front.ftp.data_lines import Address, plain_address

BACKLOG = 8
"""Calls that wait at a listener. One is expected; strangers may be before it."""

FEWEST = 8
"""Ports that are opened before one is leased again, so that a call that comes late finds no new lease of its port."""


SIZE = 256
"""Ports that may be open at once, where no range bounds them."""

PER_HOST = 128
"""Ports that may wait for calls from one address: who asks for ports and never calls must leave some to others."""

WAIT_S = 10.0
"""How long a session waits for a port when all that it may have are taken: with many sessions they are free again in no time."""

UNLOGGED = {"log_format": ""}
"""What Twisted says of a port that opens, whatever its factory's ``noisy``: an empty text, which logs leave out."""


class NoDataConnection(TagfsError):
    """There is no data connection, and none could be had."""

    ftp = 425


class Lease:
    """The right to the next call from one peer at one port, until it comes or :meth:`release` is called."""

    def __init__(self, listener: _Listener, peer: Address, on_call: Callable[[DataConnection], None]) -> None:
        self._listener: _Listener | None = listener
        self.peer = peer
        self.on_call = on_call
        self.port = listener.port

    def release(self) -> None:
        """Gives the port back. Harmless when repeated, and after the call."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.give_back()


class _Listener(Factory):
    """One open port of the pool."""

    noisy = False

    def __init__(self, pool: PassivePorts, address: Address) -> None:
        self._pool = pool
        self.address = address
        self.port = 0
        self.listening: IListeningPort | None = None
        self.lease: Lease | None = None

    def buildProtocol(self, addr: Any) -> Protocol | None:
        lease = self.lease
        if lease is None or plain_address(addr.host) != lease.peer:
            self._pool.log.info("turned away a stranger at data port {port}: {addr}", port=self.port, addr=addr)
            return None
        lease.release()
        return DataConnection(lease.on_call)

    def drain(self) -> None:
        """Turns away who called before the lease that begins now: a client that gave an earlier one up.

        Nobody can know yet that there is a new lease, so whoever waits here is not meant for it.
        """
        assert self.lease is None
        if isinstance(self.listening, Port):
            self.listening.doRead()

    def give_back(self) -> None:
        lease, self.lease = self.lease, None
        assert lease is not None
        self._pool.have_back(self, lease.peer)


class PassivePorts:
    """The passive ports of one door.

    ``size`` is how many may be open at once, and ``per_host`` how many may wait for calls from one address (never more than
    three quarters of all); ``ports`` the numbers to choose from (any free ones where None); ``masquerade`` the IPv4 address
    that PASV tells instead of the one the client called (behind NAT).
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        size: int = SIZE,
        per_host: int = PER_HOST,
        ports: Sequence[int] | None = None,
        masquerade: IPv4Address | None = None,
    ) -> None:
        assert size > 0 and per_host > 0
        self._reactor = reactor
        self._size = size if ports is None else min(size, len(ports))
        self.per_host = min(per_host, self._size - self._size // 4)
        self._leased: Counter[Address] = Counter()
        """By address, how many ports wait for its call, those that are just being opened too."""
        self._ports = ports
        self.masquerade = masquerade
        self._open: set[_Listener] = set()
        self._opening = 0
        # The one that was free longest is leased first: late calls to an old lease then find no new one.
        self._free: deque[_Listener] = deque()
        self._queue: deque[tuple[Address, Deferred[None]]] = deque()
        self._closed = False

    async def lease(self, local: Address, peer: Address, on_call: Callable[[DataConnection], None]) -> Lease:
        """A port at the address ``local`` for one call from ``peer``; ``on_call`` gets the connection.

        Where all ports are taken, or as many as one address may have, waits for one; raises :class:`NoDataConnection` after
        :data:`WAIT_S` seconds, and where none can be opened.
        """
        while not self._may_have_one(peer):
            await self._given_back(peer)
        self._leased[peer] += 1
        try:
            listener = self._take(local)
            if listener is None:
                listener = await self._listen(local)
            else:
                listener.drain()
        except BaseException:
            self._end_lease(peer)
            raise
        listener.lease = Lease(listener, peer, on_call)
        return listener.lease

    def _may_have_one(self, peer: Address) -> bool:
        return self._has_room and self._leased[peer] < self.per_host

    def _end_lease(self, peer: Address) -> None:
        self._leased[peer] -= 1
        if not self._leased[peer]:
            del self._leased[peer]

    @property
    def _has_room(self) -> bool:
        """Whether one more may be opened, perhaps in place of a free one at another address."""
        return bool(self._free) or len(self._open) + self._opening < self._size

    async def _given_back(self, peer: Address) -> None:
        """Waits for a port, behind those that wait already."""
        turn: Deferred[None] = Deferred()
        self._queue.append((peer, turn))
        try:
            await turn.addTimeout(WAIT_S, self._reactor)
        except TimedOut:
            raise NoDataConnection(self._why_none(peer)) from None
        finally:
            if (peer, turn) in self._queue:
                self._queue.remove((peer, turn))

    def _why_none(self, peer: Address) -> str:
        if not self._has_room:
            return f"all {self._size} passive ports are taken at the moment; try again later"
        return (
            f"{self._leased[peer]} passive ports wait for calls from {peer} already, which is as many as one address may have; "
            "call them, or try again later"
        )

    def _take(self, local: Address) -> _Listener | None:
        if len(self._open) < min(FEWEST, self._size) and self._ports is None:
            return None
        for listener in self._free:
            if listener.address == local:
                self._free.remove(listener)
                return listener
        return None

    async def _listen(self, local: Address) -> _Listener:
        if len(self._open) + self._opening >= self._size:
            await self._shut(self._free.popleft())
        listener = _Listener(self, local)
        kind: Any = TCP4ServerEndpoint if isinstance(local, IPv4Address) else TCP6ServerEndpoint
        self._opening += 1
        try:
            for number in self._numbers():
                try:
                    endpoint = kind(self._reactor, number, BACKLOG, str(local))
                    port = await callWithContext(UNLOGGED, endpoint.listen, listener)
                except CannotListenError:
                    continue
                listener.listening = port
                listener.port = port.getHost().port
                self._open.add(listener)
                if self._closed:
                    await self._shut(listener)
                    break
                return listener
        finally:
            self._opening -= 1
        raise NoDataConnection("no passive port could be opened; try again later")

    def have_back(self, listener: _Listener, peer: Address) -> None:
        """A lease to ``peer`` ended: of those who may have the port, who waits longest takes it at once."""
        self._free.append(listener)
        self._end_lease(peer)
        for waiting in self._queue:
            if self._leased[waiting[0]] < self.per_host:
                self._queue.remove(waiting)
                waiting[1].callback(None)
                break

    def _numbers(self) -> Iterator[int]:
        if self._ports is None:
            yield 0
            return
        taken = {listener.port for listener in self._open}
        yield from (number for number in self._ports if number not in taken)

    async def _shut(self, listener: _Listener) -> None:
        self._open.discard(listener)
        port = listener.listening
        if isinstance(port, Port):
            port._logConnectionLostMsg = _say_nothing  # its "Port Closed"; there is no public way to be quiet
        stopped = port.stopListening() if port is not None else None
        if isinstance(stopped, Deferred):
            await stopped

    async def close(self) -> None:
        """Shuts all ports, leased ones too."""
        self._closed = True
        self._free.clear()
        for listener in tuple(self._open):
            await self._shut(listener)


def _say_nothing() -> None:
    """In place of a line in the log."""
