"""Reading and fetching where holders die, are slow, lie, or nobody is left: at the right piece, from the next one, in bounds."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from tagfs.errors import Unavailable
from tagfs.model.principal import OWNER
from tagfs.node.contents import fetching
from tagfs.node.contents.reading import READ_AHEAD_PIECES as AHEAD
from tagfs.storage.interfaces import CHUNK
from tests.node.contents import world as w
from tests.sim.cluster import SimCluster, SimNode

PIECES = 13
DATA = w.bytes_of((PIECES - 1) * CHUNK + 99)


class Asked:
    """Counts what a node is asked for, and what is under way."""

    def __init__(self, world: SimCluster) -> None:
        self.chunks: list[tuple[str, int]] = []
        self.under_way = self.most = 0
        for id, node in world.nodes.items():
            self._count(id, node)

    def _count(self, id: str, node: SimNode) -> None:
        service = node.peers._services["CHUNK"]

        async def counted(caller: Any, call: Any) -> Any:
            if caller.node == "n3":
                self.chunks.append((id, int(call.words[1]) // CHUNK))
            return await service(caller, call)

        node.peers._services["CHUNK"] = counted


@pytest.fixture
def logged():
    lines: list[str] = []

    def hear(event: Any) -> None:
        lines.append(str(event.get("log_format", "")).format_map(_Lenient(event)))

    globalLogPublisher.addObserver(hear)
    yield lines
    globalLogPublisher.removeObserver(hear)


class _Lenient(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


class Three(SimCluster):
    """A content on n1 and n2; n3 lacks it and is in no layout."""

    data = DATA
    entry = ""


@pytest.fixture
def three():
    made = w.cluster(3, copies=2, kind=Three)
    made.take_out("n3")
    made.entry = w.store(made, made[1], DATA).id
    digest = w.digest_of(made[1], made.entry)
    made.until(lambda: w.told(made, made[3], made.entry)[1] == ["n1", "n2"], 10)
    assert w.holding(made, digest) == {"n1", "n2"}
    yield made
    made.stop()


def opened(world: SimCluster, **more: Any) -> Any:
    return world.wait(world[3].node.read(OWNER, world.entry, **more))


def rest_of(world: SimCluster, reading: Any, limit: int = 300_000) -> bytes:
    got = []
    while data := world.wait(reading.read(limit), 300):
        got.append(data)
    reading.close()
    return b"".join(got)


def test_a_holder_that_dies_in_the_middle(three, logged):
    """What was not read yet comes from another holder; nothing is missing, repeated, or read anew from the start."""
    asked = Asked(three)
    reading = opened(three)
    got = three.wait(reading.read(3 * CHUNK))
    dying = asked.chunks[0][0]
    three.nodes[dying].stop()
    got += rest_of(three, reading)
    assert got == three.data
    other = next(id for id in ("n1", "n2") if id != dying)
    assert min(number for id, number in asked.chunks if id == other) >= 1


def test_a_holder_that_is_held_for_dead_is_left_at_once(three):
    """When the cluster says that a holder is dead, its pieces are asked for elsewhere without more patience."""
    reading = opened(three)
    got = three.wait(reading.read(CHUNK))
    three[1].stop()
    three.hold_for_dead("n1")
    begin = three.clock.seconds()
    got += rest_of(three, reading)
    assert got == three.data
    assert three.clock.seconds() - begin < 10


def test_a_holder_with_bad_bytes(three, logged):
    """A bad piece is not passed on: it comes from another holder, the log tells, and the bad copy is set aside and replaced."""
    digest = w.digest_of(three[1], three.entry)
    bad = bytearray(three.data)
    bad[9 * CHUNK + 7] ^= 1
    noticed = 0
    for id in ("n1", "n2"):
        blobs = three.nodes[id].blobs
        blobs.contents[digest] = bytes(bad)
        assert rest_of(three, opened(three)) == three.data
        if any(f"node {id} is asked no more for content {digest.hex()}" in line for line in logged):
            noticed += 1
            # It is in no layout with others, so it owes it to itself and gets it from the other one.
            three.until(lambda blobs=blobs: blobs.contents.get(digest) == three.data, 60)
        else:
            blobs.contents[digest] = three.data  # the other one was asked
    assert noticed


def test_a_holder_that_sends_something_else(three, logged):
    """Bytes that changed on their way, or that the holder gave wrongly, are found out by the digest of their chunk."""

    async def lie(caller: Any, call: Any) -> Any:
        answer = await true(caller, call)
        return answer._replace(body=bytes(len(answer.body)))

    true = three[1].peers._services["CHUNK"]
    three[1].peers._services["CHUNK"] = lie
    for _ in range(2):
        assert rest_of(three, opened(three)) == three.data
    lies = [line for line in logged if "node n1 is asked no more" in line]
    assert all("came damaged" in line for line in lies)
    three[2].stop()
    three.hold_for_dead("n2")
    with pytest.raises(Unavailable, match=r"n1: piece \d+ of content .* came damaged"):
        opened(three)


def test_wrong_digests_of_chunks_are_found_in_the_end(three):
    """A holder whose chunks and digests fit each other but not the content: the whole is compared, thrown away, got elsewhere."""
    digest = w.digest_of(three[1], three.entry)
    other = w.bytes_of(len(three.data), 77)
    wrong = three[1].blobs.put(other).digest
    true = {verb: three[1].peers._services[verb] for verb in ("CHUNK", "CHUNKS")}

    def swapped(verb: str) -> Any:
        async def serve(caller: Any, call: Any) -> Any:
            words = (wrong.hex(), *call.words[1:]) if call.words[0] == digest.hex() else call.words
            return await true[verb](caller, call._replace(words=words))

        return serve

    for verb in true:
        three[1].peers._services[verb] = swapped(verb)
    three.wait(three[3].contents.fetch(digest, len(three.data), ["n1"]), 300)
    assert three[3].blobs.stat(digest) is not None
    assert three[3].blobs.stat(wrong) is None


def test_a_slow_holder_is_left_for_another(three):
    """Where there is another holder, one that does not answer in time costs seconds, once."""
    slow: list[Deferred[None]] = []

    async def stall(caller: Any, call: Any) -> Any:
        slow.append(Deferred())
        await slow[-1]

    for verb in ("CHUNK", "CHUNKS"):
        three[1].peers._services[verb] = stall
    begin = three.clock.seconds()
    assert rest_of(three, opened(three)) == three.data
    assert three.clock.seconds() - begin < 20


def test_one_slow_holder_is_enough(three):
    """A network of 100 KiB/s is slow, and works: fewer pieces are under way then, and nothing is given up."""
    three[2].stop()
    three.hold_for_dead("n2")
    true = three[1].peers._services["CHUNK"]
    line = three.clock.seconds()

    async def slow(caller: Any, call: Any) -> Any:
        nonlocal line
        answer = await true(caller, call)
        line = max(line, three.clock.seconds()) + len(answer.body) / (100 << 10)
        waiting: Deferred[None] = Deferred()
        three.clock.callLater(line - three.clock.seconds(), waiting.callback, None)
        await waiting
        return answer

    three[1].peers._services["CHUNK"] = slow
    asked = Asked(three)
    reading = three.wait(three[3].node.read(OWNER, three.entry), 300)
    assert rest_of(three, reading) == three.data
    assert len(asked.chunks) < PIECES + 10


def test_nobody_has_it(three):
    """Then reading fails at once, and the text names who has it."""
    for id in ("n1", "n2"):
        three.nodes[id].stop()
    three.hold_for_dead("n1", "n2")
    with pytest.raises(Unavailable, match="n1: has it, but cannot be reached; n2: has it, but cannot be reached"):
        opened(three)
    with pytest.raises(Unavailable):
        three.wait(three[3].contents.fetch(w.digest_of(three[3], three.entry), len(three.data), ["n1"]))


def test_all_die_in_the_middle(three):
    """Then the reading fails, now and ever after; it never looks like the end of the content."""
    reading = opened(three)
    got = three.wait(reading.read(CHUNK))
    for id in ("n1", "n2"):
        three.nodes[id].stop()
    three.hold_for_dead("n1", "n2")

    async def to_the_end() -> None:
        nonlocal got
        while data := await reading.read(CHUNK):
            got += data

    with pytest.raises(Unavailable):
        three.wait(to_the_end(), 300)
    assert len(got) < len(three.data)
    with pytest.raises(Unavailable):
        three.wait(reading.read(CHUNK))
    reading.close()


def test_a_reader_that_does_not_read_costs_little(three):
    """However large the content and slow the reader, few pieces are asked for ahead of it."""
    asked = Asked(three)
    reading = opened(three)
    three.wait(reading.read(1))
    three.run(120)
    assert len(asked.chunks) <= AHEAD
    reading.close()
    three.run(60)
    assert len(asked.chunks) <= AHEAD


def test_many_readers_share_what_is_held_ahead(three):
    """All readings together hold one piece each and so many more; closed, they give all of it back."""
    three[3].contents._allowance._left = 3
    readings = [opened(three) for _ in range(6)]
    asked = Asked(three)
    for reading in readings:
        three.wait(reading.read(1))
    three.run(60)
    assert len(asked.chunks) <= 3
    assert rest_of(three, readings[0]) == three.data[1:]
    for reading in readings:
        reading.close()
    three.run(10)
    assert three[3].contents._allowance._left == 3


def test_a_range_asks_for_what_it_needs(three):
    """A range inside a chunk asks for that chunk, to verify it, and for no other."""
    asked = Asked(three)
    reading = opened(three, offset=7 * CHUNK + 1000, length=2000)
    assert rest_of(three, reading) == three.data[7 * CHUNK + 1000 : 7 * CHUNK + 3000]
    three.run(5)
    assert [number for _, number in asked.chunks] == [7]


def test_a_copy_here_that_is_damaged(three):
    """Read on a holder whose copy turns out bad in the middle: it goes on from elsewhere, and the copy is made good."""
    digest = w.digest_of(three[1], three.entry)
    bad = bytearray(three.data)
    bad[-5] ^= 1
    reading = three.wait(three[1].node.read(OWNER, three.entry))
    got = three.wait(reading.read(CHUNK))
    reading._reading._reader._content = three[1].blobs.contents[digest] = bytes(bad)
    got += rest_of(three, reading)
    assert got == three.data
    three.until(lambda: three[1].blobs.stat(digest) is not None and three[1].blobs.verify(digest), 60)


class TestFetching:
    """A content brought here."""

    def test_once_for_all_who_ask(self, three):
        """Several callers get one content once, each with a pin of its own."""
        asked = Asked(three)
        digest, size = w.digest_of(three[1], three.entry), len(three.data)
        waiting = [three[3].contents.fetch(digest, size, ["n1"]) for _ in range(3)]
        three.run(0.05)
        waiting.append(three[3].contents.fetch(digest, size, ["n2"]))
        for each in waiting:
            three.wait(each)
        assert len(asked.chunks) == PIECES
        for _ in range(4):
            assert not three[3].blobs.drop(digest)
            three[3].blobs.unpin(digest)
        three.wait(three[3].contents.fetch(digest, size, []))
        assert len(asked.chunks) == PIECES
        three[3].blobs.unpin(digest)
        assert three[3].blobs.drop(digest)

    def test_cancelled_by_all(self, three, monkeypatch):
        """Nothing more is asked for once nobody waits; what came is kept, and gone on with."""
        monkeypatch.setattr(fetching, "KEEP_FROM", CHUNK)
        three.network.delay_s = (0.05, 0.05)
        asked = Asked(three)
        digest, size = w.digest_of(three[1], three.entry), len(three.data)
        waiting = [three[3].contents.fetch(digest, size, ["n1"]) for _ in range(2)]
        for each in waiting:
            each.addErrback(lambda _: None)
        three.until(lambda: len(asked.chunks) > 5)
        waiting[0].cancel()
        three.run(0.01)
        assert three[3].contents._fetching.running == 1
        waiting[1].cancel()
        assert three[3].contents._fetching.running == 0
        three.run(10)
        before = len(asked.chunks)
        three.run(60)
        assert len(asked.chunks) == before < PIECES
        assert three[3].blobs.stat(digest) is None
        three.wait(three[3].contents.fetch(digest, size, ["n1"]))
        assert [number for _, number in asked.chunks].count(0) == 1

    def test_a_holder_that_dies_in_the_middle(self, three):
        """The rest comes from another one."""
        asked = Asked(three)
        digest = w.digest_of(three[1], three.entry)
        waiting = three[3].contents.fetch(digest, len(three.data), ["n1"])
        three.until(lambda: len(asked.chunks) > 8)
        three[1].stop()
        three.wait(waiting, 120)
        assert {id for id, _ in asked.chunks} == {"n1", "n2"}
        assert len(asked.chunks) < 2 * PIECES

    def test_bounds(self, three):
        """However many contents are asked for, pieces under way and waiting for the disk are bounded."""
        entries = [w.store(three, three[1], w.bytes_of(4 * CHUNK, 100 + each), f"b{each}").id for each in range(8)]
        under_way = most = 0
        for id in ("n1", "n2"):
            true = three.nodes[id].peers._services["CHUNK"]

            async def counted(caller: Any, call: Any, true: Any = true) -> Any:
                nonlocal under_way, most
                if caller.node != "n3":
                    return await true(caller, call)
                under_way += 1
                most = max(most, under_way)
                waiting: Deferred[None] = Deferred()
                three.clock.callLater(0.2, waiting.callback, None)
                await waiting
                under_way -= 1
                return await true(caller, call)

            three.nodes[id].peers._services["CHUNK"] = counted
        lacking = [entry for entry in entries if three[3].blobs.stat(w.digest_of(three[1], entry)) is None]
        fetches = [three[3].contents.fetch(w.digest_of(three[1], entry), 4 * CHUNK, ["n1"]) for entry in lacking]
        assert len(fetches) == 8
        for each in fetches:
            three.wait(each, 300)
        assert 1 < most <= 32
