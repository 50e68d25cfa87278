"""Group commit: what queues up together becomes durable together, in order, and fails alone where it can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tagfs.errors import BadRequest, StorageFull, Unavailable
from tagfs.model.record import Field, Record, Ref
from tagfs.model.stamp import Stamp
from tagfs.node import group_commit
from tagfs.node.ahead import Ahead
from tagfs.node.group_commit import Done, GroupCommit
from tagfs.node.offload import Inline
from tagfs.storage.interfaces import MAX_BATCH
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore


class ByHand:
    """An offload whose calls run when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    pending = 0

    def run(self, call: Callable[[], Any]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.calls.append((call, answer))
        return answer

    def step(self) -> None:
        """Runs the oldest call that waits."""
        call, answer = self.calls.pop(0)
        Inline().run(call).chainDeferred(answer)

    def stop(self) -> None:
        assert not self.calls


class Counting(MemoryCatalog):
    """A catalog that remembers the sizes of its merges, and fails when told to."""

    def __init__(self) -> None:
        super().__init__("n")
        self.merges: list[int] = []
        self.blobs = MemoryBlobStore()
        self.ready_with: list[Sequence[bytes]] = []
        """What the blob store had when a merge was told that it may become durable."""
        self.failure: Exception | None = None

    def merge(self, changes: Sequence[Record], *more: Any, **named: Any) -> Sequence[Record]:
        if self.failure is not None:
            raise self.failure
        self.merges.append(len(changes))
        ready = named.pop("ready", None)
        if ready is not None:
            ready()
            self.ready_with.append(self.blobs.digests(b"", 10))
        return super().merge(changes, *more, **named)


class Scene:
    def __init__(self) -> None:
        self.threads = ByHand()
        self.catalog = Counting()
        self.blobs = MemoryBlobStore()
        self.commit = GroupCommit(self.threads, self.catalog, self.blobs)

    def write(self, key: str, content: bytes | Ahead | None = None, amount: int = 1) -> tuple[list[Done], list[Any]]:
        """Begins a write of ``amount`` records; what it gave, and what went wrong."""
        done: list[Done] = []
        failed: list[Any] = []
        fields = {"name": Field(key, Stamp(1, "n"))}
        made = [Record("note", f"{key}{number}", fields) for number in range(amount)]
        self.commit.write(content, (), lambda _blob, _present: made).addCallbacks(done.append, failed.append)
        return done, failed


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_writes_that_queue_up_are_one_group(scene: Scene) -> None:
    """The first goes at once, all others wait for it and then go together."""
    outcomes = [scene.write(key, b"x") for key in "abcde"]
    scene.threads.step()
    assert [len(done) for done, _ in outcomes] == [1, 0, 0, 0, 0]
    scene.threads.step()
    assert [len(done) for done, _ in outcomes] == [1, 1, 1, 1, 1]
    assert scene.catalog.merges == [1, 4]
    assert [done[0].states[0].value("name") for done, _ in outcomes] == list("abcde")
    scene.threads.stop()


def test_nothing_is_answered_before_it_is_durable(scene: Scene) -> None:
    """As long as the commit runs, nobody hears of success."""
    done, _ = scene.write("a", b"x")
    assert done == []
    assert scene.catalog.merges == []
    scene.threads.step()
    assert len(done) == 1


def test_contents_are_pinned_only_until_their_records_are_there(scene: Scene) -> None:
    """After the commit a content can be dropped; a failed commit leaves no pin either."""
    done, _ = scene.write("a", b"x")
    scene.threads.step()
    assert done[0].blob is not None
    assert scene.blobs.drop(done[0].blob.digest)
    scene.catalog.failure = StorageFull("full")
    _, failed = scene.write("b", b"y")
    scene.threads.step()
    assert failed[0].check(StorageFull)
    (digest,) = scene.blobs.digests(b"", 10)
    assert scene.blobs.drop(digest)


def test_a_content_stored_ahead_is_durable_before_its_record(scene: Scene) -> None:
    """It is stored beside everything else; the commit waits for it, whether or not that has begun, and unpins it."""
    ahead = scene.commit.store_ahead(b"x")
    done, _ = scene.write("a", ahead)
    store, commit = scene.threads.calls
    scene.catalog.blobs = scene.blobs
    scene.threads.calls = [commit, store]
    scene.threads.step()
    assert done[0].blob == ahead.blob
    assert scene.catalog.ready_with == [[ahead.blob.digest]]
    assert scene.blobs.drop(ahead.blob.digest)
    scene.threads.step()
    assert list(scene.blobs.digests(b"", 10)) == []


def test_contents_stored_ahead_become_durable_together(scene: Scene) -> None:
    """What came while others were stored is one group of the blob store."""
    for data in (b"1", b"2", b"3"):
        scene.commit.store_ahead(data)
    assert len(scene.threads.calls) == 1
    groups: list[int] = []
    put_many = scene.blobs.put_many
    scene.blobs.put_many = lambda contents: groups.append(len(contents)) or put_many(contents)  # type: ignore
    scene.threads.step()
    assert groups == [3]


@pytest.mark.parametrize("beside", [False, True])
def test_a_content_that_cannot_be_stored_ahead_fails_its_write(scene: Scene, beside: bool) -> None:
    """No record without content; a change of records in the same group is made all the same."""
    scene.blobs = MemoryBlobStore(capacity=0)
    scene.commit = GroupCommit(scene.threads, scene.catalog, scene.blobs)
    scene.write("first")
    ahead = scene.commit.store_ahead(b"x")
    _, failed = scene.write("a", ahead)
    other = scene.write("b") if beside else ([None], [])
    while scene.threads.calls:
        scene.threads.step()
    assert failed[0].check(StorageFull)
    assert len(other[0]) == 1
    assert scene.catalog.get([Ref("note", "a0")]) == [None]


def test_a_slow_device_is_noticed_and_forgotten(scene: Scene) -> None:
    """By how long the last commits took, whether they came to a good end or not."""
    clock = Clock()
    scene.commit = GroupCommit(scene.threads, scene.catalog, scene.blobs, now_s=clock.seconds)

    def commits(number: int, seconds: float) -> bool:
        for _ in range(number):
            scene.commit.write(None, (), lambda _blob, _present: clock.advance(seconds) or ())
            scene.threads.step()
        return scene.commit.is_slow

    assert not scene.commit.is_slow
    assert not commits(5, 0.001)
    assert commits(5, 0.01)
    assert commits(1, 0.001)
    assert not commits(10, 0.001)


def test_one_that_is_given_up_leaves_no_pin(scene: Scene) -> None:
    """Given up before or after it is stored, it can be dropped then."""
    early, late = scene.commit.store_ahead(b"x"), scene.commit.store_ahead(b"y")
    early.release()
    scene.threads.step()
    late.release()
    assert scene.blobs.drop(early.blob.digest)
    assert scene.blobs.drop(late.blob.digest)


def test_a_bad_plan_fails_alone(scene: Scene) -> None:
    """The others of its group become durable."""
    scene.write("first")

    def plan(_blob: Any, _present: Any) -> Sequence[Record]:
        raise BadRequest("no")

    failed: list[Any] = []
    scene.commit.write(b"z", (), plan).addErrback(failed.append)
    done, _ = scene.write("good")
    scene.threads.step()
    scene.threads.step()
    assert failed[0].check(BadRequest)
    assert len(done) == 1


def test_a_failed_commit_fails_its_whole_group_and_no_other(scene: Scene) -> None:
    """Whoever was in it is told; what comes later is tried anew."""
    scene.catalog.failure = StorageFull("full")
    outcomes = [scene.write(key) for key in "abc"]
    scene.threads.step()
    scene.threads.step()
    assert all(failed and failed[0].check(StorageFull) for _, failed in outcomes)
    scene.catalog.failure = None
    done, _ = scene.write("d")
    scene.threads.step()
    assert len(done) == 1


def test_a_group_is_bounded(scene: Scene) -> None:
    """Neither changes nor bytes of one group grow without limit, and none is lost in the split."""
    scene.write("first")
    many = [scene.write(f"m{number}-", amount=500) for number in range(20)]
    big = [scene.write(f"b{number}-", str(number).encode() * 30_000) for number in range(400)]
    while scene.threads.calls:
        scene.threads.step()
    assert max(scene.catalog.merges) <= MAX_BATCH
    assert all(len(done[0].states) == 500 for done, _ in many)
    assert all(len(done) == 1 for done, _ in big)


def test_plans_see_what_was_acknowledged_before(scene: Scene) -> None:
    """A group reads its records after the groups before it."""
    scene.write("a")
    seen: list[Any] = []

    def plan(_blob: Any, present: Sequence[Record | None]) -> Sequence[Record]:
        seen.extend(present)
        return ()

    scene.commit.write(None, (Ref("note", "a0"), Ref("note", "none")), plan)
    scene.threads.step()
    scene.threads.step()
    assert [record and record.value("name") for record in seen] == ["a", None]


def test_closing_waits_for_what_was_taken_and_takes_nothing_new(scene: Scene) -> None:
    """A clean stop loses nothing."""
    outcomes = [scene.write(key) for key in "ab"]
    closed: list[None] = []
    Deferred.fromCoroutine(scene.commit.close()).addCallback(closed.append)
    _, refused = scene.write("c")
    assert refused[0].check(Unavailable)
    scene.threads.step()
    assert closed == []
    scene.threads.step()
    assert closed == [None]
    assert all(done for done, _ in outcomes)


def test_exclusive_calls_take_their_turn_between_groups(scene: Scene) -> None:
    """Collection runs where no write runs."""
    scene.write("a")
    result: list[str] = []

    async def collect() -> None:
        result.append(await scene.commit.exclusive(lambda: f"after {scene.catalog.merges}"))

    Deferred.fromCoroutine(collect())
    scene.threads.step()
    scene.threads.step()
    assert result == ["after [1]"]


def test_the_bound_of_a_group_is_what_the_catalog_takes() -> None:
    """Half the catalog's batch leaves room for one more definition per change."""
    assert group_commit.MAX_BATCH == MAX_BATCH


def test_a_full_disk_fails_the_contents_of_a_group_alone(scene: Scene) -> None:
    """A delete or a change of tags that came along is done: it may be what makes room."""
    scene.blobs = MemoryBlobStore(capacity=3)
    scene.commit = GroupCommit(scene.threads, scene.catalog, scene.blobs)
    first, _ = scene.write("a")
    outcomes = [scene.write("b", b"much"), scene.write("c"), scene.write("d", b"more")]
    scene.threads.step()
    scene.threads.step()
    assert first
    assert [len(done) for done, _ in outcomes] == [0, 1, 0]
    assert all(failed[0].check(StorageFull) for _, failed in (outcomes[0], outcomes[2]))
    assert scene.catalog.merges == [1, 1]
    scene.threads.stop()


def test_a_group_has_a_bounded_number_of_writes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that wait no more go together than would be cheaper."""
    monkeypatch.setattr(group_commit, "GROUP", 4)
    outcomes = [scene.write(str(number)) for number in range(10)]
    while scene.threads.calls:
        scene.threads.step()
    assert scene.catalog.merges == [1, 4, 4, 1]
    assert [len(done) for done, _ in outcomes] == [1] * 10


def test_answers_keep_the_order_of_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a group that begins early ends before the last one was told, and where who is told asks for more."""
    monkeypatch.setattr(group_commit, "GROUP", 2)
    commit = GroupCommit(Inline(), MemoryCatalog("n"), MemoryBlobStore())
    told: list[str] = []

    def ask(name: str, more: Sequence[str] = ()) -> None:
        def tell(_: Done) -> None:
            told.append(name)
            for other in more:
                ask(other)

        commit.write(None, (), lambda _blob, _present: ()).addCallback(tell)

    ask("first", ["second", "third", "fourth", "fifth", "sixth"])
    assert told == ["first", "second", "third", "fourth", "fifth", "sixth"]


def test_a_group_that_waits_begins_before_the_last_one_hears(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hears finds the next group under way."""
    monkeypatch.setattr(group_commit, "GROUP", 2)
    under_way: list[int] = []
    for _ in range(3):
        scene.commit.write(None, (), lambda _blob, _present: ()).addCallback(
            lambda _: under_way.append(len(scene.threads.calls))
        )
    scene.threads.step()
    scene.threads.step()
    assert under_way == [1, 0, 0]
    scene.threads.stop()
