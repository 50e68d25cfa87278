"""Users of a node that does not run (yet): read from its catalog and changed there, at once. Layer: node; no Twisted.

The first admin of a container is made so, and ``tagfs user … --data DIR`` helps who has lost the last password.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tagfs.errors import StartError
from tagfs.model import users
from tagfs.model.principal import Role
from tagfs.model.record import Record
from tagfs.model.stamp import HybridClock, Stamp
from tagfs.model.users import User, Users
from tagfs.node.datadir import DataDirectory
from tagfs.node.passwords import check_password, scramble
from tagfs.storage.interfaces import MAX_PAGE, ICatalog
from tagfs.storage.stores import open_catalog


class Roster:
    """The users in a catalog that nobody else writes to. Each change is durable when its method returns.

    The methods raise as those of :class:`~tagfs.node.interfaces.INode` of the same names.
    """

    def __init__(self, catalog: ICatalog, node_id: str) -> None:
        self._catalog = catalog
        self._clock = HybridClock(node_id, catalog.greatest_stamp)
        self._users = Users()
        after = ""
        while page := catalog.records(users.KIND, after, MAX_PAGE):
            for record in page:
                self._users.learn(record)
            after = page[-1].key

    @property
    def exist(self) -> bool:
        """Whether there are, or were, users."""
        return self._users.exist

    def list(self) -> Iterator[User]:
        """All users, by name."""
        return iter(self._users)

    def add(self, name: str, role: Role, password: str) -> str:
        """Makes a user; returns the name as it is kept."""
        name = self._users.check_add(name, role)
        kept = scramble(check_password(password))
        self._change(lambda stamp: users.added(name, role, kept, stamp))
        return name

    def remove(self, name: str) -> None:
        """Removes a user."""
        user = self._users.check_loss(name, "removed")
        self._change(lambda stamp: users.removed(user.name, stamp))

    def set_role(self, name: str, role: Role) -> None:
        """Gives a user another role."""
        user = self._users.known(name) if role is Role.ADMIN else self._users.check_loss(name, "demoted")
        self._change(lambda stamp: users.with_role(user.name, role, stamp))

    def set_password(self, name: str, password: str) -> None:
        """Gives a user another password."""
        user = self._users.known(name)
        kept = scramble(check_password(password))
        self._change(lambda stamp: users.with_password(user.name, kept, stamp))

    def _change(self, make: Callable[[Stamp], Record]) -> None:
        for state in self._catalog.merge([make(self._clock.stamp(time.time_ns() // 1_000_000))]):
            self._users.learn(state)


@contextmanager
def roster_of(path: Path) -> Iterator[Roster]:
    """The users in the data directory of a stopped node, which is locked meanwhile. Raises StartError."""
    if not (path / "format").is_file():
        raise StartError(f"{path} is no data directory of tagfs; a node makes it at its first start")
    owner = path.stat().st_uid
    if owner != os.geteuid():
        # What is written here as another user, the node could not open any more.
        raise StartError(f"{path} belongs to the user with number {owner}; do this as that user")
    if not (path / "catalog").is_dir():
        raise StartError(f"{path} has no catalog; where the node keeps it elsewhere, ask the running node")
    directory = DataDirectory(path)
    try:
        catalog = open_catalog(f"sqlite:{path / 'catalog'}", directory.identity.id)
        try:
            yield Roster(catalog, directory.identity.id)
        finally:
            catalog.close()
    finally:
        directory.close()
