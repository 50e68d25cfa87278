"""Contents given to other nodes: sizes, pieces, digests of chunks; a few readers stay open between pieces. Layer: node."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from tagfs.errors import BadRequest, Corrupt, NotFound
from tagfs.node.offload import Offload
from tagfs.node.peers.interfaces import Caller, Service
from tagfs.storage.interfaces import DIGEST, IBlobReader, IBlobStore
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call

OPEN_PER_PEER = 8
"""Contents that stay open for one other node between its requests."""
IDLE_S = 30.0
"""How long one that nobody reads stays open."""
PAGE = BODY_LIMIT // DIGEST
"""Digests of chunks in one answer."""

Serve = Callable[[str, Service], None]
"""Answers a verb from now on."""


@define(eq=False)
class _Open:
    reader: IBlobReader
    used_s: float
    users: int = 0
    ended: bool = False


class Serving:
    """Answers ``STAT``, ``CHUNK`` and ``CHUNKS`` (docs/protocols/node.md). ``damaged`` is told of contents here that turned out bad."""

    log = Logger()

    def __init__(
        self, blobs: IBlobStore, offload: Offload, clock: IReactorTime, damaged: Callable[[bytes], None]
    ) -> None:
        self._blobs = blobs
        self._offload = offload
        self._clock = clock
        self._damaged = damaged
        self._open: dict[str, OrderedDict[bytes, _Open]] = {}
        self.given_bytes = 0
        """Bytes of contents given since the start."""

    def serve(self, serve: Serve) -> None:
        """Answers from now on."""
        serve("STAT", self._stat)
        serve("CHUNK", self._chunk)
        serve("CHUNKS", self._chunks)

    def sweep(self) -> None:
        """Closes what nobody read for a while; called now and then."""
        idle_before_s = self._clock.seconds() - IDLE_S
        for node, opened in list(self._open.items()):
            for digest, found in list(opened.items()):
                if found.used_s <= idle_before_s and not found.users:
                    self._end(opened.pop(digest))
            if not opened:
                del self._open[node]

    def close(self) -> None:
        """Closes everything that stays open."""
        for opened in self._open.values():
            for found in opened.values():
                self._end(found)
        self._open.clear()

    async def _stat(self, caller: Caller, call: Call) -> Answer:
        digest = digest_of(call)
        blob = await self._offload.run(lambda: self._blobs.stat(digest))
        if blob is None:
            raise NotFound(f"there is no content {digest.hex()} here")
        return Answer({"size": str(blob.size)})

    async def _chunks(self, caller: Caller, call: Call) -> Answer:
        digest = digest_of(call)
        first = number_of(call, 1, 0)
        try:
            chunks = await self._offload.run(lambda: self._blobs.chunks(digest))
        except Corrupt as error:
            self.notice(caller.node, digest, error)
            raise
        body = b"".join(chunks[first : first + PAGE])
        return Answer({"chunks": str(len(chunks))}, body=body, partial=first + PAGE < len(chunks))

    async def _chunk(self, caller: Caller, call: Call) -> Answer:
        digest, offset, length = chunk_of(call)
        opened = self._open.setdefault(caller.node, OrderedDict())
        found = opened.get(digest)
        try:
            if found is None:
                data = await self._open_and_read(opened, digest, offset, length)
            else:
                opened.move_to_end(digest)
                data = await self._read(found, offset, length)
        except Corrupt as error:
            self.notice(caller.node, digest, error)
            raise
        self.given_bytes += len(data)
        return Answer(body=data)

    def notice(self, node: str, digest: bytes, error: Corrupt) -> None:
        """A content here turned out bad when a node wanted it."""
        self.log.error("a content that {node} wanted is damaged here: {error}", node=node, error=error)
        self._damaged(digest)

    async def _open_and_read(self, opened: OrderedDict[bytes, _Open], digest: bytes, offset: int, length: int) -> bytes:
        def begin() -> tuple[IBlobReader, bytes]:
            reader = self._blobs.open(digest)
            try:
                return reader, reader.read(offset, length)
            except BaseException:
                reader.close()
                raise

        reader, data = await self._offload.run(begin)
        if digest in opened or offset + length >= reader.size:
            # Another request was quicker, or nothing follows.
            self._offload.run(reader.close)
            return data
        opened[digest] = _Open(reader, self._clock.seconds())
        while len(opened) > OPEN_PER_PEER:
            self._end(opened.popitem(last=False)[1])
        return data

    async def _read(self, found: _Open, offset: int, length: int) -> bytes:
        found.users += 1
        try:
            return await self._offload.run(lambda: found.reader.read(offset, length))
        finally:
            found.users -= 1
            found.used_s = self._clock.seconds()
            if found.ended and not found.users:
                self._offload.run(found.reader.close)

    def _end(self, found: _Open) -> None:
        found.ended = True
        if not found.users:
            self._offload.run(found.reader.close)


def digest_of(call: Call, place: int = 0) -> bytes:
    """A content's digest among the words of a call. Raises BadRequest."""
    word = call.words[place] if place < len(call.words) else ""
    try:
        digest = bytes.fromhex(word)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST:
        raise BadRequest(f"{call.verb} wants a digest of {2 * DIGEST} hex digits, not {word[:80]!r}")
    return digest


def chunk_of(call: Call) -> tuple[bytes, int, int]:
    """What a ``CHUNK`` asks for: digest, offset and length. Raises BadRequest."""
    digest = digest_of(call)
    offset = number_of(call, 1, 0)
    length = number_of(call, 2, BODY_LIMIT)
    if not 1 <= length <= BODY_LIMIT:
        raise BadRequest(f"a piece has 1 to {BODY_LIMIT} bytes, not {length}")
    return digest, offset, length


def number_of(call: Call, place: int, otherwise: int) -> int:
    """A number among the words of a call; ``otherwise`` where it ends before. Raises BadRequest."""
    if place >= len(call.words):
        return otherwise
    word = call.words[place]
    if not (word.isascii() and word.isdecimal() and len(word) <= 15):
        raise BadRequest(f"{call.verb} wants a number, not {word[:80]!r}")
    return int(word)


def parts(digests: bytes) -> Sequence[bytes]:
    """The digests in a body."""
    return [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
