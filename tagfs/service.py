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
from twisted.logger import Logger

from tagfs.clustering import Neighbourhood
from tagfs.doors import Doors
from tagfs.errors import StartError, TagfsError
from tagfs.first_admin import read_password
from tagfs.model.principal import OWNER, Principal, Role
from tagfs.node import standard_logging
from tagfs.node.accounts import Accounts
from tagfs.node.contents.contents import THREADS
from tagfs.node.core import Core
from tagfs.node.datadir import DataDirectory
from tagfs.node.housekeeping import Housekeeping
from tagfs.node.lag import Lag
from tagfs.node.node import Node
from tagfs.node.offload import Threads
from tagfs.node.roster import Roster
from tagfs.options import Options
from tagfs.settings import Settings
from tagfs.storage.stores import open_blobs, open_catalog

READERS = 4
TRANSFERS = 4
POURS = max(1, min(TRANSFERS, len(os.sched_getaffinity(0)) - 1))
"""Large contents that go out at a time: each keeps one processor busy as long as its client takes it, and one is left for who waits
for an answer. With two at a time on two processors a FIND waited for 20 ms instead of 3."""
LOGINS = 2
"""Passwords that are proved at a time: each takes 32 MiB and a processor for a tenth of a second."""
OPEN_FILES = 65_536
"""Files, sockets included, that a node wants to have open at a time."""


def makeService(options: Options) -> NodeService:
    """The service for ``options``. Opens nothing: that begins in startService, after twistd has forked."""
    from twisted.internet import reactor

    return NodeService(options.settings, reactor)


