"""The outbox: changes in order for all peers at once, in bounded memory, each record once per message."""

from __future__ import annotations

from tagfs.cluster.outbox import PUSH_BYTES, Copy, Outbox, Outgoing, condense
from tagfs.model.record import Ref


def outgoing(number, key="k", size=100, copies=()):
    return Outgoing(number, Ref("entry", key), b"x" * size, copies)


def test_batches_follow_one_another():
    """Batches are cut by bytes and by number, and nothing is left out between them."""
    outbox = Outbox()
    outbox.begin("n/e", 4)
    outbox.add(outgoing(number, size=PUSH_BYTES // 3) for number in range(5, 12))
    seen = []
    while batch := outbox.batch(5 + len(seen), 100):
        assert sum(item.size for item in batch) <= PUSH_BYTES
        seen += [item.number for item in batch]
    assert seen == list(range(5, 12))
    assert [item.number for item in outbox.batch(6, 1)] == [6]


def test_memory_is_bounded():
    """The oldest make room; what is left still begins where `first` says."""
    outbox = Outbox(limit=1000)
    outbox.begin("n/e", 0)
    outbox.add(outgoing(number, size=200) for number in range(1, 20))
    assert outbox.last == 19
    assert 15 < outbox.first <= 19
    assert outbox.batch(1, 100)[0].number == outbox.first
    outbox.trim(18)
    assert [item.number for item in outbox.batch(1, 100)] == [19]
    outbox.trim(30)
    assert (outbox.batch(1, 100), outbox.first, outbox.last) == ([], 20, 19)


def test_what_is_too_large_is_not_pushed():
    """A change without bytes ends a batch, and gives none where it is the first."""
    outbox = Outbox()
    outbox.begin("n/e", 0)
    outbox.add([outgoing(1), outgoing(2, size=0), outgoing(3)])
    assert [item.number for item in outbox.batch(1, 100)] == [1]
    assert outbox.batch(2, 100) == []
    assert [item.number for item in outbox.batch(3, 100)] == [3]


def test_contents_for_a_node():
    """Who has all records already is still sent the contents that it did not confirm."""
    held = Copy("a", b"1", 1, b"c", frozenset({"n2"}), holders={"n2"})
    wanted = Copy("a", b"2", 1, b"c", frozenset({"n2", "n3"}))
    outbox = Outbox()
    outbox.begin("n/e", 0)
    outbox.add([outgoing(1), outgoing(2, copies=(held,)), outgoing(3, copies=(wanted,)), outgoing(4)])
    assert outbox.first_for("n2", 1, 4) == 3
    assert outbox.first_for("n2", 4, 4) == 5
    assert outbox.first_for("n2", 1, 2) == 3
    assert outbox.first_for("n4", 1, 4) == 5


def test_condense_keeps_the_last_state_and_all_contents():
    """Of one record only the last change is sent, with the contents of all; others stay in order."""
    first, second = (Copy("a", bytes([at]), 1, b"c", frozenset()) for at in range(2))
    items = [
        outgoing(1, "a", copies=(first,)),
        outgoing(2, "b"),
        outgoing(3, "a"),
        outgoing(4, "a", copies=(second,)),
        outgoing(5, "c"),
    ]
    assert [(item.number, list(item.copies)) for item in condense(items)] == [(2, []), (4, [first, second]), (5, [])]
