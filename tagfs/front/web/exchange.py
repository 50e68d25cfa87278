"""One request, as those see it who answer it. Layer: front."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define
from twisted.logger import Logger

from tagfs.errors import BadRequest, TooLarge
from tagfs.front.web.body import Body
from tagfs.front.web.door import Door
from tagfs.front.web.parameters import NO_PARAMETERS, Parameters, read_object
from tagfs.front.web.reply import JSON, Refused
from tagfs.front.web.sessions import Session
from tagfs.model.principal import NOBODY, Principal
from tagfs.node.interfaces import INode

_log = Logger(namespace="tagfs.web")


@define(eq=False)
class Exchange:
    """A request that has passed all checks of HTTP, site and route.

    ``target`` is its path and query as they came; ``query`` is set before it is answered; ``values`` are those of the route's
    placeholders; ``header`` gives a header's text (several of one name joined by a comma), or None; ``peer`` names the client for
    the log; ``secure`` tells whether it came under TLS; ``session`` is set where a browser's cookie told who asks.
    """

    door: Door
    method: str
    target: str
    values: Mapping[str, str]
    header: Callable[[str], str | None]
    body: Body
    principal: Principal
    peer: str
    secure: bool
    session: Session | None = None
    query: Parameters = NO_PARAMETERS

    @property
    def node(self) -> INode:
        """The node that answers."""
        return self.door.node

    @property
    def media_type(self) -> str:
        """The body's type without its parameters, in lower case; empty where none is given."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def current(self) -> Principal:
        """Who asks, for answers that last: nobody, once the session or the right to it has ended."""
        if self.session is not None and not self.door.sessions.lasts(self.session):
            return NOBODY
        return self.node.current(self.principal)

    async def json(self, **members: type) -> dict[str, object]:
        """The body as a JSON object (see :func:`~tagfs.front.web.parameters.read_object`)."""
        if self.media_type != JSON:
            raise Refused(415, f"the body must be {JSON}, not {self.media_type[:80] or 'of no type'}", ("Accept", JSON))
        return read_object(await self.whole(self.door.limits.document), members)

    async def whole(self, limit: int) -> bytes:
        """The body in one piece. Raises TooLarge over ``limit`` bytes."""
        if (self.body.length or 0) > limit:
            raise TooLarge(f"the body has {self.body.length} bytes; at most {limit} are taken here")
        pieces = []
        size = 0
        while data := await self.body.read():
            pieces.append(data)
            size += len(data)
            if size > limit:
                raise TooLarge(f"the body has more than the {limit} bytes that are taken here")
        return b"".join(pieces)

    def changed(self, what: str, **facts: object) -> None:
        """One line in the log for a change that the node itself does not log."""
        told = " ".join(f"{name}={value!r}" for name, value in facts.items())
        _log.info("{who} from {peer}: {what} {told}", who=self.principal.name, peer=self.peer, what=what, told=told)


def text_member(document: Mapping[str, object], name: str) -> str:
    """A text that a JSON object must have."""
    value = document.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"{name} is missing")
    return value


def list_member(document: Mapping[str, object], name: str) -> list[str]:
    """A list of texts that a JSON object may have."""
    value = document.get(name, [])
    assert isinstance(value, list)
    return value
