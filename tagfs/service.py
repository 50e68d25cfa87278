"""The service that twistd runs: options in, a started node out. The only file that knows every part. Layer: top."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python import usage

from tagfs import __version__
from tagfs.errors import StartError, TagfsError
from tagfs.front.ftp.door import Limits
from tagfs.front.ftp.file_state import FileDoor
from tagfs.front.ftp.protocol import TagFtpFactory
from tagfs.front.ftp.tls import TlsContext
from tagfs.front.web.site import WebFactory
from tagfs.model.principal import OWNER, Principal, Role
from tagfs.node import standard_logging
from tagfs.node.accounts import Accounts
from tagfs.node.core import Core
from tagfs.node.datadir import DataDirectory
from tagfs.node.housekeeping import Housekeeping
from tagfs.node.identity import Identity
from tagfs.node.lag import Lag
from tagfs.node.node import Node
from tagfs.node.offload import Threads
from tagfs.node.roster import Roster
from tagfs.node.strangers import StrangerFactory, with_tls
from tagfs.settings import Settings, load
from tagfs.storage.stores import open_blobs, open_catalog

READERS = 4
TRANSFERS = 4
LOGINS = 2
"""Passwords that are proved at a time: each takes 32 MiB and a processor for a tenth of a second."""
OPEN_FILES = 65_536
"""Files, sockets included, that a node wants to have open at a time."""


class Options(usage.Options):
    """The options of ``twistd tagfs``; :mod:`tagfs.settings` says what each may be."""

    synopsis = "[options]"
    longdesc = (
        "Runs one node of tagfs. Each option may also stand in a TOML file (--config) or in the environment "
        "(TAGFS_DATA, TAGFS_FTP, …); options win over the environment, and that over the file."
    )
    optParameters = [  # noqa: RUF012 - Twisted's way
        ["config", None, None, "TOML file with settings"],
        ["data", None, None, "data directory [default: ./tagfs-data]"],
        ["name", None, None, "name of this node for people [default: the host's name]"],
        ["ftp", None, None, "endpoint of the tag protocol and FTP, or off [default: tcp:2121:interface=127.0.0.1]"],
        ["web", None, None, "endpoint of the web API and page, or off [default: tcp:8080:interface=127.0.0.1]"],
        ["node", None, None, "endpoint for other nodes, or off [default: tcp:4747:interface=127.0.0.1]"],
        ["advertise", None, None, "HOST:PORT where other nodes reach this one, if not where it listens"],
        ["cluster-key", None, None, "file with the cluster's key; without it the node is alone"],
        ["discovery", None, None, "multicast or off: find other nodes by beacons [default: multicast]"],
        ["beacon-port", None, None, "UDP port of beacons [default: 4747]"],
        ["zone", None, None, "zone of this node; copies are spread over zones"],
        ["node-tls", None, None, "on or off: TLS between nodes [default: on]"],
        ["copies", None, None, "how many nodes hold each content [default: 3]"],
        ["write-copies", None, None, "auto, or how many nodes must have a content before it is acknowledged"],
        ["out-after", None, None, "seconds until a dead node leaves the layout [default: 600]"],
        ["trash-days", None, None, "days that entries stay in the trash [default: 30]"],
        ["anonymous", None, None, "none, read or write: rights without a login beyond loopback [default: none]"],
    ]
    optFlags = [["merge", None, "join a cluster though this node has entries already"]]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["join"] = []

    def opt_join(self, address: str) -> None:
        """HOST:PORT of a node of the cluster to join; may be given several times"""
        self["join"].append(address)

    def opt_version(self) -> None:
        """Print the version of tagfs and stop"""
        print(f"tagfs {__version__}")  # noqa: T201 - that is what the option is for
        raise SystemExit(0)

    def parseArgs(self, *words: str) -> None:
        """Takes none."""
        if words:
            raise usage.UsageError(f"{words[0]!r} is no option")

    def parseOptions(self, options: Any = None) -> None:
        """Ends the process with one line where an option is wrong; twistd itself would print its whole help."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            raise SystemExit(f"tagfs: {error}; twistd tagfs --help lists the options") from error

    def postOptions(self) -> None:
        try:
            self.settings = load(self, os.environ)
        except StartError as error:
            raise usage.UsageError(str(error)) from error


def makeService(options: Options) -> NodeService:
    """The service for ``options``. Opens nothing: that begins in startService, after twistd has forked."""
    from twisted.internet import reactor

    return NodeService(options.settings, reactor)


@define(eq=False)
class _Door:
    """A listening door: its name in run.json, how it is closed, and the address people use."""

    name: str
    port: IListeningPort
    close_sessions: Callable[[], Coroutine[Any, Any, None]]
    address: str


