"""Who asks: HTTP's Basic scheme (RFC 7617) for programs, the cookie of a session for browsers. Layer: front."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from urllib.parse import quote

from tagfs.errors import BadRequest, Forbidden
from tagfs.front.web.guard import SAFE_METHODS
from tagfs.front.web.reply import Refused
from tagfs.front.web.sessions import Session, Sessions
from tagfs.model.principal import Principal, Role
from tagfs.node.interfaces import INode

PAGE = "/login"
TOKEN = "X-CSRF-Token"
"""The header that proves that a change comes from the page, not just from its browser."""
BASIC = ("WWW-Authenticate", 'Basic realm="tagfs", charset="UTF-8"')
BY_PAGE = ("WWW-Authenticate", 'Session realm="tagfs"')
"""The challenge to a browser: at the Basic one, it would ask its user in a window of its own."""
MOST = 4096
"""Characters of an Authorization header that are looked at, and of a name or a password."""

Headers = Callable[[str], str | None]


def login_wanted(why: str, method: str, target: str, header: Headers) -> Refused:
    """What is said to who did not log in: a browser that wants to show something goes to the log-in page, else it is 401."""
    mode = header("sec-fetch-mode")
    shows = header("authorization") is None and (
        mode == "navigate" or (mode is None and "text/html" in (header("accept") or ""))
    )
    if shows and method in SAFE_METHODS:
        return Refused(303, why, ("Location", f"{PAGE}?next={quote(target, safe='/')}"))
    return Refused(401, why, BASIC if mode is None else BY_PAGE)


async def who_asks(
    node: INode, sessions: Sessions, method: str, header: Headers, peer: str, public: bool
) -> tuple[Principal, Session | None]:
    """The principal of a request, and the session that proves it, if one does. Without users, credentials mean nothing and are
    not looked at.

    Raises Forbidden where they are wrong, or missing where nothing goes without; ``public`` things do. Raises Refused (403)
    for a change of a session without its token.
    """
    anonymous = node.anonymous()
    if not node.has_users:
        return anonymous, None
    authorization = header("authorization")
    if authorization is not None and not public:
        return await node.login(*read_basic(authorization), peer), None
    session = sessions.find(header("cookie"))
    if session is not None:
        if method not in SAFE_METHODS and not public and not session.proves(header(TOKEN)):
            raise Refused(403, f"a change by a browser needs the header {TOKEN}, with the csrf of /api/v1/session")
        return session.principal, session
    if anonymous.role is Role.NONE and not public:
        raise Forbidden("log in with the name and the password of a user of this node")
    return anonymous, None


def read_basic(authorization: str) -> tuple[str, str]:
    """Name and password of ``Basic <base64 of name:password>``. Raises Forbidden for another scheme, BadRequest for what is malformed."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic" or len(authorization) > MOST:
        raise Forbidden("the scheme of Authorization must be Basic")
    try:
        text = b64decode(credentials.strip(), validate=True).decode("utf-8", "surrogateescape")
    except ValueError:
        raise BadRequest("the credentials of Authorization are no base64") from None
    name, colon, password = text.partition(":")
    if not colon:
        raise BadRequest("the credentials of Authorization are name:password")
    return name, password
