"""/api/v1/session: who am I, log in, log out; and the log-in page's way to it. Layer: front."""

from __future__ import annotations

from tagfs.errors import BadRequest
from tagfs.front.web.exchange import Exchange, text_member
from tagfs.front.web.login import MOST, who_asks
from tagfs.front.web.reply import Reply, document
from tagfs.front.web.routes import Route
from tagfs.front.web.sessions import Session
from tagfs.model.principal import Principal

PATH = "/api/v1/session"


async def show(exchange: Exchange) -> Reply:
    """Who asks, and what that one may do; answered to everybody."""
    principal, session = exchange.principal, exchange.session
    if exchange.header("authorization") is not None:
        door = exchange.door
        principal, _ = await who_asks(door.node, door.sessions, "GET", exchange.header, exchange.peer, public=False)
    return document(_value(exchange, principal, session))


async def begin(exchange: Exchange) -> Reply:
    """Logs in by name and password, and gives the browser a cookie. Guesses are slowed down by the node."""
    asked = await exchange.json(name=str, password=str)
    name, password = text_member(asked, "name"), text_member(asked, "password")
    if max(len(name), len(password)) > MOST:
        raise BadRequest(f"a name or a password has at most {MOST} characters")
    principal = await exchange.node.login(name, password, exchange.peer)
    sessions = exchange.door.sessions
    if exchange.session is not None:
        sessions.end(exchange.session)
    if not principal.login:  # without users, and for "anonymous", there is nothing to remember
        return document(_value(exchange, principal, None))
    session, value = sessions.begin(principal)
    exchange.principal = principal
    exchange.changed("logged in")
    cookie = sessions.cookie(value, exchange.secure)
    return document(_value(exchange, principal, session), headers=[("Set-Cookie", cookie)])


async def end(exchange: Exchange) -> Reply:
    """Logs out: the session ends here, and the browser forgets its cookie. Harmless without one."""
    if exchange.session is not None:
        exchange.door.sessions.end(exchange.session)
        exchange.changed("logged out")
    return Reply(204, headers=[("Set-Cookie", exchange.door.sessions.cookie("", exchange.secure))])


def _value(exchange: Exchange, principal: Principal, session: Session | None) -> dict[str, object]:
    return {
        "name": principal.name if principal.login else None,
        "role": principal.role.name.lower(),
        "csrf": None if session is None else session.token,
        "users": exchange.node.has_users,
    }


ROUTES = (
    Route("GET", PATH, show, public=True),
    Route("POST", PATH, begin, public=True),
    Route("DELETE", PATH, end),
)
