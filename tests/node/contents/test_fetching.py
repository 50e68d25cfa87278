"""Fetching: what breaks off gives everything back that it held, so that others still come."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from blake3 import blake3
from twisted.internet.defer import Deferred

from tagfs.errors import Unavailable
from tagfs.node.contents.elsewhere import Piece
from tagfs.node.contents.fetching import MAX_PIECES, Fetching
from tagfs.node.offload import Inline
from tagfs.storage.interfaces import CHUNK
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.node.contents.world import LARGE, bytes_of

DATA = bytes_of(LARGE)
DIGEST = blake3(DATA).digest()


class Way:
    """A content elsewhere, whose pieces come when the test says so."""

    size = LARGE
    count = -(-LARGE // CHUNK)
    window = 4

    def __init__(self) -> None:
        self.digest = DIGEST
        self.asked: dict[int, Deferred[bytes]] = {}

    async def unverified(self, number: int) -> Piece:
        self.asked[number] = Deferred()
        data = await self.asked[number]
        return Piece(number, data, blake3(data).digest(), "n2")

    def give_up(self) -> None:
        for number, coming in self.asked.items():
            if not coming.called:
                coming.errback(Unavailable(f"piece {number} is not wanted any more"))

    def prefer(self, sources: Sequence[str]) -> None:
        raise AssertionError("only one asks")


async def nothing(_digest: bytes) -> None:
    """Nobody wants to know."""


@pytest.mark.parametrize("broken", [0, 1, 3])
def test_a_fetch_that_breaks_off_gives_back_its_pieces(broken: int) -> None:
    """Whichever piece fails first, and whatever came of the others, no slot is lost and none is given back twice."""
    ways: list[Way] = []

    def elsewhere(digest: bytes, size: int, sources: Sequence[str]) -> Way:
        ways.append(Way())
        return ways[-1]

    blobs = MemoryBlobStore()
    fetching = Fetching(blobs, Inline(), lambda: 0, elsewhere, nothing)  # type: ignore[arg-type]
    for _ in range(MAX_PIECES + 1):
        failures: list[object] = []
        fetching.fetch(DIGEST, LARGE, []).addErrback(failures.append)
        way = ways[-1]
        assert list(way.asked) == [0, 1, 2, 3]
        for number in range(4):
            if number != broken:
                way.asked[number].callback(DATA[number * CHUNK : (number + 1) * CHUNK])
        way.asked[broken].errback(Unavailable("the holder is gone"))
        way.give_up()
        assert len(failures) == 1
        assert fetching._pieces.tokens == MAX_PIECES
    fetching.fetch(DIGEST, LARGE, [])
    for number in range(Way.count):
        ways[-1].asked[number].callback(DATA[number * CHUNK : (number + 1) * CHUNK])
    assert blobs.stat(DIGEST) is not None
