"""Large contents given to other nodes by threads that have a connection each. Layer: node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from tagfs.errors import Corrupt, TagfsError, Unavailable
from tagfs.node.contents.serving import chunk_of
from tagfs.node.offload import Offload
from tagfs.node.peers.interfaces import STREAM, Caller
from tagfs.node.peers.stream import Stream
from tagfs.storage.interfaces import IBlobReader, IBlobStore
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_requests import Asked, RequestReader, encode_refusal, final_line

MAX_STREAMS = 16
"""Streams that a node gives contents over at a time, each by a thread of its own."""
PER_NODE = 2
SILENCE_S = 60.0
"""A stream over which nothing is asked for so long is ended; who asked lets go of it sooner."""
_LINES = 1 << 14


@define(eq=False)
class _Open:
    """What one thread has open, and how much it gave."""

    digest: bytes = b""
    reader: IBlobReader | None = None
    given_bytes: int = 0
    bad: dict[bytes, Corrupt] = field(factory=dict)


class Giving:
    """Answers ``CHUNK`` on streams, in order (docs/protocols/node.md). ``damaged`` is told of contents here that turned out bad."""

    log = Logger()

    def __init__(self, blobs: IBlobStore, threads: Offload, damaged: Callable[[str, bytes, Corrupt], None]) -> None:
        self._blobs = blobs
        self._threads = threads
        self._damaged = damaged
        self._nodes: Counter[str] = Counter()
        self._running: set[_Open] = set()
        self._given_bytes = 0

    @property
    def given_bytes(self) -> int:
        """Bytes of contents given since the start."""
        return self._given_bytes + sum(opened.given_bytes for opened in self._running)

    async def welcome(self, caller: Caller, call: Call) -> Answer:
        """The service of ``STREAM``. Raises Unavailable where there are too many."""
        if self._full(caller.node):
            raise Unavailable("too many streams are open here")
        return Answer()

    def take(self, caller: Caller, stream: Stream, said: bytes) -> Deferred[None]:
        """Has a connection until it ends."""
        if self._full(caller.node):  # others were welcome at the same moment
            stream.cut()
            return succeed(None)
        opened = _Open()
        self._running.add(opened)
        self._nodes[caller.node] += 1
        ended: Deferred[None] = self._threads.run(lambda: self._give(stream, said, opened))
        return ended.addBoth(self._over, caller.node, opened)

    def _full(self, node: str) -> bool:
        return len(self._running) >= MAX_STREAMS or self._nodes[node] >= PER_NODE

    def _over(self, result: Failure | None, node: str, opened: _Open) -> None:
        self._running.discard(opened)
        self._given_bytes += opened.given_bytes
        self._nodes[node] -= 1
        if not self._nodes[node]:
            del self._nodes[node]
        for digest, error in opened.bad.items():
            self._damaged(node, digest, error)
        if isinstance(result, Failure) and not result.check(OSError):
            self.log.failure("a stream to {node} failed", result, node=node)

    def _give(self, stream: Stream, said: bytes, opened: _Open) -> None:
        """Until the other end hangs up, which is an OSError: on another thread."""
        requests = RequestReader()
        requests.trust()
        lines = memoryview(bytearray(_LINES))
        try:
            stream.send(said)
            while True:
                while (event := requests.next()) is not None:
                    if isinstance(event, Asked):
                        stream.send(*self._answer(event.tag, event.call, opened))
                    else:
                        stream.send(encode_refusal(event.tag, "BAD", event.text))
                        if event.fatal:
                            return
                requests.feed(bytes(lines[: stream.receive(lines, SILENCE_S)]))
        finally:
            _close(opened)

    def _answer(self, tag: str, call: Call, opened: _Open) -> Sequence[bytes]:
        if call.verb != "CHUNK":
            return [encode_refusal(tag, "BAD", f"after {STREAM}, only CHUNK is answered")]
        try:
            data = self._read(call, opened)
        except TagfsError as error:
            if isinstance(error, Corrupt):
                opened.bad[opened.digest] = error
            return [encode_refusal(tag, "NO", str(error), error.wire)]
        opened.given_bytes += len(data)
        return [final_line(tag, {}, len(data)), data]

    def _read(self, call: Call, opened: _Open) -> bytes:
        digest, offset, length = chunk_of(call)
        if opened.reader is None or opened.digest != digest:
            _close(opened)
            opened.digest = digest
            opened.reader = self._blobs.open(digest)
        return opened.reader.read(offset, length)


def _close(opened: _Open) -> None:
    reader, opened.reader = opened.reader, None
    if reader is not None:
        reader.close()
