"""One request in Twisted Web: its checks, its way to whoever answers it, and the answer's way out. Layer: front.

Twisted stores a body away before it hands a request over. Here the answer is worked out from the moment the headers are
there (:meth:`WebRequest.gotLength`), and reads the body from the socket as it comes. Two rules of the channel must then be
kept: a request is finished only after its body came to its end, and a body that nobody wants must not keep the client busy
for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from tagfs.errors import BadRequest, Forbidden, TagfsError
from tagfs.front.steps import begin
from tagfs.front.web import guard
from tagfs.front.web.answers import answer, answer_kept
from tagfs.front.web.body import Body, Cut, SpooledBody
from tagfs.front.web.door import DOOR
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.login import login_wanted, who_asks
from tagfs.front.web.outflow import Outflow
from tagfs.front.web.reply import STRICT, Refused, Reply, pack, problem, problem_of
from tagfs.front.web.routes import Route

if TYPE_CHECKING:
    from tagfs.front.web.channel import Channel


_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_STRICT = "\r\n".join(f"{name}: {value}" for name, value in STRICT)


class _Spent:
    """Stands where Twisted expects the stored body; it has gone elsewhere."""

    def __init__(self, body: Body) -> None:
        self.write = body.feed

    def tell(self) -> int:
        return 0

    def seek(self, offset: int, whence: int = 0) -> None: ...

    def read(self, size: int = -1) -> bytes:
        return b""

    def close(self) -> None: ...


class WebRequest(http.Request):
    """A request to the web endpoint."""

    channel: Channel
    log = Logger()
    _outflow: Outflow | None = None
    _reply: Reply | None = None
    _begun = False
    _replying = False
    _sent = False
    endless = False
    """Whether the answer that is going out has no end by itself."""
    _route = ""
    _started_s = 0.0

    def __init__(self, channel: Any, *args: object, **kwargs: object) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self._body = Body(0)

    # What the channel calls

    def parseCookies(self) -> None:
        """Twisted: the headers are there. Cookies are read by who asks for them."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Twisted: the request is whole. Arguments and forms are read elsewhere, and only where they are wanted."""
        if self.content is not None:
            self.content.seek(0, 0)
        self.method, self.uri, self.clientproto = command, path, version
        self.process()

    def gotLength(self, length: int | None) -> None:
        """Twisted: the headers are there, ``length`` bytes of body follow (None: chunked)."""
        self._started_s = self.channel.factory.door.clock.seconds()
        command, target = getattr(self.channel, "_command", None), getattr(self.channel, "_path", None)
        version = getattr(self.channel, "_version", None)
        if length == 0 or command is None or target is None or version is None:
            # Nothing to stream, or a Twisted that keeps these private names elsewhere: it spools the body.
            super().gotLength(length)  # type: ignore[no-untyped-call]
            return
        transport: Any = self.channel.transport
        expected = self.requestHeaders.getRawHeaders(b"expect")
        self.requestHeaders.removeHeader(b"expect")  # Twisted would say 100 though the answer may be a refusal
        waits = expected is not None and version == b"HTTP/1.1"
        invite = (lambda: transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")) if waits else None
        self._body = Body(length, transport.pauseProducing, self._resume, invite, self.channel.tap_body)
        self.content = _Spent(self._body)
        self.method, self.uri, self.clientproto = command, target, version
        self._begin(expected)

    def process(self) -> None:
        """Twisted: the request is whole."""
        self.channel.answering()
        if not self._begun:
            if self.content is not None:
                self._body = SpooledBody(self.content)
            self._begin(None)
            return
        self._body.end()
        if self._sent:
            self._finish()
        elif self._reply is not None:
            self._send()

    def connectionLost(self, reason: Failure) -> None:
        """Twisted: the client is gone."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.cut()
        if self._outflow is not None:
            self._outflow.cut()
        reply, self._reply = self._reply, None
        if reply is not None and not self._replying:
            reply.abandon()

    def cut(self) -> None:
        """The body will not come to its end."""
        self._body.cut()

    def _resume(self) -> None:
        if self.channel is not None:
            self.channel.body_moves()
            self.channel.transport.resumeProducing()

    @property
    def held_back(self) -> bool:
        """Whether it is this node, not the client, that the rest of the body waits for."""
        return self._body.paused

    # From request to answer

    def _begin(self, expected: Sequence[bytes] | None) -> None:
        self._begun = True
        if self.channel.is_over_its_turn():
            self.channel.factory.door.clock.callLater(0, self._begin_now, expected)
        else:
            self._begin_now(expected)

    def _begin_now(self, expected: Sequence[bytes] | None) -> None:
        if not self._disconnected:
            begin(self._answer_always(expected))

    async def _answer_always(self, expected: Sequence[bytes] | None) -> None:
        try:
            await self._answer(expected)
        except Exception:  # noqa: BLE001 - it is told, and the client sees the connection end
            self._bug(Failure())

    def _bug(self, failure: Failure) -> None:
        self.log.failure("a request could not be answered", failure)
        self._abort()

    async def _answer(self, expected: Sequence[bytes] | None) -> None:
        door = self.channel.factory.door
        known = False  # whether somebody in particular asks, so that what is forbidden stays so
        try:
            route, exchange = self._admit(expected)
            exchange.principal, exchange.session = await who_asks(
                door.node, door.sessions, exchange.method, self._header, exchange.peer, route.public
            )
            told = exchange.session is not None or self._header("authorization") is not None
            known = told and not route.public
            if route.lasting:
                reply = await answer_kept(exchange, route)
            else:
                reply = await answer(exchange, route)
        except Refused as refused:
            reply = refused.reply
        except Forbidden as error:
            reply = problem_of(error) if known or not door.node.has_users else self._ask_for_login(error)
        except TagfsError as error:
            reply = problem_of(error)
        except Cut:
            return
        except Exception:  # noqa: BLE001 - one request's bug must not take others down
            number = next(door.faults)
            self.log.failure("internal error #{number} at {route}", number=number, route=self._route or "?")
            reply = problem(500, f"internal error (logged as #{number})", "internal")
        self._deliver(reply)

    def _admit(self, expected: Sequence[bytes] | None) -> tuple[Route, Exchange]:
        """The route and what its answer needs. Raises Refused or BadRequest for all that HTTP or the site forbid."""
        door = self.channel.factory.door
        coding = self._header("transfer-encoding")
        if coding is not None and (coding.lower() != "chunked" or self._header("content-length") is not None):
            self.channel.persistent = 0
            raise BadRequest("the only Transfer-Encoding is chunked, and there is no Content-Length beside it")
        if expected is not None and [value.lower() for value in expected] != [b"100-continue"]:
            raise Refused(417, "the only expectation that is known is 100-continue")
        try:
            method = self.method.decode("ascii")
            target = self.uri.decode("ascii")
        except UnicodeDecodeError:
            raise BadRequest("a request line has ASCII letters only; others are percent-encoded") from None
        authority, path, query = self._target(target)
        self._check_site(method, authority)
        route, values = door.routes.find(method, _segments(path))
        self._route = route.path
        return route, Exchange(
            door,
            method,
            f"{path}?{query}",
            values,
            self._header,
            self._body,
            door.node.anonymous(),
            str(getattr(self.client, "host", "")),
            self.channel.secure,
        )

    def _ask_for_login(self, error: Forbidden) -> Reply:
        method, target = self.method.decode("latin-1"), self.uri.decode("latin-1")
        return login_wanted(str(error), method, target, self._header).reply

    def _target(self, target: str) -> tuple[str, str, str]:
        """Authority, path and query of the request (RFC 9112 section 3.2); that of an absolute target replaces Host."""
        hosts = self.requestHeaders.getRawHeaders(b"host") or []
        if len(hosts) > 1 or (not hosts and self.clientproto == b"HTTP/1.1"):
            self.channel.persistent = 0  # whoever wrote this may not agree with us on where requests end
            raise BadRequest("a request has exactly one Host")
        authority = hosts[0].decode("latin-1").strip() if hosts else ""
        scheme, slashes, rest = target.partition("://")
        if slashes and scheme.lower() in ("http", "https"):
            authority, _, rest = rest.partition("/")
            target = f"/{rest}"
        path, _, query = target.partition("?")
        if not path.startswith("/") and target != "*":
            self.channel.persistent = 0
            raise BadRequest("the target of a request begins with /")
        return authority, path, query

    def _check_site(self, method: str, authority: str) -> None:
        """Raises Refused for what another site may have made a browser send."""
        door = self.channel.factory.door
        local = str(getattr(self.host, "host", "127.0.0.1"))
        told = authority or self.clientproto == b"HTTP/1.1"
        if told and not guard.is_own_authority(authority, local, door.names):
            raise Refused(421, f"{authority[:80]!r} is no name of this node; the setting web_names can add it")
        if method not in guard.SAFE_METHODS:
            foreign = guard.foreign_origin(self._header("origin"), self._header("sec-fetch-site"), authority)
            if foreign:
                raise Refused(403, foreign)
        coding = self._header("content-encoding")
        if coding is not None and coding.strip().lower() not in ("", "identity"):
            raise Refused(
                415, "bodies are taken as they are, without Content-Encoding", ("Accept-Encoding", "identity")
            )

    def _header(self, name: str) -> str | None:
        values = self.requestHeaders.getRawHeaders(name.encode())
        if not values:
            return None
        return b", ".join(values).decode("utf-8", "replace")

    # From answer to socket

    def _deliver(self, reply: Reply) -> None:
        """Sends an answer, at once or after the rest of the body."""
        if self._disconnected:
            reply.abandon()
            return
        self._reply = reply
        if self._body.complete:
            self._send()
            return
        self._body.drop()
        missing = self._body.missing
        if self._body.waits:
            self._close_after(linger=False)
        elif missing is None or missing > self.channel.factory.door.limits.drop:
            self._close_after(linger=True)
        # else the little that is still to come is dropped, and process() sends the answer

    def _close_after(self, *, linger: bool) -> None:
        """Sends the answer though the body is not at its end; this is then the connection's last."""
        self.channel.persistent = 0
        self._send()
        self.channel.close_soon(linger)

    def _send(self) -> None:
        reply, self._reply = self._reply, None
        assert reply is not None
        self._replying = True
        self.endless = reply.endless
        pack(reply, self._header("accept-encoding"))
        head = self._head(reply)
        if reply.stream is None or self.method == b"HEAD":
            reply.abandon()
            bare = self.method == b"HEAD" or reply.status in http.NO_BODY_CODES
            self.channel.write(head if bare else head + reply.body)
            self._done()
            return
        self.channel.write(head)
        self._outflow = Outflow(self)
        Deferred.fromCoroutine(reply.stream(self._outflow)).addCallbacks(self._streamed, self._broken).addErrback(
            self._bug
        )

    def _head(self, reply: Reply) -> bytes:
        """Status line and headers. Made here rather than by Twisted, which asks each header's name and value again and again
        whether they are ones."""
        status, channel = reply.status, self.channel
        self.setResponseCode(status, _PHRASES[status])
        lines = [
            f"{self.clientproto.decode()} {status} {_PHRASES[status].decode()}",
            f"Date: {channel.factory.date()}",
            _STRICT,
            f"Content-Security-Policy: {reply.policy}",
            f"Cache-Control: {reply.cache}",
            *(f"{name}: {value}" for name, value in reply.headers),
        ]
        if reply.type:
            lines.append(f"Content-Type: {reply.type}")
        if status not in http.NO_BODY_CODES:
            if not reply.endless:
                lines.append(f"Content-Length: {len(reply.body) if reply.length is None else reply.length}")
            elif self.clientproto == b"HTTP/1.1" and self.method != b"HEAD":
                lines.append("Transfer-Encoding: chunked")
                self.chunked = 1
        if not channel.persistent:
            lines.append("Connection: close")
        head = "\r\n".join(lines)
        # A value with a line end in it would begin another header, or the body; whoever makes one lets nothing like that in.
        assert head.count("\n") == head.count("\r") == len(lines) - 1 + len(STRICT) - 1, "a header has a line end in it"
        self.startedWriting = 1
        return f"{head}\r\n\r\n".encode()

    def _streamed(self, _: None) -> None:
        if not self._disconnected:
            self.unregisterProducer()  # type: ignore[no-untyped-call]
            self._done()

    def _broken(self, failure: Failure) -> None:
        """The status is out already: only a cut tells the client that what it has is not whole."""
        if not failure.check(Cut):
            self.log.failure("an answer broke off at {route}", failure, route=self._route)
        self._abort()

    def _abort(self) -> None:
        if self.channel is not None and not self._disconnected:
            self.channel.transport.abortConnection()

    def _done(self) -> None:
        self._sent = True
        door = self.channel.factory.door
        command = f"{_method_label(self.method)} {self._route}" if self._route else "none"
        door.tally.count(DOOR, command, self.code, door.clock.seconds() - self._started_s)
        if self._body.complete:
            self._finish()

    def _finish(self) -> None:
        if not self.finished and not self._disconnected:
            self.finish()  # type: ignore[no-untyped-call]


def _segments(path: str) -> tuple[str, ...]:
    """The decoded segments of a path."""
    if "%" not in path:
        return tuple(path.split("/"))
    try:
        return tuple(unquote_to_bytes(part).decode() for part in path.split("/"))
    except UnicodeDecodeError:
        raise BadRequest("the path is not UTF-8") from None


_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})


def _method_label(method: bytes) -> str:
    return method.decode() if method in _METHODS else "other"
