"""Real peers on loopback sockets, for tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from tagfs.node.identity import Identity, create
from tagfs.node.peers.interfaces import Caller
from tagfs.node.peers.peers import Peers
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_proof import CLIENT, UNBOUND, proof, proof_key, with_proof

KEY = bytes(range(32))


@cache
def identity(number: int) -> Identity:
    """The same identity for the same number, as long as the tests run."""
    with tempfile.TemporaryDirectory() as directory:
        return create(Path(directory))


@define
class World:
    """Peers that listen on free ports, all closed in the end."""

    reactor: Any
    tls: bool
    all: list[Peers] = field(factory=list)
    ports: list[IListeningPort] = field(factory=list)
    addresses: dict[Peers, str] = field(factory=dict, eq=False)

    def peers(self, number: int, *, tls: bool | None = None, key: bytes | None = KEY, **more: Any) -> Peers:
        """Node ``number``, listening."""
        more = {"boot": f"boot{number}", "tls": self.tls if tls is None else tls, **more}
        shown = more.pop("shown", identity(number))
        peers = Peers(self.reactor, shown, f"name{number}", key, **more)
        peers.serve("ECHO", echo)
        peers.serve("WHO", who, by_hand=True)
        self.all.append(peers)
        self.listen(peers)
        return peers

    def listen(self, peers: Peers, port: int = 0) -> None:
        """Opens its door."""
        listening = self.reactor.listenTCP(port, peers.door, interface="127.0.0.1")
        self.ports.append(listening)
        self.addresses[peers] = f"127.0.0.1:{listening.getHost().port}"

    async def close(self) -> None:
        """Everything ends."""
        for port in self.ports:
            await maybeDeferred(port.stopListening)
        for peers in self.all:
            await peers.close()

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits for a condition; the test's limit ends it."""
        while not condition():
            await deferLater(self.reactor, 0.005)


class Raw(Protocol):
    """A client that says what it is told, and hears everything."""

    def __init__(self) -> None:
        self.heard = b""
        self.gone = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: object = None) -> None:
        self.gone = True


async def raw(world: World, address: str) -> Raw:
    """A connection without TLS that has been greeted."""
    host, _, port = address.partition(":")
    protocol = Raw()
    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: protocol  # type: ignore[method-assign,assignment,return-value]
    await TCP4ClientEndpoint(world.reactor, host, int(port)).connect(factory)
    await world.until(lambda: b"\n" in protocol.heard)
    return protocol


async def by_hand(world: World, address: str, node: str = "-") -> Raw:
    """A connection without TLS over which the key was proved, as ``node`` or as a person."""
    hand = await raw(world, address)
    greeting = hand.heard.partition(b"\n")[0]
    line = b"a AUTH node=%b nonce=00" % node.encode()
    hand.transport.write(with_proof(line, proof(proof_key(KEY), CLIENT, greeting, line, UNBOUND)))
    await world.until(lambda: b"\na OK proof=" in hand.heard)
    hand.heard = b""
    return hand


async def echo(caller: Caller, call: Call) -> Answer:
    """Says what was said."""
    return Answer({**call.facts}, call.words, call.body)


async def who(caller: Caller, call: Call) -> Answer:
    """Says who asks."""
    return Answer({"node": caller.node, "boot": caller.boot, "address": caller.address})


async def failure_of(deferred: Deferred[Any]) -> Exception:
    """The error that a Deferred fails with."""
    try:
        result = await deferred
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        return error
    raise AssertionError(f"it did not fail: {result}")
