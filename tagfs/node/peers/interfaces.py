"""IPeers: the other nodes, as everything above the wire sees them. Layer: node.

The node speaks to each peer over a connection that it dialled itself and answers on those that others dialled, so
there is nothing to agree on about whose connection counts, and a cut in one direction shows as just that. Whoever asks or
is asked through this interface has proved the cluster's key, bound to the connection.

The simulator has its own implementation (``tests/sim/network.py``); all that decides is the same code under both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, NamedTuple, TypeAlias

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from tagfs.node.peers.stream import Stream
from tagfs.wire.node_messages import Answer, Call

ASK_S = 10.0
"""Seconds that an answer may take where the caller does not say."""

STREAM = "STREAM"
"""The verb after which a connection belongs to a thread."""


class Caller(NamedTuple):
    """Who asks: the id of the node (empty for a person who proved the key by hand, with no node behind), the run of
    its process (``boot``), and the address where it says it is reached, else the one it connects from."""

    node: str
    boot: str
    address: str


class Greeting(NamedTuple):
    """What a node says of itself when it is met: id, name, the cluster it is in (empty: none yet), run of its process."""

    node: str
    name: str
    cluster: str
    boot: str


Service: TypeAlias = Callable[[Caller, Call], Coroutine[Any, Any, Answer]]
"""Answers one verb. Raises :mod:`tagfs.errors`, which the asking side gets as an error of the same type and text."""


Taker: TypeAlias = Callable[[Caller, Stream, bytes], Deferred[None]]
"""Has a connection from now on, and first of all says the given line over it; fires when no thread uses it any more."""


class IPeers(Interface):
    """The way to the other nodes, and from them."""

    id = Attribute("str: this node's id.")

    def serve(verb: str, service: Service, by_hand: bool = False) -> None:
        """Answers ``verb`` with ``service`` from now on; one service per verb. Known before any connection is taken. People who
        proved the key by hand may ask for it only where ``by_hand``; the caller has no node then."""

    def ask(node: str, call: Call, timeout_s: float = ASK_S) -> Deferred[Answer]:
        """Asks a node. Fails with the error that it answered, or :class:`~tagfs.errors.Unavailable` where there is no
        connection, none came up, the time is over, or too much is under way. An answer that comes later is dropped; the
        other side may have done what was asked. Cancelling gives up waiting."""

    def meet(address: str, timeout_s: float = ASK_S) -> Deferred[Greeting]:
        """Dials ``host:port``, proves and lets prove the key; from then on :meth:`ask` reaches that node over this
        connection. Fails with Unavailable or Forbidden (wrong key, stolen address, other protocol); the text says which."""

    def keep(node: str, addresses: Sequence[str]) -> None:
        """Keeps a connection to that node: dials the addresses in turn, again and again with growing pauses."""

    def drop(node: str) -> None:
        """Ends the connection to that node and keeps none; also cuts those that it dialled. Harmless when repeated."""

    def connected() -> Collection[str]:
        """The nodes that can be asked at once."""

    def watch(changed: Callable[[str, bool], None]) -> None:
        """Tells whenever the connection to a node came up (True) or went (False)."""


class IStreamingPeers(IPeers):
    """Peers over real sockets, which threads can have for themselves to move much."""

    def stream(node: str) -> Deferred[Stream]:
        """A further connection to a node, proved as all are, for one thread of the caller, who closes it. Fails as :meth:`ask`, and
        with what the service of ``STREAM`` there raises."""

    def serve_streams(service: Service, taker: Taker) -> None:
        """Answers ``STREAM``: where ``service`` raises nothing, ``taker`` gets the connection. Known before any is taken."""
