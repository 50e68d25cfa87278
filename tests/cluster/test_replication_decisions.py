"""How many copies an answer needs, to whom a content goes, and what makes an answer complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.cluster.placement import Layout, Place
from tagfs.cluster.replication import FRESH_S, GRACE_S, Demand, Freshness, demand, receivers
from tagfs.cluster.view import ClusterSettings, Member, View


def view(nodes="abc", alive=None, copies=3, write_copies=0, me="a"):
    alive = nodes if alive is None else alive
    members = {node: Member(node, node, ()) for node in nodes}
    layout = Layout.of([Place(node) for node in nodes], min(copies, len(nodes)))
    return View(me, "c", members, {}, frozenset(alive) | {me}, layout, ClusterSettings(copies, write_copies))


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (None, Demand(1, 1, 1, 1)),
        (view("a"), Demand(1, 1, 1, 1)),
        (view("ab"), Demand(2, 2, 2, 2)),
        (view("ab", "a"), Demand(2, 2, 1, 1)),
        (view("abc"), Demand(3, 2, 2, 3)),
        (view("abc", "a"), Demand(3, 2, 1, 1)),
        (view("abcdef", copies=5), Demand(5, 3, 3, 6)),
        (view("abcdef", "ab", copies=5), Demand(5, 3, 2, 2)),
        (view("abc", write_copies=3), Demand(3, 3, 3, 3)),
        (view("abc", "ab", write_copies=3), Demand(3, 3, 3, 2)),
        (view("abc", write_copies=1), Demand(3, 1, 1, 3)),
    ],
)
def test_demand(seen, wanted):
    """A majority of the copies, lowered to who is alive; a number stays what it is."""
    assert demand(seen) == wanted
    assert wanted.can == (wanted.reach >= wanted.need)


@given(st.integers(0, 255), st.sets(st.sampled_from("abcdefg")), st.integers(1, 5), st.sampled_from("abcdefg"))
def test_receivers(partition, alive, copies, me):
    """All owners get a content, the writer never sends it to itself, and where live owners are too few, others help out."""
    seen = view("abcdefg", alive, copies, me=me)
    need = demand(seen).need
    chosen = receivers(seen, partition, need)
    owners = set(seen.layout.owners(partition)) - {me}
    assert owners <= chosen <= seen.alive | owners
    assert me not in chosen
    assert 1 + len(chosen & seen.alive) >= need
    assert len(chosen - owners) <= max(0, need - 1 - len(owners & seen.alive))


class TestFreshness:
    def test_complete(self):
        """What a peer had two seconds ago has to be here; what it had since does not matter, nor does one that asks later."""
        fresh = Freshness()
        assert fresh.complete([], {}, 0)
        assert not fresh.complete(["b"], {}, 0)
        fresh.hear("b", 10, {"b/e": 5}, {"b/e": 5})
        assert fresh.complete(["b"], {"b/e": 5}, 10 + FRESH_S)
        assert not fresh.complete(["b"], {"b/e": 5}, 10.1 + FRESH_S)
        fresh.hear("b", 11, {"b/e": 6}, {"b/e": 5})
        assert fresh.complete(["b"], {"b/e": 5}, 10 + FRESH_S)
        assert not fresh.complete(["b"], {"b/e": 5}, 10.5 + FRESH_S)
        assert fresh.complete(["b"], {"b/e": 6}, 10.5 + FRESH_S)
        assert not fresh.complete(["b", "c"], {"b/e": 6}, 10.5 + FRESH_S)

    def test_what_others_wrote_counts(self):
        """A peer's vector counts whole: it may know of nodes that are gone."""
        fresh = Freshness()
        fresh.hear("b", 10, {"gone/e": 1}, {})
        assert not fresh.complete(["b"], {}, 10)
        assert fresh.complete(["b"], {"gone/e": 1}, 10)

    def test_behind(self):
        """Only what was lacking for a while is asked for, and not once it is here."""
        fresh = Freshness()
        fresh.hear("b", 10, {"b/e": 5}, {"b/e": 4})
        assert not fresh.behind("b", {"b/e": 4}, 10 + GRACE_S / 2)
        assert fresh.behind("b", {"b/e": 4}, 10 + GRACE_S)
        fresh.hear("b", 11, {"b/e": 9}, {"b/e": 5})
        assert not fresh.behind("b", {"b/e": 5}, 10 + GRACE_S)
        assert fresh.behind("b", {"b/e": 5}, 11 + GRACE_S)

    def test_what_is_on_its_way_is_not_asked_for(self):
        """As long as more of an origin comes, the rest of it is waited for."""
        fresh = Freshness()
        fresh.hear("b", 10, {"b/e": 50, "c/e": 7}, {"b/e": 4, "c/e": 7})
        assert not fresh.behind("b", {"b/e": 20, "c/e": 7}, 11)
        fresh.hear("b", 11, {"b/e": 60, "c/e": 8}, {"b/e": 20, "c/e": 7})
        assert not fresh.behind("b", {"b/e": 30, "c/e": 8}, 12)
        assert fresh.behind("b", {"b/e": 30, "c/e": 7}, 12)
        assert fresh.behind("b", {"b/e": 20, "c/e": 8}, 12)

    def test_far_behind(self):
        """Who is behind for long stays behind, however often it hears of more."""
        fresh = Freshness()
        for at in range(100):
            fresh.hear("b", at, {"b/e": at + 1}, {})
        assert fresh.behind("b", {}, 100)
        assert not fresh.complete(["b"], {"b/e": 90}, 100)
        assert fresh.complete(["b"], {"b/e": 100}, 100)

    def test_forget(self):
        """Who left does not count, and counts anew when it comes back."""
        fresh = Freshness()
        fresh.hear("b", 10, {}, {})
        fresh.forget(["c"])
        assert not fresh.complete(["b"], {}, 10)
