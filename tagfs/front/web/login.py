"""Who asks: HTTP's Basic scheme (RFC 7617), proved by the node. Layer: front."""

from __future__ import annotations

from base64 import b64decode

from tagfs.errors import BadRequest, Forbidden
from tagfs.front.web.reply import Refused
from tagfs.model.principal import Principal, Role
from tagfs.node.interfaces import INode

CHALLENGE = ("WWW-Authenticate", 'Basic realm="tagfs", charset="UTF-8"')
"""Browsers ask their user for name and password when they see it."""
MOST = 4096
"""Characters of an Authorization header that are looked at."""


def login_wanted(why: str) -> Refused:
    """401, which makes a browser ask for a name and a password."""
    return Refused(401, why, CHALLENGE)


async def who_asks(node: INode, authorization: str | None, peer: str, public: bool) -> Principal:
    """The principal of a request. Where there are no users, credentials mean nothing and are not looked at.

    Raises Refused (401) where they are wrong, or missing where nothing goes without; ``public`` things do.
    """
    anonymous = node.anonymous()
    if public or not node.has_users:
        return anonymous
    if authorization is None:
        if anonymous.role is Role.NONE:
            raise login_wanted("log in with the name and the password of a user of this node")
        return anonymous
    name, password = read_basic(authorization)
    try:
        return await node.login(name, password, peer)
    except Forbidden as error:
        raise login_wanted(str(error)) from None


def read_basic(authorization: str) -> tuple[str, str]:
    """Name and password of ``Basic <base64 of name:password>``. Raises Refused for anything else."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic" or len(authorization) > MOST:
        raise login_wanted("the scheme of Authorization must be Basic")
    try:
        text = b64decode(credentials.strip(), validate=True).decode("utf-8", "surrogateescape")
    except ValueError:
        raise BadRequest("the credentials of Authorization are no base64") from None
    name, colon, password = text.partition(":")
    if not colon:
        raise BadRequest("the credentials of Authorization are name:password")
    return name, password
