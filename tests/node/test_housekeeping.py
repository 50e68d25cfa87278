"""Chores: the trash ends, versions end, contents without entries go, and never one that is needed."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from tagfs.errors import NotFound
from tagfs.model.principal import OWNER
from tagfs.model.query import parse
from tagfs.node.housekeeping import DAY, KEEP_PURGED_MS, Housekeeping
from tagfs.storage.memory import MemoryCatalog
from tests.node.conftest import World, now

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def chores(world: World) -> Housekeeping:
    world.catalog = MemoryCatalog("testnode", now_ms=lambda: world.now_ms)
    world.restart()
    return Housekeeping(world.core, Clock(), trash_days=30)


def purged(world: World, data: bytes) -> bytes:
    """Stores, deletes and purges a content; its digest."""
    identifier = world.store("p", data=data)
    digest: bytes = now(world.node.info(OWNER, identifier)).entry.content.digest
    now(world.node.delete(OWNER, parse(f"id:{identifier}")))
    now(world.node.purge(OWNER, parse(f"id:{identifier}")))
    return digest


def test_the_trash_ends_after_its_days(world: World, chores: Housekeeping) -> None:
    """An entry is purged when its time is over, not before, and a restored one never."""
    world.store("early")
    restored = world.store("restored")
    now(world.node.delete(OWNER, parse("name:*")))
    now(world.node.restore(OWNER, parse("name:restored")))
    world.now_ms += 29 * DAY_MS
    now(chores.expire_trash())
    assert now(world.node.count(OWNER, parse("in:trash"))) == 1
    world.now_ms += 2 * DAY_MS
    now(chores.expire_trash())
    assert now(world.node.count(OWNER, parse("in:trash"))) == 0
    assert now(world.node.info(OWNER, restored)).entry.name == "restored"


def test_versions_end_after_the_same_days(world: World, chores: Housekeeping) -> None:
    """A version is kept from when it was replaced, however old it is."""
    identifier = world.store("a", data=b"one")
    world.now_ms += 300 * DAY_MS
    receiving = now(world.node.receive(OWNER))
    receiving.write(b"two")
    now(receiving.replace(identifier))
    world.now_ms += 29 * DAY_MS
    now(chores.expire_versions())
    (version,) = now(world.node.info(OWNER, identifier)).entry.versions
    assert world.content(identifier, version=version.stamp) == b"one"
    world.now_ms += 2 * DAY_MS
    now(chores.expire_versions())
    assert now(world.node.info(OWNER, identifier)).entry.versions == ()
    assert world.content(identifier) == b"two"


def test_contents_of_purged_entries_go_after_seven_days(world: World, chores: Housekeeping) -> None:
    """Not before, and not where another entry has the same content."""
    digest = purged(world, b"gone")
    shared = purged(world, b"shared")
    keeper = world.store("keeper", data=b"shared")
    world.now_ms += KEEP_PURGED_MS - DAY_MS
    now(chores.collect())
    assert world.blobs.stat(digest) is not None
    world.now_ms += 2 * DAY_MS
    now(chores.collect())
    assert world.blobs.stat(digest) is None
    assert world.blobs.stat(shared) is not None
    assert world.content(keeper) == b"shared"
    assert world.catalog.orphans(world.now_ms, 10) == []


def test_a_node_without_all_records_collects_nothing(world: World, chores: Housekeeping) -> None:
    """What seems to be an orphan may belong to a record that has not come yet."""
    digest = purged(world, b"seems gone")
    stray = world.blobs.put_many([b"stray"])[0].digest
    world.blobs.unpin(stray)
    world.now_ms += KEEP_PURGED_MS + DAY_MS
    world.core.starting = "it gets what others have"
    now(chores.audit())
    now(chores.collect())
    assert world.blobs.stat(digest) is not None
    assert not world.catalog.orphans(1 << 52, 10)[1:]
    world.core.starting = ""
    now(chores.collect())
    assert world.blobs.stat(digest) is None
    assert world.blobs.stat(stray) is not None


def test_a_content_on_its_way_in_is_never_collected(world: World, chores: Housekeeping) -> None:
    """Between storing a content anew and recording it, its pin keeps it."""
    digest = purged(world, b"x" * 200_000)
    world.now_ms += KEEP_PURGED_MS + DAY_MS
    receiving = now(world.node.receive(OWNER))
    receiving.write(b"x" * 200_000)
    blob = now(receiving._inflow.finish())
    assert blob.digest == digest
    now(chores.collect())
    assert world.blobs.stat(digest) is not None
    world.blobs.unpin(digest)
    now(chores.collect())
    assert world.blobs.stat(digest) is None


def test_the_audit_finds_what_a_crash_left(world: World, chores: Housekeeping) -> None:
    """A content that no record ever named goes seven days after it was found."""
    (blob,) = world.blobs.put_many([b"left behind"])
    world.blobs.unpin(blob.digest)
    kept = world.store("kept")
    now(chores.audit())
    world.now_ms += KEEP_PURGED_MS + DAY_MS
    now(chores.collect())
    assert world.blobs.stat(blob.digest) is None
    assert world.content(kept) == b"content"


def test_unfinished_uploads_are_forgotten(world: World, chores: Housekeeping) -> None:
    """What nobody came back for in seven days goes."""
    receiving = now(world.node.receive(OWNER))
    receiving.write(b"half")
    now(receiving.keep("slot"))
    now(chores.collect())
    assert now(world.node.kept(OWNER, "slot")) == 4
    world.now_ms += KEEP_PURGED_MS + DAY_MS
    now(chores.collect())
    assert now(world.node.kept(OWNER, "slot")) is None


def test_chores_take_turns_and_stop(world: World) -> None:
    """Everything runs within a day without an error, and nothing is left when stopped."""
    clock = Clock()
    done: list[str] = []

    class Counting(Housekeeping):
        async def _turn(self, name: str, interval_s: float, chore: Any) -> None:
            await super()._turn(name, interval_s, chore)
            done.append(name)

    chores = Counting(world.core, clock, 30)
    world.store("a")
    chores.start()
    for _ in range(60):
        clock.advance(DAY / 40)
    assert set(done) == {"checkpoint", "room", "trash", "collection", "audit", "versions", "scrub"}
    now(chores.stop())
    assert clock.getDelayedCalls() == []


def test_a_chore_that_fails_is_tried_again(world: World, flush_logged_errors: Any) -> None:
    """One bad turn ends neither the chore nor the others."""
    clock = Clock()
    chores = Housekeeping(world.core, clock, 30)
    failures = 0

    async def bad() -> float:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise ZeroDivisionError
        raise NotFound("still not there")

    chores._plan("bad", 1, 1, bad)
    clock.advance(1)
    clock.advance(3600)
    assert failures == 2
    assert flush_logged_errors(ZeroDivisionError)
    now(chores.stop())
