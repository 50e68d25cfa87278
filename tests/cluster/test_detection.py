"""Who is alive: silence, suspicion, hearsay, self-doubt; and clocks, and what pings say. No network, only time."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.cluster.clocks import Clocks
from tagfs.cluster.detection import ALIVE, DEAD, FANOUT, SUSPECT, TICK_S, Detector
from tagfs.cluster.pings import Ping, read_ping, write_ping


class Watch:
    """A detector, and others that answer or not."""

    def __init__(self, *nodes: str) -> None:
        self.detector = Detector(Random(1))
        self.now = 100.0
        self.silent: set[str] = set()
        self.turns: list[tuple[str, str]] = []
        self.pinged: list[str] = []
        self.detector.follow(nodes, self.now)

    def run(self, seconds: float, until: str = "") -> float:
        """Time passes, a tick at a time; whoever is not silent answers at once."""
        begin = self.now
        while self.now < begin + seconds and not (self.turns and self.turns[-1][1] == until):
            self.now += TICK_S
            self.detector.doubt(self.now)
            self.turns += [(turn.node, turn.after) for turn in self.detector.tick(self.now)]
            self.pinged = self.detector.to_ping(self.now)
            for node in self.pinged:
                if node not in self.silent:
                    self.answer(node)
        return self.now - begin

    def answer(self, node: str, boot: str = "b1", incarnation: int = 1) -> None:
        turn = self.detector.sign(node, boot, incarnation, self.now, direct=True)
        self.turns += [(turn.node, turn.after)] if turn else []

    def state(self, node: str) -> str:
        return self.detector.peers[node].state


def test_silence_becomes_suspicion_and_death():
    """Suspect after three seconds, dead within eight, alive again with the first sign of life."""
    watch = Watch("x", "y")
    watch.run(5)
    assert watch.turns == [("x", ALIVE), ("y", ALIVE)] or watch.turns == [("y", ALIVE), ("x", ALIVE)]
    watch.silent = {"x"}
    assert 2.5 <= watch.run(10, SUSPECT) <= 4
    assert watch.run(10, DEAD) <= 4.5
    assert watch.state("y") == ALIVE
    watch.silent = set()
    watch.run(1.5)
    assert watch.state("x") == ALIVE


def test_who_was_never_heard_of_is_not_alive():
    """A new member is suspect, silently, until it is heard of, and dead in time."""
    watch = Watch("x")
    watch.silent = {"x"}
    assert watch.state("x") == SUSPECT
    watch.run(10)
    assert watch.turns == [("x", DEAD)]


def test_a_node_that_stood_still_condemns_nobody():
    """After a minute without a turn, nobody is even suspected; who is really gone gets its full time."""
    watch = Watch("x", "y")
    watch.run(5)
    watch.turns.clear()
    watch.silent = {"x"}
    watch.now += 60
    watch.run(2)
    assert watch.turns == []
    watch.run(10, DEAD)
    assert watch.turns == [("x", SUSPECT), ("x", DEAD)]


def test_small_delays_add_up_to_nothing():
    """A node whose every turn comes a second late still condemns nobody that answers."""
    watch = Watch("x")
    watch.run(5)
    watch.turns.clear()
    for _ in range(60):
        watch.now += 1.0
        watch.run(TICK_S)
    assert watch.turns == []


def test_hearsay_condemns_nobody():
    """What others say makes this node look for itself; an answer ends it. Who does not answer is dead sooner."""
    watch = Watch("x", "y")
    watch.run(5)
    watch.turns.clear()
    watch.now += 0.6
    watch.detector.hear_rumour("x", 1, 30.0, watch.now)
    watch.run(8)
    assert watch.turns == []
    watch.silent = {"y"}
    watch.run(1.5)
    watch.detector.hear_rumour("y", 1, 7.0, watch.now)
    assert watch.run(10, DEAD) <= 5


def test_an_outbid_suspicion_is_nothing():
    """A suspicion of an earlier incarnation does not count."""
    watch = Watch("x")
    watch.run(3)
    watch.answer("x", incarnation=5)
    watch.now += 1
    assert not watch.detector.hear_rumour("x", 4, 3.0, watch.now)
    assert watch.detector.hear_rumour("x", 5, 3.0, watch.now)


def test_a_goodbye_counts_at_once_and_for_that_run_only():
    """Who says that it stops is dead; what comes late from it changes nothing; its next run is alive at once."""
    watch = Watch("x")
    watch.run(3)
    turn = watch.detector.stop("x", "b1", watch.now)
    assert turn is not None and turn.stopped and watch.state("x") == DEAD
    watch.answer("x", "b1")
    assert watch.state("x") == DEAD
    turn = watch.detector.sign("x", "b2", 101, watch.now, direct=False)
    assert turn is not None and turn.restarted and watch.state("x") == ALIVE


def test_a_restart_is_seen_without_a_gap():
    """A new run of a process that was never missed is told all the same."""
    watch = Watch("x")
    watch.run(3)
    turn = watch.detector.sign("x", "b2", 101, watch.now, direct=True)
    assert turn is not None and turn.restarted


def test_only_who_answers_can_be_asked():
    """Who is heard of by way of others is alive, but cannot be asked."""
    watch = Watch("x", "y")
    watch.run(3)
    assert watch.detector.askable(watch.now) == ["x", "y"]
    watch.silent = {"x"}
    for _ in range(6):
        watch.run(1)
        watch.detector.sign("x", "b1", 1, watch.now, direct=False)
    assert watch.state("x") == ALIVE
    assert watch.detector.askable(watch.now) == ["y"]


def test_others_are_asked_to_look():
    """After a second and a half of silence, up to three that answer are asked; then pings tell of it."""
    watch = Watch("x", "a", "b", "c", "d")
    watch.run(3)
    assert watch.detector.to_probe(watch.now) == []
    watch.silent = {"x"}
    watch.run(2.75)
    asked = watch.detector.to_probe(watch.now)
    assert len(asked) == 3 and {target for _, target in asked} == {"x"} and "x" not in dict(asked)
    assert [(node, incarnation) for node, incarnation, _ in watch.detector.rumours(watch.now)] == [("x", 1)]


def test_of_very_many_some_are_pinged_in_turn():
    """With more than the fan-out, each ping round has as many, and all get their turn."""
    nodes = [f"n{number}" for number in range(100)]
    watch = Watch(*nodes)
    seen: set[str] = set()
    for _ in range(48):
        watch.run(TICK_S)
        assert len(watch.pinged) <= FANOUT
        seen.update(watch.pinged)
    assert seen == set(nodes)


def test_clocks_are_measured_by_the_quickest_answer():
    """The offset is right in spite of slow answers, is warned of once over half a second, and again when it was good between."""
    clocks = Clocks()
    assert clocks.sample("x", 10_600, 10_000 + 10, 0.02) == "is 0.6 s ahead of the clock of this node"
    assert clocks.sample("x", 20_600, 20_000 + 400, 0.8) == ""
    assert clocks.offset("x") == pytest.approx(600)
    for at in range(30_000, 36_000, 1000):
        assert clocks.sample("x", at, at + 5, 0.01) == ""
    assert clocks.skewed == set()
    for at in range(40_000, 46_000, 1000):
        clocks.sample("x", at - 900, at + 5, 0.01)
    assert clocks.skewed == {"x"} and clocks.warnings == 2
    assert clocks.sample("y", 0, 10_000_000, 1.5) == "" and clocks.offset("y") == 0


def test_the_clock_that_is_off_the_median_refuses():
    """A minute off the median of three clocks refuses, whether ahead or behind; two clocks say nothing."""
    for error in (-120_000, 120_000):
        clocks = Clocks()
        clocks.sample("x", 500_000 - error, 500_000, 0.01)
        assert clocks.refusal(["x"]) == ""
        clocks.sample("y", 500_000 - error, 500_000, 0.01)
        assert "120 s" in clocks.refusal(["x", "y"])
        assert ("behind" if error < 0 else "ahead of") in clocks.refusal(["x", "y"])
        assert clocks.refusal(["x"]) == ""
    clocks = Clocks()
    clocks.sample("x", 500_000, 500_000, 0.01)
    clocks.sample("y", 700_000, 500_000, 0.01)
    assert clocks.refusal(["x", "y"]) == ""


IDS = st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=1, max_size=26)


@given(
    st.builds(
        Ping,
        IDS,
        IDS,
        st.integers(1, 10**12),
        IDS,
        st.integers(1, 10**15),
        st.lists(
            st.tuples(IDS, st.integers(1, 1000), st.integers(0, 1000).map(lambda tenths: tenths / 10)), max_size=8
        ).map(tuple),
        st.dictionaries(IDS, st.integers(0, 10**6).map(float), max_size=16),
        st.dictionaries(st.sampled_from(["has", "entries", "bytes"]), st.text("abc0123=,", min_size=1, max_size=9)),
    )
)
def test_pings_say_what_they_say(ping):
    """What is written is read."""
    assert read_ping(write_ping(ping)) == ping


@given(st.dictionaries(st.sampled_from(["inc", "clock", "suspect", "dead", "hash"]), st.text(max_size=40)))
def test_any_facts_are_a_ping(facts):
    """Nonsense is left out, not stumbled over."""
    read_ping(facts)


def test_an_idle_ping_is_short():
    """What travels every second between each two nodes is a line of some 120 characters."""
    facts = write_ping(Ping("0123456789abcdef", "0123abcd", 1234, "89abcdef", 1_760_000_000_000))
    assert sum(len(key) + len(value) + 2 for key, value in facts.items()) < 100
