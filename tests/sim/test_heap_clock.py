"""The simulator's clock does what Twisted's does."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.sim.heap_clock import HeapClock

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("later"), st.integers(0, 20)),
        st.tuples(st.just("advance"), st.integers(0, 9)),
        st.tuples(st.sampled_from(["cancel", "again"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["delay", "reset"]), st.integers(0, 9)),
    ),
    max_size=40,
)


def story(clock, steps):
    """What runs when, by a list of steps."""
    told = []
    calls = []
    for what, number in steps:
        active = [call for call in calls if call.active()]
        if what == "later":
            mark = len(calls)
            calls.append(clock.callLater(number, lambda mark=mark: told.append((mark, clock.seconds()))))
        elif what == "advance":
            clock.advance(number)
        elif active:
            call = active[number % len(active)]
            if what == "cancel":
                call.cancel()
            elif what == "again":
                call.reset(call.getTime() - clock.seconds())
            else:
                getattr(call, what)(number)
    clock.advance(100)
    return told, [call.active() for call in calls]


@given(STEPS)
def test_it_runs_the_same_calls_at_the_same_times(steps):
    """Whatever is asked for, put off, cancelled: the same calls run in the same advances, and none is left."""
    heap, heap_left = story(HeapClock(), steps)
    plain, plain_left = story(Clock(), steps)
    assert sorted(heap) == sorted(plain)
    assert [at for _, at in heap] == [at for _, at in plain]
    assert heap_left == plain_left
