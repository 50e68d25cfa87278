"""Peers: the real IPeers, over TCP and TLS. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.errors import Unavailable, Unwelcome
from tagfs.node.identity import Identity
from tagfs.node.peers.asking import Outbound
from tagfs.node.peers.dialling import dial
from tagfs.node.peers.door import Door
from tagfs.node.peers.interfaces import ASK_S, STREAM, Caller, Greeting, IStreamingPeers, Service, Taker
from tagfs.node.peers.limits import DIAL_S, GREET_S
from tagfs.node.peers.link import Link
from tagfs.node.peers.stream import Stream
from tagfs.node.peers.tls import NodeTls
from tagfs.node.peers.trust import Own
from tagfs.wire.node_lines import VERSION
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call
from tagfs.wire.node_proof import proof_key


def nowhere() -> str:
    """No cluster yet, or no address to be reached at."""
    return ""


def everybody(caller: Caller) -> Unwelcome | None:
    """Whoever has the key is welcome."""
    return None


@implementer(IStreamingPeers)
class Peers:
    """``key`` are the bytes of the cluster's key, None for a node that is alone; ``address`` and ``cluster`` are asked whenever this
    node introduces itself; ``admit`` says at each introduction why that node is not welcome, or None. ``door`` is the
    factory to listen with."""

    def __init__(
        self,
        reactor: Any,
        identity: Identity,
        name: str,
        key: bytes | None,
        *,
        boot: str,
        tls: bool = True,
        address: Callable[[], str] = nowhere,
        cluster: Callable[[], str] = nowhere,
        admit: Callable[[Caller], Unwelcome | None] = everybody,
        version: int = VERSION,
    ) -> None:
        self.id = identity.id
        secret = None if key is None else proof_key(key)
        self._own = Own(identity, name, boot, secret, tls, address, cluster, admit, version)
        self._reactor = reactor
        self._tls = NodeTls(identity) if tls else None
        self._door = Door(self._own, reactor, self._arrived)
        self.door: IProtocolFactory = self._door
        if self._tls is not None:
            self.door = self._tls.wrap(self._door, False, reactor)
        self._links: dict[str, Link] = {}
        self._streams: dict[Stream, str] = {}
        self._meetings: set[Deferred[Greeting]] = set()
        self._watchers: list[Callable[[str, bool], None]] = []
        self._closed = False

    def serve(self, verb: str, service: Service, by_hand: bool = False) -> None:
        """As in IPeers."""
        assert verb not in self._door.services
        self._door.services[verb] = service
        if by_hand:
            self._door.by_hand.add(verb)

    def ask(self, node: str, call: Call, timeout_s: float = ASK_S) -> Deferred[Answer]:
        """As in IPeers."""
        assert len(call.body) <= BODY_LIMIT
        link = self._links.get(node)
        if link is None:
            return fail(Unavailable(f"there is no connection to {node}"))
        return link.ask(call, timeout_s)

    def stream(self, node: str) -> Deferred[Stream]:
        """As in IStreamingPeers."""
        return Deferred.fromCoroutine(self._stream(node))

    def serve_streams(self, service: Service, taker: Taker) -> None:
        """As in IStreamingPeers."""
        self.serve(STREAM, service)
        self._door.taker = taker

    def meet(self, address: str, timeout_s: float = ASK_S) -> Deferred[Greeting]:
        """As in IPeers."""
        meeting = Deferred.fromCoroutine(self._meet(address, timeout_s))
        if not meeting.called:
            self._meetings.add(meeting)
        return meeting.addBoth(self._met, meeting)

    def keep(self, node: str, addresses: Sequence[str]) -> None:
        """As in IPeers."""
        assert node != self.id
        if not self._closed and self._own.key is not None:
            self._link(node).keep(addresses)

    def drop(self, node: str) -> None:
        """As in IPeers."""
        link = self._links.pop(node, None)
        if link is not None:
            link.stop()
        self._door.cut(node)
        self._cut_streams(node)

    def connected(self) -> Collection[str]:
        """As in IPeers."""
        return [node for node, link in self._links.items() if link.line is not None]

    def watch(self, changed: Callable[[str, bool], None]) -> None:
        """As in IPeers."""
        self._watchers.append(changed)

    async def close(self) -> None:
        """Ends all connections, dialled and taken, and waits until they are gone."""
        self._closed = True
        self._cut_streams()
        for meeting in list(self._meetings):
            meeting.cancel()
        links, self._links = self._links, {}
        going = [link.stop() for link in links.values()]
        await self._door.close()
        for gone in going:
            if gone is not None:
                await gone

    async def _stream(self, node: str) -> Stream:
        link = self._links.get(node)
        if link is None or link.line is None or self._closed:
            raise Unavailable(f"there is no connection to {node}")
        line = await self._dial(link.line.address, node)
        stream = await line.become_stream(GREET_S)
        self._streams[stream] = node
        line.ended.addCallback(lambda why: self._streams.pop(stream, None) and why)
        if self._closed or node not in self._links:
            stream.close()
            raise Unavailable(f"the connection to {node} is kept no longer")
        return stream

    async def _meet(self, address: str, timeout_s: float) -> Greeting:
        if self._own.key is None or self._closed:
            raise Unavailable("this node has no cluster key, or is stopping")
        line = await dial(self._reactor, self._own, self._tls, address, "", timeout_s)
        greeting = line.greeting
        if self._closed:
            line.give_up(Unavailable("this node is stopping"))
            raise Unavailable("this node is stopping")
        self._link(line.node).adopt(line)
        return greeting

    def _cut_streams(self, node: str = "") -> None:
        """Who has them closes them then."""
        for stream, other in self._streams.items():
            if not node or other == node:
                stream.cut()

    def _met(self, outcome: Greeting | Failure, meeting: Deferred[Greeting]) -> Greeting | Failure:
        self._meetings.discard(meeting)
        return outcome

    def _link(self, node: str) -> Link:
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = Link(node, self._dial, self._reactor, self._changed)
        return link

    async def _dial(self, address: str, node: str) -> Outbound:
        return await dial(self._reactor, self._own, self._tls, address, node, DIAL_S + GREET_S)

    def _arrived(self, node: str) -> None:
        """A node proved itself here, so it can most likely be dialled."""
        link = self._links.get(node)
        if link is not None:
            link.hurry()

    def _changed(self, node: str, up: bool) -> None:
        link = self._links.get(node)
        if not up and link is not None and not link.kept and link.line is None:
            del self._links[node]
        for tell in self._watchers:
            tell(node, up)
