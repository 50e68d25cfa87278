"""Runs of pieces brought here by threads: one takes them from a stream, one verifies and stores them. Layer: node.

A thread for each, since two processors are busy then: what comes is decrypted while the piece before it is hashed and written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import NamedTuple

from attrs import define, field
from blake3 import blake3
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from tagfs.errors import TagfsError, Unavailable
from tagfs.node.offload import Offload
from tagfs.node.peers.interfaces import IStreamingPeers
from tagfs.node.peers.stream import Stream
from tagfs.node.peers.trust import error_from
from tagfs.storage.interfaces import CHUNK, IBlobWriter
from tagfs.wire.node_answers import AnswerReader, BrokenStream, Refused, encode_call
from tagfs.wire.node_lines import MEMBER_LINE_LIMIT
from tagfs.wire.node_messages import Call
from tagfs.wire.node_requests import final_line

MAX_RUNS = 4
"""Runs at a time, two threads each. Who finds no room brings its pieces without threads."""
PER_NODE = 2
"""Streams from one node."""
BUFFERS = 4
"""Pieces of one run that are here; as many more are asked for."""
RUN = 64
"""Pieces of one run at most: after it, others have the stream."""
IDLE_S = 20.0
"""How long a stream that nobody uses is kept."""
RETRY_S = 60.0
"""How long a node that gives no stream is not asked for one again."""


class Wanted(NamedTuple):
    """Pieces of a content of ``size`` bytes, from ``first`` on, that have these digests."""

    digest: bytes
    size: int
    first: int
    chunks: Sequence[bytes]

    def length(self, number: int) -> int:
        """Bytes of that piece."""
        return min(CHUNK, self.size - number * CHUNK)


@define(eq=False)
class Run:
    """Pieces on their way. ``over`` fires when no thread works on them any more, and never fails: ``stored`` says how many
    are with the writer, in order; fewer than wanted because the holder ``failed``, gave a ``bad`` one, or because of ``trouble`` here."""

    wanted: Wanted
    stream: Stream
    patience_s: float
    over: Deferred[None] = field(factory=Deferred)
    stored: int = 0
    bad: bool = False
    failed: TagfsError | None = None
    trouble: Exception | None = None
    _came: SimpleQueue[memoryview | None] = field(factory=SimpleQueue)
    _free: SimpleQueue[memoryview | None] = field(factory=SimpleQueue)

    def take(self) -> None:
        """From the stream, on one thread."""
        try:
            for _ in range(BUFFERS):
                self._free.put(memoryview(bytearray(CHUNK)))
            self._take()
        except (OSError, BrokenStream) as error:
            self.failed = Unavailable(f"the stream broke off: {error}")
        except TagfsError as error:
            self.failed = error
        except Exception as error:  # noqa: BLE001 - who waits for the content hears of it
            self.trouble = error
        finally:
            self._came.put(None)

    def _take(self) -> None:
        wanted, asked = self.wanted, 0
        for at in range(len(wanted.chunks)):
            calls = []
            while asked < min(len(wanted.chunks), at + BUFFERS):
                calls += encode_call(str(asked), self._call(asked))
                asked += 1
            buffer = self._free.get()
            if buffer is None:
                return
            if calls:
                self.stream.send(b"".join(calls))
            view = buffer[: wanted.length(wanted.first + at)]
            _expect(self.stream, str(at), len(view), self.patience_s)
            self.stream.receive_all(view, self.patience_s)
            self._came.put(view)

    def _call(self, at: int) -> Call:
        number = self.wanted.first + at
        return Call("CHUNK", (self.wanted.digest.hex(), str(number * CHUNK), str(self.wanted.length(number))))

    def store(self, writer: IBlobWriter) -> None:
        """To the disk, on another thread."""
        try:
            while (view := self._came.get()) is not None:
                digest = self.wanted.chunks[self.stored]
                if blake3(view).digest() != digest:
                    self.bad = True
                    return
                writer.write(view, digest if len(view) == CHUNK else b"")
                self.stored += 1
                self._free.put(memoryview(view.obj))
        except Exception as error:  # noqa: BLE001 - who waits for the content hears of it
            self.trouble = error
        finally:
            self._free.put(None)


def _expect(stream: Stream, tag: str, length: int, patience_s: float) -> None:
    """Reads the line that comes before so many bytes. Raises what the other end says instead."""
    line = final_line(tag, {}, length)
    view = memoryview(bytearray(len(line)))
    at = 0
    while at < len(line) and b"\n" not in bytes(view[:at]):
        at += stream.receive(view[at:], patience_s)
    if view[:at] != line:
        _refused(stream, bytes(view[:at]), patience_s)


def _refused(stream: Stream, said: bytes, patience_s: float) -> None:
    reader = AnswerReader(greeted=True)
    reader.trust()
    more = memoryview(bytearray(MEMBER_LINE_LIMIT))
    reader.feed(said)
    while (event := reader.next()) is None:
        reader.feed(bytes(more[: stream.receive(more, patience_s)]))
    if not isinstance(event, Refused):
        raise BrokenStream("another answer came than was asked for")
    raise error_from(event.code, event.text) if event.kind == "NO" else Unavailable(event.text)


class Taking:
    """The streams that this node takes contents from."""

    log = Logger()

    def __init__(self, peers: IStreamingPeers, threads: Offload, clock: IReactorTime) -> None:
        self._peers = peers
        self._threads = threads
        self._clock = clock
        self._idle: list[tuple[Stream, str, float]] = []  # and to whom, since when
        self._open: Counter[str] = Counter()
        self._refused_s: dict[str, float] = {}
        self._runs: set[Run] = set()
        self._beginning = 0
        self._closed = False
        peers.watch(self._changed)

    async def begin(self, node: str, wanted: Wanted, writer: IBlobWriter, patience_s: float) -> Run | None:
        """Begins to bring pieces from a node to a writer, which is the run's until that is over; each may take ``patience_s``.
        None where there is no room for another run, or the node has no stream for this one."""
        if self._closed or len(self._runs) + self._beginning >= MAX_RUNS:
            return None
        self._beginning += 1
        try:
            stream = await self._lease(node)
        finally:
            self._beginning -= 1
        if stream is None:
            return None
        run = Run(wanted, stream, patience_s)
        self._runs.add(run)
        threads = [self._threads.run(run.take), self._threads.run(lambda: run.store(writer))]
        DeferredList(threads).addCallback(self._ended, run, node)
        return run

    def sweep(self) -> None:
        """Ends streams that nobody used for a while; called now and then."""
        self._end_idle(lambda node, since_s: self._clock.seconds() - since_s >= IDLE_S)

    async def close(self) -> None:
        """Ends all streams, and waits until no thread has one."""
        self._closed = True
        self._end_idle(lambda node, since_s: True)
        for run in list(self._runs):
            run.stream.cut()
            await run.over

    async def _lease(self, node: str) -> Stream | None:
        for kept in self._idle:
            if kept[1] == node:
                self._idle.remove(kept)
                return kept[0]
        now_s = self._clock.seconds()
        if self._open[node] >= PER_NODE or now_s < self._refused_s.get(node, 0.0):
            return None
        self._open[node] += 1
        try:
            stream = await self._peers.stream(node)
        except TagfsError as error:
            self.log.debug("{node} gives no stream: {error}", node=node, error=error)
            self._refused_s[node] = self._clock.seconds() + RETRY_S
            self._open[node] -= 1
            return None
        if self._closed:
            self._end(stream, node)
            return None
        return stream

    def _ended(self, _: object, run: Run, node: str) -> None:
        self._runs.discard(run)
        if self._closed or run.stored < len(run.wanted.chunks):
            self._end(run.stream, node)  # answers that nobody takes are on their way
        else:
            self._idle.append((run.stream, node, self._clock.seconds()))
        run.over.callback(None)

    def _end(self, stream: Stream, node: str) -> None:
        stream.close()
        self._open[node] -= 1
        if not self._open[node]:
            del self._open[node]

    def _end_idle(self, old: Callable[[str, float], bool]) -> None:
        kept, self._idle = self._idle, []
        for stream, node, since_s in kept:
            if old(node, since_s):
                self._end(stream, node)
            else:
                self._idle.append((stream, node, since_s))

    def _changed(self, node: str, up: bool) -> None:
        self._refused_s.pop(node, None)
        if not up:
            self._end_idle(lambda other, since_s: other == node)
