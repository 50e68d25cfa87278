"""The web endpoint in Twisted: connections in, requests to their answers, an orderly end. Layer: front."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from email.utils import formatdate

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolNegotiationFactory, IReactorTime
from twisted.internet.protocol import Factory
from twisted.web.http import Request
from zope.interface import implementer

from tagfs.front.tally import Tally
from tagfs.front.web.answers import Answers
from tagfs.front.web.api import ROUTES
from tagfs.front.web.channel import Channel
from tagfs.front.web.door import DOOR, Door
from tagfs.front.web.feed import Feed
from tagfs.front.web.limits import Limits
from tagfs.front.web.metrics import Metrics
from tagfs.front.web.routes import Routes
from tagfs.front.web.sessions import Sessions
from tagfs.front.web.thumbnails import Studio
from tagfs.node.interfaces import INode

GRACE_S = 2.0
"""How long answers may take to end when the node stops; twistd gives all of it five seconds."""


@implementer(IProtocolNegotiationFactory)
class WebFactory(Factory):
    """HTTP/1.1 on one listener. There is no access log: it costs a third of the throughput, and /metrics counts."""

    noisy = False

    def __init__(
        self,
        node: INode,
        clock: IReactorTime,
        *,
        names: Iterable[str] = (),
        limits: Limits | None = None,
        tally: Tally | None = None,
    ) -> None:
        """Listens to nothing by itself.

        :param node: what all requests ask.
        :param clock: for time limits; the reactor, or a ``task.Clock`` in tests.
        :param names: host names, besides the listener's own address and loopback, by which browsers may ask.
        :param tally: what the other doors count, too, so that /metrics tells of all of them.
        """
        tally = tally or Tally()
        lowered = frozenset(name.lower().rstrip(".") for name in names)
        self.door = Door(
            node,
            clock,
            Routes(ROUTES),
            tally,
            Metrics(node, tally),
            Studio(clock),
            Feed(node, clock),
            Sessions(node, clock),
            Answers(node, clock),
            limits or Limits(),
            lowered,
        )
        self.closing = False
        self._channels: set[Channel] = set()
        self._date = (0, "")
        self._hosts: Counter[str] = Counter()
        self._emptied: Deferred[None] | None = None
        self._sweeping: IDelayedCall | None = None

    def buildProtocol(self, addr: IAddress | None) -> Channel:  # type: ignore[override]
        """Twisted: somebody connects."""
        channel = Channel()  # type: ignore[no-untyped-call]
        channel.factory = self
        channel.callLater = self.door.clock.callLater  # type: ignore[method-assign, assignment]
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """Twisted, under TLS: a client that offers HTTP/2 as well is told which one it gets, rather than cut off (RFC 7301)."""
        return [b"http/1.1"]

    def date(self) -> str:
        """The time of day for answers (RFC 9110 section 6.6.1), made once a second."""
        second = int(time.time())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    def log(self, request: Request) -> None:
        """Twisted: a request is finished; it has been counted."""

    def enter(self, channel: Channel, host: str) -> bool:
        """Counts a connection in; False where there are too many. :meth:`leave` follows in either case."""
        self._channels.add(channel)
        self._hosts[host] += 1
        self.door.tally.connections[DOOR] += 1
        if self._sweeping is None:
            self._sweeping = self.door.clock.callLater(self.door.limits.sweep_s, self._sweep)
        limits = self.door.limits
        full = len(self._channels) > limits.connections or self._hosts[host] > limits.connections_per_host
        return not full and not self.closing

    def leave(self, channel: Channel, host: str) -> None:
        """Counts a connection out."""
        if channel not in self._channels:
            return
        self._channels.discard(channel)
        self.door.tally.connections[DOOR] -= 1
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
        if self._channels:
            return
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        if self._emptied is not None and not self._emptied.called:
            self._emptied.callback(None)

    def _sweep(self) -> None:
        self._sweeping = self.door.clock.callLater(self.door.limits.sweep_s, self._sweep)
        now_s = self.door.clock.seconds()
        for channel in list(self._channels):
            channel.check_time(now_s)

    async def close(self) -> None:
        """Ends all connections: idle ones at once, the others after their answer, and after :data:`GRACE_S` by force."""
        self.closing = True
        self.door.feed.close()
        await self._end_connections()
        self.door.studio.close()

    async def _end_connections(self) -> None:
        if not self._channels:
            return
        if self._emptied is None:
            self._emptied = Deferred()
        for channel in list(self._channels):
            channel.shut_down()
        if self._channels:
            cut_off = self.door.clock.callLater(GRACE_S, self._cut_off)
            await self._emptied
            if cut_off.active():
                cut_off.cancel()

    def _cut_off(self) -> None:
        for channel in list(self._channels):
            channel.cut_off()