@define(eq=False)
class NodeService(Service):
    """One node, from its data directory to its doors."""

    settings: Settings
    reactor: Any
    name = "tagfs"
    log = Logger()
    _closers: list[Callable[[], Coroutine[Any, Any, None] | None]] = field(factory=list)
    _doors: list[_Door] = field(factory=list)
    _guarded: bool = False
    """Whether files may be served to other machines: there are users, or the operator wants everybody."""

    def startService(self) -> None:
        """Starts everything, or nothing: then one line says why, and the process ends with exit code 1."""
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._start()
        except TagfsError as error:
            sys.excepthook = _say_in_one_line
            self._give_up()
            raise StartError(str(error)) from None
        except BaseException:
            self._give_up()
            raise

    def stopService(self) -> Deferred[None]:
        """No new work; what is acknowledged is durable; then everything is let go of, the last opened first."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    def _start(self) -> None:
        settings = self.settings
        if settings.cluster_key is not None:
            raise StartError("--cluster-key: this version has no clusters yet; leave it out, and the node runs alone")
        _allow_open_files()
        standard_logging.hear()
        directory = DataDirectory(settings.data)
        self._closers.append(directory.close)
        self._check_stores(directory)
        node_id = directory.identity.id
        catalog = open_catalog(settings.catalog_url, node_id)
        self._closers.append(catalog.close)
        blobs = open_blobs(settings.blobs_url)
        self._closers.append(blobs.close)
        directory.settle()
        self._make_first_admin(Roster(catalog, node_id))
        pools = {name: self._threads(size, name) for name, size in _POOLS.items()}
        core = Core(node_id, catalog, blobs, now_ms=lambda: time.time_ns() // 1_000_000, **pools)
        self._closers.append(core.committer.close)
        lag = Lag(self.reactor)
        core.reports.append(lag.figures)
        self._closers.append(lag.stop)
        accounts = Accounts(core, self._threads(LOGINS, "logins"), self.reactor, self._anonymous())
        node = Node(core, settings.name, settings.zone, str(settings.advertise or ""), accounts)
        housekeeping = Housekeeping(core, self.reactor, settings.trash_days)
        self._closers.append(housekeeping.stop)
        self._open_doors(node, directory.identity)
        accounts.private = all(_is_local(door.port) for door in self._doors if door.name in _FILE_DOORS)
        housekeeping.start()
        lag.start()
        _calm_collector()
        # Not before the reactor has its signal handlers: whoever reads run.json may send SIGTERM at once.
        self.reactor.callWhenRunning(self._announce, directory, node)

    def _announce(self, directory: DataDirectory, node: Node) -> None:
        if not self.running:
            return
        directory.announce(self._facts(node))
        self.log.info(
            "node {name} ({id}) is up with {entries} entries: {doors}",
            name=node.name,
            id=node.id,
            entries=node.statistics()["entries"],
            doors=", ".join(f"{door.name} {door.address}" for door in self._doors) or "all doors are off",
        )

    def _threads(self, size: int, name: str) -> Threads:
        threads = Threads(self.reactor, size, name)
        self._closers.append(threads.stop)
        return threads

    def _check_stores(self, directory: DataDirectory) -> None:
        """An old data directory whose stores are gone (a disk that is not mounted) must not look like an empty one."""
        for url, default in ((self.settings.catalog, "catalog"), (self.settings.blobs, "blobs")):
            path: Path = directory.path / default
            if url is None and not directory.fresh and not (path.is_dir() and any(path.iterdir())):
                raise StartError(
                    f"{path} is missing or empty in a data directory that had it; mount or restore it, or start with another "
                    "--data"
                )

    def _make_first_admin(self, roster: Roster) -> None:
        """Makes the user ``admin``, where an operator left a password for it and there never was a user."""
        file = self.settings.admin_password_file
        if file is None or roster.exist:
            return
        try:
            password = file.read_bytes()[:4096].decode("utf-8", "surrogateescape").split("\n")[0].rstrip("\r")
        except OSError as error:
            raise StartError(f"the password of the first admin cannot be read from {file}: {error.strerror}") from error
        if not password:
            raise StartError(f"{file} has no password in its first line")
        roster.add("admin", Role.ADMIN, password)
        self.log.info("made the user admin, with the password in {file}", file=str(file))

    def _anonymous(self) -> Principal:
        """Who a session is that did not log in, as long as there are no users."""
        role = {"none": None, "read": Role.READ, "write": Role.WRITE}[self.settings.anonymous]
        return OWNER if role is None else Principal("anonymous", role)

    def _open_doors(self, node: Node, identity: Identity) -> None:
        settings = self.settings
        self._guarded = node.has_users or settings.anonymous != "none"
        if settings.ftp is not None:
            limits = Limits(
                sessions=settings.sessions,
                sessions_per_host=settings.sessions_per_host,
                idle_s=settings.idle_timeout,
                stall_s=settings.stall_timeout,
            )
            files = FileDoor(
                self.reactor,
                ports=settings.passive_ports and range(settings.passive_ports[0], settings.passive_ports[1] + 1),
                masquerade=settings.masquerade,
                require_tls=settings.ftp_tls == "required",
                stall_s=settings.stall_timeout,
            )
            self._closers.append(files.close)
            factory = TagFtpFactory(node, self.reactor, limits=limits, files=files, tls=self._ftp_tls(identity))
            self._listen("ftp", settings.ftp, factory, factory.close)
        if settings.web is not None:
            web = WebFactory(node, self.reactor, names=self._web_names())
            self._listen("web", settings.web, web, web.close)
        if settings.node is not None:
            strangers = StrangerFactory(node.id, node.name, self.reactor)
            door = with_tls(identity, strangers) if settings.node_tls else strangers
            self._listen("node", settings.node, door, strangers.close)

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

    def _listen(
        self, name: str, endpoint: str, factory: IProtocolFactory, close: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
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
        door = _Door(name, port, close, _address(port))
        self._doors.append(door)
        self._closers.append(lambda: _close_door(door))
        if name in _FILE_DOORS and not self._guarded and not _is_local(port):
            raise StartError(
                f"--{name} {endpoint} can be reached from other machines, and there are no users yet: make an admin (tagfs "
                "user add, or TAGFS_ADMIN_PASSWORD_FILE), listen on 127.0.0.1, or say --anonymous=read or --anonymous=write "
                "to serve everybody"
            )

    def _facts(self, node: Node) -> dict[str, object]:
        addresses = {door.name: door.address for door in self._doors}
        web = addresses.get("web")
        return {
            "pid": os.getpid(),
            "id": node.id,
            "name": node.name,
            "ftp": addresses.get("ftp"),
            "web": web and f"{_web_scheme(self.settings.web)}://{web}",
            "node": str(self.settings.advertise or addresses.get("node") or "") or None,
        }

    async def _stop(self) -> None:
        while self._closers:
            try:
                closing = self._closers.pop()()
                if closing is not None:
                    await closing
            except Exception:  # noqa: BLE001 - whatever fails, the rest must be closed
                self.log.failure("something did not close cleanly")
        self.log.info("the node has stopped")

    def _give_up(self) -> None:
        """Closes what was opened before the start failed. Nothing is under way yet, so nothing is waited for."""
        Deferred.fromCoroutine(self._stop())


def _allow_open_files() -> None:
    """Lets the process open as many files as it may: the usual soft limit of 1,024 is fewer than the sessions we take."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _calm_collector() -> None:
    """Looks for garbage in cycles less often, and not among what the start made: that is nearly all there will ever be.

    With Python's own thresholds, a fourth of the time of a busy node went into finding nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


_FILE_DOORS = frozenset({"ftp", "web"})
"""Doors behind which there are files; at the others a stranger learns nothing."""
_POOLS = {"writer": 1, "readers": READERS, "transfers": TRANSFERS}


async def _close_door(door: _Door) -> None:
    stopping = door.port.stopListening()
    if stopping is not None:
        await stopping
    await door.close_sessions()


def _address(port: IListeningPort) -> str:
    """``host:port`` of a listening socket (with brackets for IPv6), or the path of a Unix socket."""
    place = port.getHost()
    host = getattr(place, "host", None)
    if host is None:
        return os.fsdecode(getattr(place, "name", b""))
    number = getattr(place, "port", 0)
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def _web_scheme(endpoint: str | None) -> str:
    return "https" if (endpoint or "").partition(":")[0].lower() in ("ssl", "tls") else "http"


def _is_local(port: IListeningPort) -> bool:
    """Whether only this machine can reach it."""
    host = getattr(port.getHost(), "host", None)
    return host is None or host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")


def _say_in_one_line(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """An excepthook for a start that failed: on standard error, or in the log where that goes nowhere (a daemon)."""
    line = f"tagfs: cannot start: {error}"
    if os.fstat(2).st_rdev == os.stat(os.devnull).st_rdev:
        Logger().critical("{line}", line=line)
    else:
        os.write(2, f"{line}\n".encode(errors="replace"))