@define(eq=False)
class NodeService(Service):
    """One node, from its data directory to its doors."""

    settings: Settings
    reactor: Any
    name = "tagfs"
    log = Logger()
    _closers: list[Callable[[], Coroutine[Any, Any, None] | None]] = field(factory=list)
    _doors: Doors = field(init=False)
    _password: str | None = None
    _renewing: Deferred[None] | None = None

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
        return Deferred.fromCoroutine(self._stop_all())

    async def _stop_all(self) -> None:
        if self._renewing is not None:
            await self._renewing
        await self._stop()

    def _start(self) -> None:
        settings = self.settings
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
        self._see_to_admin(Roster(catalog, node_id))
        pools = {name: self._threads(size, name) for name, size in _POOLS.items()}
        streams = self._threads(THREADS, "streams")
        core = Core(node_id, catalog, blobs, now_ms=lambda: time.time_ns() // 1_000_000, **pools)
        self._closers.append(core.committer.close)
        lag = Lag(self.reactor)
        core.reports.append(lag.figures)
        self._closers.append(lag.stop)
        accounts = Accounts(core, self._threads(LOGINS, "logins"), self.reactor, self._anonymous())
        doors = self._doors = Doors(self.reactor, settings, self._is_guarded(accounts, directory))
        neighbourhood = Neighbourhood(self.reactor, settings, directory, lambda: self._dismissed(directory))
        neighbourhood.listen(doors)
        self._closers.append(doors.close)
        together = neighbourhood.join(core, accounts, self._password, pools["transfers"], streams)
        self._closers.extend(reversed(neighbourhood.closers()))
        node = Node(core, settings.name, settings.zone, str(settings.advertise or ""), accounts, together)
        housekeeping = Housekeeping(core, self.reactor, settings.trash_days)
        self._closers.append(housekeeping.stop)
        self._closers.append(doors.close_files)
        doors.open_files(node, directory.identity)
        accounts.private = doors.private
        neighbourhood.keep_house(housekeeping)
        neighbourhood.start()
        housekeeping.start()
        lag.start()
        _calm_collector()
        sys.setswitchinterval(SWITCH_S)
        # Not before the reactor has its signal handlers: whoever reads run.json may send SIGTERM at once.
        self.reactor.callWhenRunning(self._announce, directory, node)

    def _announce(self, directory: DataDirectory, node: Node) -> None:
        if not self.running:
            return
        self.log.info(
            "node {name} ({id}) is up with {entries} entries: {doors}",
            name=node.name,
            id=node.id,
            entries=node.statistics()["entries"],
            doors=", ".join(f"{name} {address}" for name, address in self._doors.addresses.items())
            or "all doors are off",
        )
        directory.announce(self._facts(node))

    def _threads(self, size: int, name: str) -> Threads:
        threads = Threads(self.reactor, size, name)
        self._closers.append(threads.stop)
        return threads

    def _check_stores(self, directory: DataDirectory) -> None:
        """An old data directory whose stores are gone (a disk that is not mounted) must not look like an empty one."""
        for url, default in ((self.settings.catalog, "catalog"), (self.settings.blobs, "blobs")):
            path: Path = directory.path / default
            made = not (directory.fresh or (directory.renewed and default == "catalog"))
            if url is None and made and not (path.is_dir() and any(path.iterdir())):
                raise StartError(
                    f"{path} is missing or empty in a data directory that had it; mount or restore it, or start with another "
                    "--data"
                )

    def _see_to_admin(self, roster: Roster) -> None:
        """Where there never was a user, makes ``admin`` with the password that an operator left; in a cluster that is done later."""
        if roster.exist:
            return
        self._password = read_password(self.settings)
        if self._password is not None and self.settings.cluster_key is None:
            roster.add("admin", Role.ADMIN, self._password)
            self.log.info(
                "made the user admin, with the password in {file}", file=str(self.settings.admin_password_file)
            )

    def _is_guarded(self, accounts: Accounts, directory: DataDirectory) -> bool:
        """Whether files may be served to other machines: there are users, or will be, or the operator wants everybody."""
        settings = self.settings
        joins = settings.cluster_key is not None and bool(settings.join or directory.formers)
        return accounts.exist or settings.anonymous != "none" or self._password is not None or joins

    def _anonymous(self) -> Principal:
        """Who a session is that did not log in, as long as there are no users."""
        role = {"none": None, "read": Role.READ, "write": Role.WRITE}[self.settings.anonymous]
        return OWNER if role is None else Principal("anonymous", role)

    def _facts(self, node: Node) -> dict[str, object]:
        addresses = self._doors.addresses
        web = addresses.get("web")
        return {
            "pid": os.getpid(),
            "id": node.id,
            "name": node.name,
            "ftp": addresses.get("ftp"),
            "web": web and f"{_web_scheme(self.settings.web)}://{web}",
            "node": str(self.settings.advertise or addresses.get("node") or "") or None,
        }

    def _dismissed(self, directory: DataDirectory) -> None:
        """The cluster forgot this node."""
        if self.settings.catalog is not None:
            self.log.error(
                "this node was forgotten by its cluster; to take part again, it starts anew with another, empty catalog"
            )
        elif self._renewing is None:
            self._renewing = Deferred.fromCoroutine(self._begin_anew(directory))

    async def _begin_anew(self, directory: DataDirectory) -> None:
        """Stops, and starts again as another node, in the same process and with the same contents."""
        self.log.warn(
            "this node was forgotten by its cluster; it begins anew under another id, and what only it knew will be found in "
            "/@recovered"
        )
        try:
            directory.begin_anew()
        except OSError as error:  # a full disk: what can be read goes on being served, and nothing is written meanwhile
            self.log.error("the node cannot begin anew before it is started again: {error}", error=error)
            return
        try:
            await self._stop()
            self._renewing = None
            if self.running:
                self._start()
        except (TagfsError, OSError) as error:
            self.log.critical("the node cannot begin anew: {error}", error=error)
            await self._stop()
            self.reactor.stop()

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


SWITCH_S = 0.001
"""After how many seconds a thread that computes lets another one run. The reactor needs the interpreter several times for one
answer (it lets go of it for every system call), so Python's own 5 ms beside one busy thread were 20 ms for each answer."""
# The writer: one thread for the group that is committed, one for contents that are stored ahead of theirs.
_POOLS = {"writer": 2, "readers": READERS, "transfers": TRANSFERS, "pours": POURS}


def _web_scheme(endpoint: str | None) -> str:
    return "https" if (endpoint or "").partition(":")[0].lower() in ("ssl", "tls") else "http"


def _say_in_one_line(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """An excepthook for a start that failed: on standard error, or in the log where that goes nowhere (a daemon)."""
    line = f"tagfs: cannot start: {error}"
    if os.fstat(2).st_rdev == os.stat(os.devnull).st_rdev:
        Logger().critical("{line}", line=line)
    else:
        os.write(2, f"{line}\n".encode(errors="replace"))
