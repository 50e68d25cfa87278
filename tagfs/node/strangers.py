"""The door for other nodes, as far as a stranger gets: greeting, HELP, PING, INFO. Layer: node.

docs/protocols/node.md says what is answered. Nothing here tells anything about files, and nothing changes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from secrets import token_hex

from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolFactory, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs import __version__
from tagfs.node.identity import Identity
from tagfs.wire.framing import Framing, Line, TooLong
from tagfs.wire.node_lines import (
    BY_HAND,
    STRANGER_LINE_LIMIT,
    VERSION,
    BadLine,
    Request,
    encode_line,
    encode_text,
    parse_request,
)

SILENCE_S = 30.0
"""Seconds after which a stranger that says nothing, or reads nothing, is cut off."""
UNREAD_LIMIT = 1 << 16
"""Bytes of requests that are answered while earlier answers were not taken."""
CONNECTIONS, CONNECTIONS_PER_HOST = 256, 32
VERBS = {
    "HELP": "this list",
    "PING": "answers OK",
    "INFO": "version, name and uptime of this node",
    "QUIT": "ends the connection",
}
MEMBERS_ONLY = frozenset({"AUTH", "JOIN", "LEAVE", "MEMBERS"})
"""Verbs that need proof of the cluster's key."""


@implementer(IPushProducer)
class StrangerProtocol(Protocol):
    """One connection of somebody who has proved nothing."""

    factory: StrangerFactory

    def __init__(self) -> None:
        self._framing = Framing(STRANGER_LINE_LIMIT, telnet=False)
        self._silence: IDelayedCall | None = None
        self._host = ""
        self._full = False
        self._unread = 0

    def connectionMade(self) -> None:
        """Greets, or ends a connection too many without a word."""
        assert self.transport is not None
        self._host = getattr(self.transport.getPeer(), "host", "")
        if not self.factory.enter(self, self._host):
            self.transport.abortConnection()  # type: ignore[attr-defined]
            return
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]
        self._silence = self.factory.clock.callLater(SILENCE_S, self.cut_off)
        self.transport.write(self.factory.greeting())

    def dataReceived(self, data: bytes) -> None:
        """Answers each line as it comes; who asks on and on and does not take the answers is cut off."""
        if self._full:
            self._unread += len(data)
            if self._unread > UNREAD_LIMIT:
                self.cut_off()
                return
        if self._silence is not None:
            self._silence.reset(SILENCE_S)
        self._framing.feed(data)
        answers = []
        while (event := self._framing.next()) is not None:
            if isinstance(event, Line):
                answer, go_on = self.factory.answer(event.text)
                answers.append(answer)
                if not go_on:
                    self._say(answers)
                    self._framing.clear()
                    self._hang_up()
                    return
            elif isinstance(event, TooLong):
                answers.append(encode_text(BY_HAND, "BAD", f"a line has at most {STRANGER_LINE_LIMIT} bytes"))
        self._say(answers)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        self.factory.leave(self, self._host)

    def cut_off(self) -> None:
        """Ends the connection at once."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def pauseProducing(self) -> None:
        """Twisted: the peer does not take its answers. Reading must go on: TLS says this, too, while it shakes hands."""
        self._full = True

    def resumeProducing(self) -> None:
        """Twisted: the peer took its answers."""
        self._full = False
        self._unread = 0

    def stopProducing(self) -> None:
        """Twisted: connectionLost follows."""

    def _hang_up(self) -> None:
        assert self.transport is not None
        self.transport.unregisterProducer()  # type: ignore[attr-defined]
        self.transport.loseConnection()

    def _say(self, answers: list[bytes]) -> None:
        if answers and self.transport is not None:
            self.transport.write(b"".join(answers))


class StrangerFactory(Factory):
    """What a node that is alone says to whoever connects to its node door."""

    noisy = False
    log = Logger()

    def __init__(self, node_id: str, name: str, clock: IReactorTime) -> None:
        self.clock = clock
        self._node_id = node_id
        self._name = name
        self._begun_s = clock.seconds()
        self._protocols: set[StrangerProtocol] = set()
        self._hosts: Counter[str] = Counter()
        self._emptied: Deferred[None] | None = None
        self._verbs: dict[str, Callable[[Request], bytes]] = {
            "HELP": self._help,
            "PING": lambda request: encode_line(request.tag, "OK"),
            "INFO": self._info,
            "QUIT": lambda request: encode_line(request.tag, "OK"),
        }

    def buildProtocol(self, addr: IAddress | None) -> StrangerProtocol:  # type: ignore[override]
        """Twisted: somebody connects."""
        protocol = StrangerProtocol()
        protocol.factory = self
        return protocol

    def greeting(self) -> bytes:
        """The first line of a connection, with a nonce of its own."""
        return encode_line(
            "TAGFS", str(VERSION), node=self._node_id, name=self._name, cluster="-", nonce=token_hex(16), caps=""
        )

    def answer(self, line: bytes) -> tuple[bytes, bool]:
        """What to say to a line, and whether the connection goes on."""
        try:
            request = parse_request(line)
        except BadLine as bad:
            return encode_text(bad.tag, "BAD", str(bad)), True
        if request.body is not None:
            return encode_text(request.tag, "BAD", f"{request.verb} has no body; closing"), False
        run = self._verbs.get(request.verb)
        if run is not None:
            return run(request), request.verb != "QUIT"
        if request.verb in MEMBERS_ONLY:
            return encode_text(request.tag, "NO", "alone this node has no cluster key"), True
        return encode_text(request.tag, "BAD", f"unknown verb {request.verb}; HELP lists the verbs"), True

    def enter(self, protocol: StrangerProtocol, host: str) -> bool:
        """Counts a connection in; whether it may stay. :meth:`leave` follows in either case."""
        self._protocols.add(protocol)
        self._hosts[host] += 1
        allowed = len(self._protocols) <= CONNECTIONS and self._hosts[host] <= CONNECTIONS_PER_HOST
        return allowed and self._emptied is None

    def leave(self, protocol: StrangerProtocol, host: str) -> None:
        """Counts a connection out."""
        if protocol not in self._protocols:
            return
        self._protocols.discard(protocol)
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
        if not self._protocols and self._emptied is not None and not self._emptied.called:
            self._emptied.callback(None)

    async def close(self) -> None:
        """Cuts all connections off, and waits until they are gone."""
        self._emptied = self._emptied or Deferred()
        for protocol in list(self._protocols):
            protocol.cut_off()
        if self._protocols:
            await self._emptied

    def _help(self, request: Request) -> bytes:
        rows = [encode_text(request.tag, "ROW", f"{verb} {what}") for verb, what in VERBS.items()]
        return b"".join([*rows, encode_line(request.tag, "OK")])

    def _info(self, request: Request) -> bytes:
        uptime_s = int(self.clock.seconds() - self._begun_s)
        return encode_line(request.tag, "OK", version=__version__, name=self._name, uptime=uptime_s)


def with_tls(identity: Identity, factory: Factory) -> IProtocolFactory:
    """The same door under TLS 1.3 (RFC 8446), with the node's own certificate."""
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, identity.pem)
    key = crypto.load_privatekey(crypto.FILETYPE_PEM, identity.pem)
    options = CertificateOptions(key, certificate, raiseMinimumTo=TLSVersion.TLSv1_3)
    wrapped: IProtocolFactory = TLSMemoryBIOFactory(options, False, factory)
    return wrapped
