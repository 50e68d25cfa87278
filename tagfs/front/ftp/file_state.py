"""What FTP keeps per session and per listener. Layer: front."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from twisted.internet.defer import DeferredLock

from tagfs.errors import StartError, TagfsError
from tagfs.front.ftp.data_connection import PIECE, TLS_PIECE, DataConnection
from tagfs.front.ftp.data_lines import plain_address
from tagfs.front.ftp.data_ports import PER_HOST, SIZE, NoDataConnection, PassivePorts
from tagfs.front.ftp.data_setup import DataSetup
from tagfs.front.ftp.directory.changes import Spot
from tagfs.front.ftp.directory.folders import MadeFolders
from tagfs.front.ftp.directory.formats import DEFAULT_FACTS
from tagfs.front.ftp.directory.lookup import Lookup
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.tls import TlsContext
from tagfs.model.names import name_key
from tagfs.model.paths import TOP, TagFolder, VirtualPath

if TYPE_CHECKING:
    from tagfs.front.ftp.session import Session


class NotPrivate(TagfsError):
    """Data connections need TLS here (RFC 4217 section 9)."""

    ftp = 521


class FileDoor:
    """FTP on one listener: its passive ports, and the folders made through it. Calling it makes a session's state.

    :param reactor: where data connections live.
    :param size: passive ports open at once.
    :param per_host: passive ports that may wait for calls from one address.
    :param ports: numbers that passive ports are chosen from; None for any.
    :param masquerade: the IPv4 address that PASV tells to clients from other machines; None for the one they called.
    :param require_tls: whether contents and listings go over TLS only.
    :param stall_s: a data connection on which no byte moves for so many seconds is cut.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        size: int = SIZE,
        per_host: int = PER_HOST,
        ports: Sequence[int] | None = None,
        masquerade: str | None = None,
        require_tls: bool = False,
        stall_s: float = 300.0,
    ) -> None:
        self.reactor = reactor
        try:
            shown = IPv4Address(masquerade) if masquerade is not None else None
        except ValueError:
            raise StartError(
                f"the masquerade address {masquerade} is no IPv4 address, which PASV has to tell"
            ) from None
        self.ports = PassivePorts(reactor, size=size, per_host=per_host, ports=ports, masquerade=shown)
        self.stall_s = stall_s
        self.made = MadeFolders()
        self._spots: WeakValueDictionary[tuple[object, ...], DeferredLock] = WeakValueDictionary()
        self.require_tls = require_tls

    def __call__(self, session: Session) -> FileState:
        return FileState(self, session)

    def turn(self, spot: Spot) -> DeferredLock:
        """The lock of one name in one directory: of several uploads to it at once, each replaces the one before."""
        key = (spot.place.folded if isinstance(spot.place, TagFolder) else spot.place, name_key(spot.name))
        return self._spots.setdefault(key, DeferredLock())

    async def close(self) -> None:
        """Shuts the passive ports."""
        await self.ports.close()


class FileState:
    """The FTP state of one session: where it is, what it set up, and its data connection."""

    def __init__(self, door: FileDoor, session: Session) -> None:
        self.door = door
        self._session = session
        self._data = self._setup(door, session)
        self.connection: DataConnection | None = None
        """The data connection of the transfer that is going on."""
        self.reset()

    def reset(self) -> None:
        """Everything is as at the beginning of the session (REIN)."""
        self.cwd = TOP
        self.ascii = False
        """Whether TYPE A was asked for. Without any TYPE contents go as they are, so that nothing is changed unasked."""
        self.restart = 0
        self.announced: int | None = None
        """The size that ALLO announced for the next upload."""
        self.renaming: VirtualPath | None = None
        self.facts = DEFAULT_FACTS
        self.hash = "SHA-256"
        self.user = ""
        self.extended_only = False
        """After EPSV ALL nothing but EPSV sets up data connections (RFC 2428 section 4)."""
        self.buffer_agreed = False
        """Whether PBSZ came, which PROT needs before it (RFC 2228 section 3)."""
        self.private = False
        """Whether data connections are under TLS (PROT P)."""
        if self._data is not None:
            self._data.clear()

    @staticmethod
    def _setup(door: FileDoor, session: Session) -> DataSetup | None:
        try:
            local = plain_address(session.local.rpartition(":")[0].strip("[]"))
            peer = plain_address(session.host)
        except ValueError:
            return None  # no TCP: a session in a test, or over a Unix socket
        return DataSetup(door.reactor, door.ports, local, peer)

    @property
    def data(self) -> DataSetup:
        """The session's data connections. Raises :class:`NoDataConnection` where its own connection is no TCP."""
        if self._data is None:
            raise NoDataConnection("this session is not over TCP, so there are no data connections")
        return self._data

    @property
    def data_set_up(self) -> bool:
        """Whether a data connection was asked for since the last transfer."""
        return self._data is not None and self._data.is_set

    def close(self) -> None:
        """The session has ended."""
        self.drop_data()

    def path(self, text: str) -> VirtualPath:
        """What a path means in the current directory."""
        return self.cwd.joined(text)

    def drop_data(self) -> None:
        """No transfer takes what was set up: cuts it, so that the client does not wait for it."""
        if self._data is not None:
            self._data.clear()
        if self.connection is not None:
            self.connection.abort()
            self.connection = None

    def take_restart(self) -> int:
        """Where the transfer that begins now starts; the next one starts at 0."""
        offset, self.restart = self.restart, 0
        return offset

    def check_set_up(self) -> None:
        """Raises :class:`NoDataConnection` where no data connection was asked for."""
        if not self.data_set_up:
            raise NoDataConnection("use PASV, EPSV, PORT or EPRT first")
        if self.door.require_tls and not self.private:
            raise NotPrivate("data connections are under TLS here: AUTH TLS, PBSZ 0, PROT P")

    async def open_data(self) -> DataConnection:
        """The data connection for the transfer that begins now, under TLS where PROT P says so."""
        self.connection = connection = await self.data.open()
        connection.watch(self.door.reactor, self.door.stall_s)
        if self.private:
            assert self.tls is not None, "PROT P without a context"
            await connection.start_tls(self.tls.for_data())
        return connection

    @property
    def piece(self) -> int:
        """Bytes to send at once."""
        return TLS_PIECE if self.private else PIECE

    @property
    def tls(self) -> TlsContext | None:
        """What TLS is offered with, or None."""
        return self._session.door.tls


def state_of(exchange: Exchange) -> FileState:
    """The FTP state of an exchange's session."""
    state = exchange.session.files
    assert isinstance(state, FileState), "an FTP verb on a door without FTP"
    return state


def lookup_of(exchange: Exchange) -> Lookup:
    """The directories as whoever asks sees them."""
    return Lookup(exchange.node, exchange.principal, state_of(exchange).door.made)
