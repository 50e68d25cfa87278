"""Users: records ``user``/<name>, the rules for their names and roles, and all of them in memory. Layer: model.

A user is the record ``user``/<name>, the name folded (:func:`~tagfs.model.names.fold`), so that ``Ann`` and ``ann`` are one
user and nobody can pass for another by a different case. Fields:

============  =============================================================================================
``role``      str: ``read``, ``write`` or ``admin``
``password``  str: what :mod:`tagfs.node.passwords` made of it; never the password itself
``removed``   bool: who has this name may no longer log in. The record stays, so that the removal reaches every node
============  =============================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from tagfs.errors import BadRequest, Conflict, NotFound
from tagfs.model.names import fold
from tagfs.model.principal import Principal, Role
from tagfs.model.record import Field, Record, Value
from tagfs.model.stamp import Stamp

KIND = "user"
MAX_USER = 64
"""Most characters of a user's name."""
RESERVED = frozenset({"anonymous", "ftp", "nobody", "owner"})
"""Names of those who have not logged in, and those with which FTP clients say so (RFC 1635)."""
ROLES = {"read": Role.READ, "write": Role.WRITE, "admin": Role.ADMIN}

_FORBIDDEN = re.compile(r'[\s|":]')


class User(NamedTuple):
    """Somebody who may log in. ``password`` is what :mod:`tagfs.node.passwords` made of it; ``principal`` is who asks after a
    login with it."""

    name: str
    role: Role
    password: str
    principal: Principal


def check_user(text: str) -> str:
    """``text`` as a user's name, folded.

    A name has 1 to 64 characters (folded, too), no white space, control characters, ``|``, ``"`` or ``:`` (which ends the
    name in HTTP's Basic scheme, RFC 7617), and is not one of :data:`RESERVED`. Raises BadRequest.
    """
    name = fold(text) if text.isprintable() else ""
    if not name or max(len(text), len(name)) > MAX_USER or _FORBIDDEN.search(name):
        raise BadRequest(
            f'{text[:MAX_USER]!r} is no name of a user: 1 to {MAX_USER} characters without white space and none of |, " and :'
        )
    if name in RESERVED:
        raise BadRequest(f"the name {name} means somebody who has not logged in; choose another")
    return name


def read_role(text: str) -> Role:
    """The role of that name. Raises BadRequest."""
    role = ROLES.get(text.lower())
    if role is None:
        raise BadRequest(f"{text[:20]!r} is no role; there are {', '.join(ROLES)}")
    return role


def added(name: str, role: Role, password: str, stamp: Stamp) -> Record:
    """A change that makes a user (:func:`check_user`)."""
    fields: dict[str, Value] = {"role": role.name.lower(), "password": password, "removed": False}
    return Record(KIND, name, {field: Field(value, stamp) for field, value in fields.items()})


def removed(name: str, stamp: Stamp) -> Record:
    """A change after which this user is none. The password's hash goes with it."""
    return Record(KIND, name, {"removed": Field(True, stamp), "password": Field(None, stamp)})


def with_role(name: str, role: Role, stamp: Stamp) -> Record:
    """A change that gives a user another role."""
    return Record(KIND, name, {"role": Field(role.name.lower(), stamp)})


def with_password(name: str, password: str, stamp: Stamp) -> Record:
    """A change that gives a user another password."""
    return Record(KIND, name, {"password": Field(password, stamp)})


def user_of(record: Record) -> User | None:
    """The user of a record; None where there is none (any more), or where the record makes no sense."""
    role = ROLES.get(str(record.value("role")))
    password = record.value("password")
    if record.value("removed") or role is None or not isinstance(password, str):
        return None
    login = blake2b(password.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return User(record.key, role, password, Principal(record.key, role, login=login))


class Users:
    """All users, in memory; learns whole states in any order. The rules about who may be removed are here."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self.exist = False
        """Whether there ever was a user. It stays true when the last one is removed (which two sides of a cut can bring
        about): a node that asked for passwords must not stop asking."""

    def learn(self, record: Record) -> None:
        """Takes note of the present state of a user's record."""
        self.exist = True
        user = user_of(record)
        if user is None:
            self._users.pop(record.key, None)
        else:
            self._users[record.key] = user

    def __iter__(self) -> Iterator[User]:
        """By name."""
        return iter(sorted(self._users.values()))

    def find(self, name: str) -> User | None:
        """The user of a name as somebody typed it."""
        return self._users.get(fold(name)) if name.isprintable() else None

    def current(self, principal: Principal) -> Principal | None:
        """Who somebody who logged in is now: with the role of today, or nobody (None) once the user was removed or the
        password changed."""
        user = self._users.get(principal.name)
        return user.principal if user is not None and user.principal.login == principal.login else None

    def known(self, name: str) -> User:
        """The user of that name. Raises NotFound."""
        user = self.find(name)
        if user is None:
            raise NotFound(f"there is no user {name[:MAX_USER]!r}")
        return user

    def check_add(self, name: str, role: Role) -> str:
        """The folded name of a user who may be added. Raises BadRequest, or Conflict where the name is taken or an admin
        must come first."""
        name = check_user(name)
        if name in self._users:
            raise Conflict(f"there is a user {name} already")
        if role is not Role.ADMIN and not self._admins():
            raise Conflict("the first user must be an admin")
        return name

    def check_loss(self, name: str, what: str) -> User:
        """The user who may lose the role of an admin. Raises NotFound, or Conflict where nobody would be left to manage users."""
        user = self.known(name)
        if user.role is Role.ADMIN and self._admins() == 1:
            raise Conflict(f"{user.name} is the last admin and cannot be {what}; make another one first")
        return user

    def _admins(self) -> int:
        return sum(user.role is Role.ADMIN for user in self._users.values())
