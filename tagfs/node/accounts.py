"""Who may log in, and who manages that: passwords proved off the reactor thread, guesses slowed down. Layer: node."""

from __future__ import annotations

import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from tagfs.errors import BadRequest, Forbidden, ReadOnly, Throttled
from tagfs.model import users
from tagfs.model.names import fold
from tagfs.model.principal import NOBODY, OWNER, Principal, Role
from tagfs.model.record import Record, Ref
from tagfs.model.stamp import Stamp
from tagfs.model.users import User
from tagfs.node.core import Core
from tagfs.node.offload import Offload
from tagfs.node.passwords import NEVER, check_password, matches, scramble
from tagfs.node.throttle import Attempt, Throttle, network

T = TypeVar("T")

MOST_WAITING = 64
"""Passwords that wait to be proved; for more, clients are asked to try again."""
PROVED_S = 600.0
"""A proof is remembered so long, in seconds: HTTP's Basic scheme sends the password with every request."""
MOST_PROVED = 1024


class Accounts:
    """The users of one node. ``offload`` does the slow work of scrypt: one or two threads of its own, so that no flood of
    log-ins takes the processor from files. ``anonymous`` is who a session without login is where there are no users."""

    log = Logger()

    def __init__(self, core: Core, offload: Offload, clock: IReactorTime, anonymous: Principal) -> None:
        self._core = core
        self._users = core.users
        self._offload = offload
        self._clock = clock
        self._anonymous = anonymous
        self.private = False
        """Whether only this machine reaches the doors: without users, whoever comes is then the owner."""
        self._throttle = Throttle()
        self._waiting = 0
        self._secret = os.urandom(32)
        self._proved: OrderedDict[bytes, float] = OrderedDict()
        self._proving: dict[bytes, list[Deferred[None]]] = {}  # who waits for the outcome of a proof
        self._managing = DeferredLock()

    # Who asks

    @property
    def exist(self) -> bool:
        """Whether there are users."""
        return self._users.exist

    def anonymous(self) -> Principal:
        """INode.anonymous: without a login nobody is the owner where there are users."""
        if self._users.exist:
            return NOBODY if self._anonymous == OWNER else self._anonymous
        return OWNER if self.private else self._anonymous

    def current(self, principal: Principal) -> Principal:
        """INode.current."""
        if not principal.login:
            return self.anonymous()
        return self._users.current(principal) or NOBODY

    async def login(self, name: str, password: str, address: str) -> Principal:
        """INode.login."""
        anonymous = self.anonymous()
        if not self._users.exist or (name in users.RESERVED and anonymous.role is not Role.NONE):
            return anonymous
        user = self._users.find(name)
        mark = self._mark(user, name, password, address)
        await self._until_alone(mark)
        try:
            attempt = self._attempt(name, address, mark)
            if attempt is not None:
                await self._prove(attempt, user, name, password, address)
                self._remember(mark)
        finally:
            for waiting in self._proving.pop(mark):
                if not waiting.called:
                    waiting.callback(None)
        # Meanwhile the user may have been removed, or got another password.
        now = self._users.current(user.principal) if user is not None else None
        if now is None:
            raise _wrong()
        return now

    async def _until_alone(self, mark: bytes) -> None:
        """Whoever sends the same twice at once waits for the first outcome: ten connections of one client cost one proof."""
        while (others := self._proving.get(mark)) is not None:
            waiting: Deferred[None] = Deferred()
            others.append(waiting)
            await waiting
        self._proving[mark] = []

    def _attempt(self, name: str, address: str, mark: bytes) -> Attempt | None:
        """None where the password was proved lately. While somebody guesses from that address, even that must wait: else
        one could guess as fast as the memory of proofs answers."""
        now_s = self._clock.seconds()
        user = fold(name)[: users.MAX_USER] if name.isprintable() else ""
        if self._proved.get(mark, 0.0) > now_s and not self._throttle.delays(address, now_s):
            self._proved.move_to_end(mark)
            return None
        return self._throttle.attempt(user, address, now_s)

    async def _prove(self, attempt: Attempt, user: User | None, name: str, password: str, address: str) -> None:
        """Returns where the password is right, raises Forbidden where not, after the same time for every name."""
        try:
            if attempt.wait_s:
                await deferLater(self._clock, attempt.wait_s)
            proof = self._work(lambda: matches(password, user.password if user is not None else NEVER))
        except BaseException:
            attempt.void()
            raise
        right = await proof  # who leaves before the answer has made a guess all the same
        if not right or user is None:
            self.log.warn("login of {name!r} from {address} refused", name=name[: users.MAX_USER], address=address)
            raise _wrong()
        attempt.succeeded()

    def _work(self, call: Callable[[], T]) -> Deferred[T]:
        """Runs slow work; one that nobody waits for any more still counts until it is done."""
        if self._waiting >= MOST_WAITING:
            raise Throttled("too many log in at this moment; try again in a second")
        self._waiting += 1
        answer: Deferred[T] = Deferred()

        def done(result: Any) -> None:
            self._waiting -= 1
            if not answer.called:
                answer.callback(result)

        self._offload.run(call).addBoth(done)
        return answer

    def _mark(self, user: User | None, name: str, password: str, address: str) -> bytes:
        """Names a proof: of this password for this kept one, from this address. Reveals neither."""
        kept = user.password if user is not None else NEVER
        parts = [name, network(address), kept, password]
        text = b"".join(b"%d:%b" % (len(data), data) for data in map(_bytes, parts))
        return hmac.digest(self._secret, text, "sha256")

    def _remember(self, mark: bytes) -> None:
        self._proved[mark] = self._clock.seconds() + PROVED_S
        self._proved.move_to_end(mark)
        while len(self._proved) > MOST_PROVED:
            self._proved.popitem(last=False)

    # Who manages users

    def list(self, principal: Principal) -> Sequence[tuple[str, Role]]:
        """INode.users."""
        principal.require(Role.ADMIN, "listing users")
        return [(user.name, user.role) for user in self._users]

    async def add(self, principal: Principal, name: str, role: Role, password: str) -> None:
        """INode.add_user."""
        self._check(principal, "adding a user")
        self._users.check_add(name, _role(role))
        check_password(password)
        kept = await self._work(lambda: scramble(password))
        async with self._managing:
            name = self._users.check_add(name, role)
            await self._change(name, lambda stamp: users.added(name, role, kept, stamp))
        self._say(principal, "added the user {user} with the role {role}", user=name, role=role.name.lower())

    async def remove(self, principal: Principal, name: str) -> None:
        """INode.remove_user."""
        self._check(principal, "removing a user")
        async with self._managing:
            user = self._users.check_loss(name, "removed")
            await self._change(user.name, lambda stamp: users.removed(user.name, stamp))
        self._say(principal, "removed the user {user}", user=user.name)

    async def set_role(self, principal: Principal, name: str, role: Role) -> None:
        """INode.set_role."""
        self._check(principal, "changing a role")
        async with self._managing:
            keeps = _role(role) is Role.ADMIN
            user = self._users.known(name) if keeps else self._users.check_loss(name, "demoted")
            await self._change(user.name, lambda stamp: users.with_role(user.name, role, stamp))
        self._say(principal, "gave the user {user} the role {role}", user=user.name, role=role.name.lower())

    async def set_password(self, principal: Principal, name: str, password: str) -> Principal:
        """INode.set_password."""
        own = self._users.find(name)
        if not principal.login or own is None or own.name != principal.name:
            self._check(principal, "changing another user's password")
        elif self._core.read_only:
            raise ReadOnly(self._core.read_only)
        user = self._users.known(name)
        check_password(password)
        kept = await self._work(lambda: scramble(password))
        async with self._managing:
            self._users.known(user.name)
            await self._change(user.name, lambda stamp: users.with_password(user.name, kept, stamp))
        self._say(principal, "changed the password of {user}", user=user.name)
        return self._users.known(user.name).principal

    def _check(self, principal: Principal, what: str) -> None:
        principal.require(Role.ADMIN, what)
        if self._core.read_only:
            raise ReadOnly(self._core.read_only)

    async def _change(self, name: str, make: Callable[[Stamp], Record]) -> None:
        await self._core.change(Ref(users.KIND, name), lambda _present, stamp: [make(stamp)])

    def _say(self, principal: Principal, what: str, **facts: object) -> None:
        self.log.info(f"{{who}} {what}", who=principal.name, **facts)


def _role(role: Role) -> Role:
    if role is Role.NONE:
        raise BadRequest(f"a user has a role: {', '.join(users.ROLES)}")
    return role


def _wrong() -> Forbidden:
    # The same words whether there is such a user or not.
    return Forbidden("the name and the password do not go together")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
