"""A session of the tag port over a transport in memory, as a client sees it."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tagfs.front.ftp.door import Limits
from tagfs.front.ftp.protocol import TagFtpFactory, TagFtpProtocol
from tagfs.front.ftp.verb import Verb
from tagfs.front.ftp.verbs import TAG_VERBS
from tagfs.node.interfaces import INode


class MemoryTransport(StringTransport):
    """A StringTransport that knows when it is closed or cut off."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class WireSession:
    """One session; ``clock`` is moved by hand, what is due at once happens at each :meth:`send`."""

    def __init__(
        self,
        node: INode,
        *,
        limits: Limits | None = None,
        verbs: Mapping[bytes, Verb] = TAG_VERBS,
        factory: TagFtpFactory | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.factory = factory or TagFtpFactory(node, self.clock, limits=limits, verbs=verbs)
        self.protocol: TagFtpProtocol = self.factory.buildProtocol(None)
        self.transport = MemoryTransport()
        self.protocol.makeConnection(self.transport)
        self._at = 0

    def send(self, data: bytes) -> None:
        """Bytes from the client, as one segment."""
        self.protocol.dataReceived(data)
        self.settle()

    def settle(self) -> None:
        """Lets everything happen that is due."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def end(self) -> None:
        """The client ends its stream."""
        IHalfCloseableProtocol(self.protocol).readConnectionLost()
        self.settle()

    def lose(self) -> None:
        """The connection is gone."""
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.settle()

    @property
    def closed(self) -> bool:
        """Whether the server has ended the session."""
        return self.transport.disconnecting or self.transport.aborted

    @property
    def rest(self) -> bytes:
        """What the server said and nobody took yet."""
        return self.transport.value()[self._at :]

    def take(self, size: int) -> bytes:
        """The next bytes of what the server said."""
        data = self.rest[:size]
        self._at += len(data)
        return data

    def line(self) -> str:
        """The next line of what the server said, without its end."""
        end = self.rest.find(b"\r\n")
        assert end >= 0, f"no line was said, but {self.rest!r}"
        return self.take(end + 2)[:-2].decode()

    def lines(self) -> list[str]:
        """All lines that nobody took yet."""
        found = []
        while self.rest:
            found.append(self.line())
        return found

    def codes(self) -> list[str]:
        """The first four characters of all lines that nobody took yet."""
        return [line[:4] for line in self.lines()]

    def ask(self, line: str) -> list[str]:
        """Sends a command and returns the lines of its replies."""
        self.lines()
        self.send(line.encode() + b"\r\n")
        return self.lines()


class Gate:
    """Something that waits until it is told to go on; made a node's ``gate``, each call waits."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    def __call__(self) -> Deferred[None]:
        deferred: Deferred[None] = Deferred()
        self.waiting.append(deferred)
        return deferred

    def open(self, index: int = 0) -> None:
        """Lets one that waits go on."""
        self.waiting.pop(index).callback(None)
