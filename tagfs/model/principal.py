"""Who asks: every method of INode takes a principal, so that rights are one mechanism below all doors. Layer: model."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from tagfs.errors import Forbidden


class Role(IntEnum):
    """What a principal may do; each role includes those below it."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


class Principal(NamedTuple):
    """A user with a role and perhaps a confining tag-query, a node, or the local owner.

    ``confine`` is the text of a tag-query that limits what is seen; empty means everything. ``login`` tells with which
    password a user logged in (not what it was): it ends with that password. Empty for those who did not log in.
    """

    name: str
    role: Role
    confine: str = ""
    login: str = ""

    def require(self, role: Role, what: str) -> None:
        """Raises :class:`~tagfs.errors.Forbidden` unless this principal has at least ``role``.

        ``what`` completes the sentence "… needs the role write".
        """
        if self.role < role:
            raise Forbidden(f"{what} needs the role {role.name.lower()}; {self.name} has {self.role.name.lower()}")


OWNER = Principal("owner", Role.ADMIN)
"""The local owner: whoever talks to a loopback listener of a node without users."""
NOBODY = Principal("nobody", Role.NONE)
"""A session that has not logged in, where logging in is needed."""
