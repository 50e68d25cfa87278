"""Contents on their way in: order, bounds, failures, and what is left after giving up."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tagfs.errors import StorageFull, Unavailable
from tagfs.model.entry import Content, Entry
from tagfs.node import transfer
from tagfs.node.offload import Inline
from tagfs.node.transfer import HIGH_WATER, Inflow, LargeReading
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.node.conftest import now
from tests.node.test_group_commit import ByHand

PIECE = bytes(64 * 1024)


@pytest.fixture
def threads() -> ByHand:
    return ByHand()


def test_small_contents_stay_in_memory(threads: ByHand) -> None:
    """No thread is asked for a content that fits in one group commit."""
    inflow = Inflow(MemoryBlobStore(), threads)
    assert inflow.write(b"a") is None
    assert inflow.write(b"b") is None
    assert inflow.is_small
    assert inflow.small() == b"ab"
    assert threads.calls == []


def test_the_source_is_told_to_pause_and_to_go_on(threads: ByHand) -> None:
    """Memory is bounded by what may wait; room is announced once half of it is free."""
    inflow = Inflow(MemoryBlobStore(), threads)
    written = 0
    while (room := inflow.write(PIECE)) is None:
        written += len(PIECE)
        assert written < 2 * HIGH_WATER
    fired: list[None] = []
    room.addCallback(fired.append)
    while not fired:
        threads.step()
    assert inflow.write(PIECE) is None


def test_a_full_disk_ends_the_transfer_with_its_error(threads: ByHand) -> None:
    """The waiting source hears of it, later writes too, and the writer is given up."""

    class Full(MemoryBlobStore):
        aborted = 0

        def begin(self) -> Any:
            writer = super().begin()
            outer = self

            class Writer:
                size = 0

                def write(self, data: bytes) -> None:
                    raise StorageFull("no space left")

                def abort(self) -> None:
                    outer.aborted += 1
                    writer.abort()

            return Writer()

    blobs = Full()
    inflow = Inflow(blobs, threads)
    failed: list[Any] = []
    while (room := inflow.write(PIECE)) is None:
        pass
    room.addErrback(failed.append)
    while threads.calls:
        threads.step()
    assert failed[0].check(StorageFull)
    later = inflow.write(PIECE)
    assert later is not None
    later.addErrback(failed.append)
    assert failed[1].check(StorageFull)
    with pytest.raises(StorageFull):
        now(inflow.finish())
    inflow.abort()
    assert blobs.aborted == 1


def test_giving_up_in_the_middle_leaves_nothing(threads: ByHand) -> None:
    """abort() while a thread still writes takes effect when it is done."""
    blobs = MemoryBlobStore()
    inflow = Inflow(blobs, threads)
    for _ in range(4):
        inflow.write(PIECE)
    inflow.abort()
    later = inflow.write(PIECE)
    assert later is not None
    later.addErrback(lambda failure: failure.trap(Unavailable))
    while threads.calls:
        threads.step()
    assert blobs.usage().contents == 0
    with pytest.raises(Unavailable):
        now(inflow.finish())


def test_who_trickles_keeps_no_thread(threads: ByHand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that always has a byte, and a sink that always takes a little, are left for others after a moment; the rest
    comes with the next turns, whole."""
    seconds = iter(range(10**9))
    monkeypatch.setattr(transfer, "monotonic", lambda: next(seconds) / 100)
    blobs = MemoryBlobStore()
    inflow = Inflow(blobs, threads)
    source = bytearray(b"0123456789" * 5)

    def fill(view: memoryview) -> int:
        if not source:
            return -1
        view[:1] = source[:1]
        del source[:1]
        return 1

    ends: list[bool] = []
    turns = 0
    while not ends or not ends[-1]:
        before = len(source)
        Deferred.fromCoroutine(inflow.draw(fill, 1 << 20)).addCallback(ends.append)
        threads.step()
        assert before - len(source) <= 12
        turns += 1
    assert turns >= 5 and inflow.size == 50

    data = bytes(transfer.POURED) * 30
    writer = blobs.begin()
    writer.write(data)
    blob = writer.finish()
    entry = Entry("", "n", Content(blob.digest, blob.size, "", 0), 0, (), None, None, ())
    reading = LargeReading(
        entry,
        blobs.open(blob.digest),
        Inline(),
        Inline(),
        0,
        len(data),
    )
    taken = bytearray()
    turns = 0
    while not now(reading.pour(lambda piece: taken.extend(piece) or True, 1 << 30)):
        turns += 1
    assert turns >= 2 and bytes(taken) == data
    reading.close()
