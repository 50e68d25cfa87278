"""Sessions of browsers: who logged in by the page, told again by a cookie. In memory only; layer: front.

The cookie holds 256 random bits and means nothing without this table; the table holds only a digest of them. A browser sends
cookies with whatever another site makes it ask for, so a change needs a second proof: the session's token, in a header that
only a script of this site can set.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections import OrderedDict
from hashlib import blake2b

from attrs import define
from twisted.internet.interfaces import IReactorTime

from tagfs.model.principal import Principal, Role
from tagfs.node.interfaces import INode

MOST = 10_000
"""Sessions in all; for one more, the one that was quiet for longest ends."""
MOST_OF_USER = 50
"""Sessions of one user, likewise."""
IDLE_S = 12 * 3600.0
"""A session that asks for nothing so long, in seconds, ends."""
LIFE_S = 7 * 86400.0
"""A session ends after so many seconds in any case."""
_BYTES = 32
_BETWEEN = re.compile("[;,]")


@define(eq=False)
class Session:
    """One browser that is logged in. ``token`` is what its changes must carry."""

    principal: Principal
    token: str
    began_s: float
    used_s: float
    mark: bytes

    def proves(self, token: str | None) -> bool:
        """Whether a request carries this session's token."""
        return token is not None and hmac.compare_digest(token.encode(), self.token.encode())


class Sessions:
    """All sessions of one listener, the one used last at the end."""

    def __init__(self, node: INode, clock: IReactorTime) -> None:
        self._node = node
        self._clock = clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        # Cookies know no ports: nodes of one host, and other programs there, must not take each other's.
        self.name = f"tagfs-{node.id[:12]}"

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, principal: Principal) -> tuple[Session, str]:
        """A session for who just logged in, and the value of its cookie."""
        value, now_s = secrets.token_urlsafe(_BYTES), self._clock.seconds()
        self._make_room(principal.name)
        mark = _mark(value)
        session = Session(principal, secrets.token_urlsafe(_BYTES), now_s, now_s, mark)
        self._sessions[mark] = session
        return session, value

    def find(self, cookies: str | None) -> Session | None:
        """The session that a Cookie header names, with the rights of now; None where there is none, or not any more: its time
        is over, the user was removed, or the password changed."""
        if cookies is None:
            return None
        for pair in _BETWEEN.split(cookies):
            name, _, value = pair.strip().partition("=")
            if name in (self.name, f"__Host-{self.name}"):
                session = self._sessions.get(_mark(value))
                if session is not None and self.lasts(session):
                    session.used_s = self._clock.seconds()
                    self._sessions.move_to_end(session.mark)
                    return session
        return None

    def lasts(self, session: Session) -> bool:
        """Whether a session is still one; ends it where its time is over, or its user's."""
        now_s = self._clock.seconds()
        session.principal = now = self._node.current(session.principal)
        if (
            now.role is Role.NONE
            or not now.login
            or now_s - session.used_s > IDLE_S
            or now_s - session.began_s > LIFE_S
        ):
            self.end(session)
        return session.mark in self._sessions

    def end(self, session: Session) -> None:
        """Logs out; harmless when repeated."""
        self._sessions.pop(session.mark, None)

    def cookie(self, value: str, secure: bool) -> str:
        """The Set-Cookie header (RFC 6265bis) for a session's value; an empty one makes the browser forget it."""
        name = f"__Host-{self.name}" if secure else self.name
        age_s = int(LIFE_S) if value else 0
        return f"{name}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def _make_room(self, user: str) -> None:
        for session in list(self._sessions.values()):
            self.lasts(session)
        own = [session for session in self._sessions.values() if session.principal.name == user]
        for session in own[: max(0, len(own) - MOST_OF_USER + 1)]:
            self.end(session)
        while len(self._sessions) >= MOST:
            self._sessions.popitem(last=False)


def _mark(value: str) -> bytes:
    return blake2b(value.encode("utf-8", "surrogateescape"), digest_size=32).digest()
