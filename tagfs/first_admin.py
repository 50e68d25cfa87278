"""The user ``admin`` that an operator left a password for: made once, where there never was a user. Layer: top, under service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from tagfs.errors import StartError, TagfsError
from tagfs.model.principal import OWNER, Role
from tagfs.node.accounts import Accounts
from tagfs.settings import Settings

LOOK_S = 1.0
"""Seconds between two looks at whether the cluster has users."""
JOINED_LOOKS = 10
"""So many times there must be no users in a cluster that this node joined: its founder makes the admin first."""


def read_password(settings: Settings) -> str | None:
    """The first line of the operator's file, or None where no file is named. Raises StartError."""
    file = settings.admin_password_file
    if file is None:
        return None
    try:
        password = file.read_bytes()[:4096].decode("utf-8", "surrogateescape").split("\n")[0].rstrip("\r")
    except OSError as error:
        raise StartError(f"the password of the first admin cannot be read from {file}: {error.strerror}") from error
    if not password:
        raise StartError(f"{file} has no password in its first line")
    return password


@define(eq=False)
class FirstAdmin:
    """Makes the first admin of a cluster once that is certain to have no users, or finds that it has.

    A node that joins must not: its stale file would give the admin of the whole cluster another password. ``ready`` says whether this
    node has heard of everything, ``founded`` whether there is nobody else.
    """

    clock: Any
    accounts: Accounts
    password: str
    ready: Callable[[], bool]
    founded: Callable[[], bool]
    log = Logger()
    _looks: int = 0
    _call: IDelayedCall | None = None

    def start(self) -> None:
        """Begins to look."""
        self._call = None
        if self.accounts.exist:
            return
        self._looks = self._looks + 1 if self.ready() else 0
        if self._looks and (self.founded() or self._looks > JOINED_LOOKS):
            Deferred.fromCoroutine(self._make())
        else:
            self._call = self.clock.callLater(LOOK_S, self.start)

    async def stop(self) -> None:
        """Looks no more."""
        if self._call is not None:
            self._call.cancel()

    async def _make(self) -> None:
        try:
            await self.accounts.add(OWNER, "admin", Role.ADMIN, self.password)
        except TagfsError as error:
            self.log.warn("the first admin was not made: {error}", error=error)
        else:
            self.log.info("made the user admin, with the password that the operator left")
