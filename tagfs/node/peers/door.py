"""The node door: everybody who dials this node, strangers and members alike. Layer: node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from tagfs import __version__
from tagfs.node.peers import limits
from tagfs.node.peers.answering import Inbound
from tagfs.node.peers.interfaces import Caller, Service, Taker
from tagfs.node.peers.seldom import Seldom
from tagfs.node.peers.trust import Own, Refusal
from tagfs.wire.node_lines import encode_line, encode_text
from tagfs.wire.node_requests import encode_refusal

_STRANGERS_MAY = {
    "HELP": "this list",
    "PING": "answers OK",
    "INFO": "version, name and uptime of this node",
    "AUTH": "node=ID|- nonce=HEX proof=HEX: proves the cluster's key",
    "QUIT": "ends the connection",
}


class Door(Factory):
    """Takes connections, and knows who is behind them. ``services`` answer members, those in ``by_hand`` people too; ``arrived``
    is told of each node that proved itself."""

    noisy = False
    log = Logger()

    def __init__(self, own: Own, clock: Any, arrived: Callable[[str], None] = lambda node: None) -> None:
        self.own = own
        self.clock = clock
        self.services: dict[str, Service] = {}
        self.by_hand: set[str] = set()
        self.taker: Taker | None = None
        """Gets the connections for which ``STREAM`` was asked."""
        self.closing = False
        self.answers: dict[str, Callable[[str, bool], bytes]] = {
            "HELP": self._help,
            "PING": lambda tag, proved: encode_line(tag, "OK"),
            "INFO": self._info,
        }
        self._arrived = arrived
        self._begun_s = clock.seconds()
        self._seldom = Seldom(clock)
        self._strangers: dict[Inbound, None] = {}  # the oldest first
        self._hosts: Counter[str] = Counter()
        self._members: dict[Inbound, str] = {}
        self._emptied: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Inbound:
        """Twisted: somebody connects."""
        return Inbound(self)

    def enter(self, connection: Inbound) -> None:
        """Takes a stranger in. Where there are too many, the one who is a stranger for longest goes: whoever has the key
        proves it at once, so that a flood keeps nobody out."""
        self._strangers[connection] = None
        self._hosts[connection.host] += 1
        if self.closing:
            connection.cut_off()
        elif self._hosts[connection.host] > limits.STRANGERS_PER_HOST:
            next(other for other in self._strangers if other.host == connection.host and not other.lost).cut_off()
        elif len(self._strangers) > limits.STRANGERS:
            next(other for other in self._strangers if not other.lost).cut_off()

    def leave(self, connection: Inbound) -> None:
        """A connection is gone."""
        self._members.pop(connection, None)
        self._leave_strangers(connection)
        if self._emptied is not None and not self._strangers and not self._members:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    def admit(self, connection: Inbound, caller: Caller) -> None:
        """Makes a stranger a member. Raises :class:`~tagfs.node.peers.trust.Refusal` where there are too many of them."""
        there = sum(node == caller.node for node in self._members.values())
        if len(self._members) >= limits.MEMBERS or there >= limits.CONNECTIONS_PER_NODE:
            raise Refusal("busy", "too many connections")
        self._leave_strangers(connection)
        self._members[connection] = caller.node

    def welcomed(self, connection: Inbound, caller: Caller) -> None:
        """A member was told that it is one."""
        if not caller.node:
            self.log.info("somebody at {address} proved the key by hand", address=connection.address)
            return
        self._arrived(caller.node)

    def cut(self, node: str) -> None:
        """Ends all connections of a node."""
        for connection, member in list(self._members.items()):
            if member == node:
                connection.cut_off()

    def unproved(self, tag: str) -> bytes:
        """What a stranger is told who wants more."""
        if self.own.key is None:
            return encode_refusal(tag, "NO", "this node has no cluster key", "alone")
        return encode_refusal(tag, "NO", "first prove the cluster's key with AUTH", "auth")

    def tell(self, connection: Inbound, reason: str) -> None:
        """Logs why somebody was refused; not more often than is useful."""
        if self._seldom.may(connection.host, reason):
            self.log.warn("refused {address} at the node door: {reason}", address=connection.address, reason=reason)

    async def close(self) -> None:
        """Cuts all connections off, ends what is worked on, and waits until they are gone."""
        self.closing = True
        for connection in [*self._strangers, *self._members]:
            connection.cut_off()
            connection.cancel()
        if self._strangers or self._members:
            self._emptied = self._emptied or Deferred()
            await self._emptied

    def _leave_strangers(self, connection: Inbound) -> None:
        if connection not in self._strangers:
            return
        del self._strangers[connection]
        self._hosts[connection.host] -= 1
        if not self._hosts[connection.host]:
            del self._hosts[connection.host]

    def _help(self, tag: str, proved: bool) -> bytes:
        rows = [encode_text(tag, "ROW", f"{verb} {what}") for verb, what in _STRANGERS_MAY.items()]
        if proved:
            rows += [encode_text(tag, "ROW", verb) for verb in sorted(self.services.keys() - _STRANGERS_MAY.keys())]
        return b"".join([*rows, encode_line(tag, "OK")])

    def _info(self, tag: str, proved: bool) -> bytes:
        uptime_s = int(self.clock.seconds() - self._begun_s)
        return encode_line(tag, "OK", version=__version__, name=self.own.name, uptime=uptime_s)
