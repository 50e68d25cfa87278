"""The doors of a node: what listens where, for whom, and how it is closed. Layer: top, under service."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from tagfs.errors import StartError
from tagfs.front.ftp.door import Limits
from tagfs.front.ftp.file_state import FileDoor
from tagfs.front.ftp.protocol import TagFtpFactory
from tagfs.front.ftp.tls import TlsContext
from tagfs.front.tally import Tally
from tagfs.front.web.site import WebFactory
from tagfs.node.identity import Identity
from tagfs.node.interfaces import INode
from tagfs.settings import Settings

BACKLOG = 1024
"""Callers that may wait at a door to be let in; the kernel's own bound (net.core.somaxconn) is in force, too."""
_FILE_DOORS = frozenset({"ftp", "web"})
"""Doors behind which there are files; at the others a stranger learns nothing."""

Closing = Callable[[], Coroutine[Any, Any, None]]


@define(eq=False)
class _Door:
    """A listening door: how it is closed, and the address people use."""

    port: IListeningPort
    close_sessions: Closing
    address: str

    async def close(self) -> None:
        stopping = self.port.stopListening()
        if stopping is not None:
            await stopping
        await self.close_sessions()


@define(eq=False)
class Doors:
    """All doors of one node. ``guarded``: files may be served to other machines, since there are users, or the operator
    wants everybody. Opening raises StartError, in one line."""

    reactor: Any
    settings: Settings
    guarded: bool = False
    log = Logger()
    _open: dict[str, _Door] = field(factory=dict)
    _also: list[Closing] = field(factory=list)
    _tally: Tally = field(factory=Tally)

    @property
    def addresses(self) -> Mapping[str, str]:
        """``host:port`` (or the path of a Unix socket) of each open door, by its name."""
        return {name: door.address for name, door in self._open.items()}

    @property
    def private(self) -> bool:
        """Whether only this machine can reach the doors behind which there are files."""
        return all(_is_local(door.port) for name, door in self._open.items() if name in _FILE_DOORS)

    def open_node(self, door: IProtocolFactory, close: Closing) -> None:
        """The door for other nodes, unless it is off."""
        if self.settings.node is not None:
            self._listen("node", self.settings.node, door, close)

    def open_files(self, node: INode, identity: Identity) -> None:
        """The doors for people and programs, as far as they are not off."""
        settings = self.settings
        if settings.ftp is not None:
            factory = self._ftp(node, settings, identity)
            self._listen("ftp", settings.ftp, factory, factory.close)
        if settings.web is not None:
            web = WebFactory(node, self.reactor, names=self._web_names(), tally=self._tally)
            self._listen("web", settings.web, web, web.close)

    async def close_files(self) -> None:
        """Takes no new sessions of people and programs, and ends those that there are."""
        files = [self._open.pop(name) for name in sorted(_FILE_DOORS & self._open.keys())]
        also, self._also = self._also, []
        await self._close(*(door.close for door in files), *also)

    async def close(self) -> None:
        """The same for all doors that are open."""
        await self.close_files()
        doors, self._open = self._open, {}
        await self._close(*(door.close for door in doors.values()))

    async def _close(self, *closings: Closing) -> None:
        """All at the same time: each has its grace for what is under way, and a stop takes the longest, not the sum."""
        ends = await DeferredList([Deferred.fromCoroutine(close()) for close in closings], consumeErrors=True)
        for success, failure in ends:
            if not success:
                self.log.failure("a door did not close cleanly", failure)

    def _ftp(self, node: INode, settings: Settings, identity: Identity) -> TagFtpFactory:
        limits = Limits(
            sessions=settings.sessions,
            sessions_per_host=settings.sessions_per_host,
            idle_s=settings.idle_timeout,
            stall_s=settings.stall_timeout,
        )
        files = FileDoor(
            self.reactor,
            ports=settings.passive_ports and range(settings.passive_ports[0], settings.passive_ports[1] + 1),
            per_host=settings.passive_per_host,
            masquerade=settings.masquerade,
            require_tls=settings.ftp_tls == "required",
            stall_s=settings.stall_timeout,
        )
        self._also.append(files.close)
        return TagFtpFactory(
            node, self.reactor, limits=limits, files=files, tls=self._ftp_tls(identity), tally=self._tally
        )

    def _ftp_tls(self, identity: Identity) -> TlsContext | None:
        """What AUTH TLS shows: the operator's certificate, else the node's own."""
        settings = self.settings
        if settings.ftp_tls == "off":
            return None
        if settings.tls_certificate is None or settings.tls_key is None:
            return TlsContext(identity.pem, identity.pem)
        try:
            return TlsContext(settings.tls_certificate.read_bytes(), settings.tls_key.read_bytes())
        except OSError as error:
            raise StartError(f"the certificate for FTP cannot be read: {error}") from error

    def _web_names(self) -> list[str]:
        """Host names by which browsers may ask, besides the listener's own address and loopback."""
        advertised = self.settings.advertise
        return [*self.settings.web_names, *([advertised.host] if advertised else [])]

    def _listen(self, name: str, endpoint: str, factory: IProtocolFactory, close: Closing) -> None:
        """Listens at once: endpoints of sockets answer before they return, and no session begins before the reactor runs."""
        outcome: list[Any] = []
        try:
            serverFromString(self.reactor, endpoint).listen(factory).addBoth(outcome.append)
        except ValueError as error:
            raise StartError(f"--{name} {endpoint}: {error}") from error
        port = outcome[0] if outcome else None
        if not IListeningPort.providedBy(port):
            reason = getattr(port, "value", "this endpoint cannot listen at start")
            if isinstance(reason, CannotListenError):
                reason = f"{reason.socketError.strerror or reason.socketError}; choose another, or off"
            raise StartError(f"cannot listen on --{name} {endpoint}: {reason}")
        _widen(port)
        self._open[name] = _Door(port, close, _address(port))
        if name in _FILE_DOORS and not self.guarded and not _is_local(port):
            raise StartError(
                f"--{name} {endpoint} can be reached from other machines, and there are no users yet: make an admin (tagfs "
                "user add, or TAGFS_ADMIN_PASSWORD_FILE), listen on 127.0.0.1, or say --anonymous=read or --anonymous=write "
                "to serve everybody"
            )


def _widen(port: IListeningPort) -> None:
    """Lets more callers wait than Twisted's 50: of a crowd that comes at once, the kernel makes the others wait for seconds
    and more, though to them it looks as if they were connected (their greeting does not come)."""
    waiting = getattr(port, "socket", None)
    if isinstance(waiting, socket.socket):
        waiting.listen(BACKLOG)


def _address(port: IListeningPort) -> str:
    """``host:port`` of a listening socket (with brackets for IPv6), or the path of a Unix socket."""
    place = port.getHost()
    host = getattr(place, "host", None)
    if host is None:
        return os.fsdecode(getattr(place, "name", b""))
    number = getattr(place, "port", 0)
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def _is_local(port: IListeningPort) -> bool:
    """Whether only this machine can reach it."""
    host = getattr(port.getHost(), "host", None)
    return host is None or host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")
