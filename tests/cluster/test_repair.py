"""The queue of what is owed, and the rule of what may go: bounds, order, patience."""

from __future__ import annotations

import random

import pytest

from tagfs.cluster.placement import Layout, Place
from tagfs.cluster.repair import FIRST_PAUSE_S, LONGEST_PAUSE_S, Owed, OwedQueue, may_drop, owners, ripe, still_surplus


def owed(number: int) -> Owed:
    return Owed(number.to_bytes(32, "big"), 1000 + number, f"e{number}")


def taken(queue: OwedQueue, now_s: float = 0) -> list[int]:
    """Takes all that is due."""
    found = []
    while (each := queue.take(now_s)) is not None:
        found.append(int(each.entry[1:]))
    return found


def test_fewest_copies_first():
    """In order of copies, then as they came; one that is added again with fewer copies moves to the front."""
    queue = OwedQueue()
    for number, copies in enumerate([2, 1, 0, 2, 1, 0]):
        queue.add(owed(number), copies, 0)
    queue.add(owed(3), 0, 0)
    queue.add(owed(2), 0, 0)
    assert len(queue) == 6
    assert queue.owed_bytes == sum(1000 + number for number in range(6))
    assert taken(queue) == [2, 5, 3, 1, 4, 0]
    assert queue.running == 6
    queue.succeeded(owed(5).digest)
    queue.forget(owed(0).digest)
    assert (len(queue), queue.done, queue.done_bytes) == (4, 1, 1005)


def test_each_is_taken_once():
    """What runs is not given again, however often it is added."""
    queue = OwedQueue()
    queue.add(owed(1), 1, 0)
    assert taken(queue) == [1]
    queue.add(owed(1), 0, 0)
    assert taken(queue) == []


def test_patience_grows():
    """A failure makes it wait twice as long as the one before, up to a bound; others go on meanwhile."""
    queue = OwedQueue()
    queue.add(owed(1), 0, 0)
    now_s, pauses = 0.0, []
    for attempt in range(1, 14):
        assert taken(queue, now_s) == [1]
        assert queue.fail(owed(1).digest, now_s) == attempt
        due_s = queue.next_due_s()
        pauses.append(due_s - now_s)
        assert taken(queue, due_s - 0.001) == []
        now_s = due_s
    assert pauses[:4] == [FIRST_PAUSE_S * 2**number for number in range(4)]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert taken(queue, now_s) == [1]
    queue.fail(owed(1).digest, now_s)
    queue.hurry(now_s)
    assert taken(queue, now_s) == [1]


def test_bounds():
    """Beyond the limit those with the most copies are left out, and it says that there are more."""
    queue = OwedQueue(limit=3)
    for number, copies in enumerate([1, 2, 1]):
        queue.add(owed(number), copies, 0)
    assert not queue.overflowed
    queue.add(owed(3), 2, 0)
    assert queue.overflowed
    queue.add(owed(4), 0, 0)
    assert taken(queue) == [4, 0, 2]
    queue.add(owed(5), 0, 0)
    assert len(queue) == 3
    assert taken(queue) == []


def test_clear_leaves_what_runs():
    """Another layout: what is on its way comes, the rest is found anew."""
    queue = OwedQueue()
    for number in range(3):
        queue.add(owed(number), number, 0)
    assert queue.take(0) == owed(0)
    queue.clear()
    assert len(queue) == 1
    assert taken(queue, 100) == []
    queue.succeeded(owed(0).digest)
    assert (len(queue), queue.done) == (0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_against_a_naive_queue(seed):
    """Whatever happens in whatever order, it gives what is due with the fewest copies, and its places stay bounded."""
    chance = random.Random(seed)
    queue, now_s = OwedQueue(limit=50), 0.0
    waiting: dict[int, list[float]] = {}  # number -> copies, due
    running: set[int] = set()
    for _ in range(4000):
        now_s += chance.random()
        number = chance.randrange(40)
        what = chance.random()
        if what < 0.4 and number not in running:
            copies = chance.randrange(4)
            queue.add(owed(number), copies, now_s)
            waiting.setdefault(number, [0, now_s])[0] = copies
        elif what < 0.7:
            due = {each: copies for each, (copies, due_s) in waiting.items() if due_s <= now_s and each not in running}
            given = queue.take(now_s)
            assert (given is None) == (not due)
            if given is not None:
                got = int(given.entry[1:])
                assert due[got] == min(due.values())
                running.add(got)
        elif running:
            got = chance.choice(sorted(running))
            running.discard(got)
            if chance.random() < 0.5:
                queue.succeeded(owed(got).digest)
                del waiting[got]
            else:
                failures = queue.fail(owed(got).digest, now_s)
                waiting[got][1] = now_s + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failures - 1))
        assert len(queue) == len(waiting)
        assert queue.running == len(running)
        assert len(queue._order) + len(queue._later) <= 4 * queue.limit + 1


LAYOUT = Layout.of([Place(f"n{number}") for number in range(1, 6)], 3)


def test_may_drop():
    """Only who is no owner of any partition, and when every owner of all of them proved it under this very layout."""
    for partition in range(20):
        wanted = owners(LAYOUT, [partition])
        me = sorted({place.node for place in LAYOUT.places} - wanted)[0]
        proofs = dict.fromkeys(wanted, LAYOUT.id)
        assert may_drop(me, LAYOUT, [partition], proofs)
        for node in wanted:
            assert not may_drop(me, LAYOUT, [partition], {**proofs, node: "another"})
            assert not may_drop(me, LAYOUT, [partition], {other: proofs[other] for other in wanted if other != node})
            assert not may_drop(node, LAYOUT, [partition], proofs)
        other = next(each for each in range(256) if owners(LAYOUT, [each]) != wanted)
        assert not may_drop(me, LAYOUT, [partition, other], proofs)


def test_nothing_is_dropped_without_a_layout_or_references():
    """No owners are no proof."""
    empty = Layout.of([], 3)
    assert not may_drop("n1", empty, [1, 2], {})
    assert not may_drop("n1", LAYOUT, [], {})


def test_surplus_ripens():
    """Only what was surplus at each look since counts its time."""
    since = still_surplus([b"a", b"b"], {}, 0)
    since = still_surplus([b"b", b"c"], since, 50)
    assert ripe(since, 100, 100) == {b"b"}
    since = still_surplus([b"a", b"b"], since, 100)
    assert ripe(since, 199, 100) == {b"b"}
