"""Stamps and the clock that makes them."""

from hypothesis import given
from hypothesis import strategies as st

from tagfs.model.stamp import COUNTER_BITS, ZERO, HybridClock, Stamp

clocks = st.integers(0, 1 << 45)
seen = st.builds(Stamp, st.integers(0, 1 << 61), st.sampled_from(["", "a", "b", "c"]))


@given(st.lists(st.tuples(clocks, st.one_of(st.just(ZERO), seen)), min_size=1), st.integers(0, 1 << 61))
def test_stamps_of_a_node_only_grow(moments, last):
    """Whatever the wall clock does and whatever was seen, each stamp is greater than all before, and than what it follows."""
    clock = HybridClock("b", last)
    before = Stamp(last, "b")
    for now, after in moments:
        stamp = clock.stamp(now, after)
        assert stamp > before
        assert stamp > after
        assert stamp.milliseconds >= now
        assert stamp.node == "b"
        before = stamp


def test_a_stamp_is_the_clock_where_nothing_is_in_its_way():
    """Stamps tell the time as long as the clock goes forward."""
    clock = HybridClock("a")
    assert clock.stamp(1000).time == 1000 << COUNTER_BITS
    assert clock.stamp(1000).time == (1000 << COUNTER_BITS) + 1
    assert clock.stamp(1001).milliseconds == 1001


def test_a_restart_goes_on_behind_what_was_persisted():
    """A clock set back over a restart repeats no stamp."""
    first = HybridClock("a").stamp(5000)
    assert HybridClock("a", first.time).stamp(4000) > first


def test_who_has_seen_the_future_can_override_it():
    """A stamp from the future freezes nothing: the next change of who saw it is greater."""
    future = Stamp(1 << 60, "z")
    assert HybridClock("a").stamp(1000, after=future) > future


@given(st.lists(seen))
def test_the_order_is_total(stamps):
    """By time, then by node id; nothing is before zero."""
    assert sorted(stamps) == sorted(stamps, key=lambda stamp: (stamp.time, stamp.node))
    assert all(stamp >= ZERO for stamp in stamps)
