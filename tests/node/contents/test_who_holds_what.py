"""What nodes tell each other of their copies: lost, late, doubled, too early, too much; in the end everybody knows the truth."""

from __future__ import annotations

from typing import Any

import pytest

from tagfs.cluster.placement import PARTITIONS
from tagfs.errors import BadRequest
from tagfs.node.contents import hearing, telling
from tagfs.node.contents.hearing import Early
from tagfs.storage.holdings import HOLDING, holding
from tagfs.wire.node_messages import Call
from tests.node.contents import world as w


@pytest.fixture
def three():
    made = w.cluster(3, copies=2)
    yield made
    made.stop()


def believed(world: Any, node: str, of: str) -> set[bytes]:
    """What a node believes of another one."""
    catalog = world.nodes[node].catalog
    noted = catalog._held.get(of, {})
    return {catalog._holding(key) for key in catalog._entries if noted.get(key, node == of)}


def all_know(world: Any) -> bool:
    """Whether every node believes of every other what that one knows of itself."""
    truth = {node.id: believed(world, node.id, node.id) for node in world.up()}
    return all(believed(world, node.id, id) == truth[id] for node in world.up() for id in truth)


def know_within(world: Any, seconds: float, step_s: float = 0.1) -> bool:
    """Whether within so many seconds all nodes have the same records, and know all of each other."""
    for _ in range(int(seconds / step_s)):
        world.run(step_s)
        if world.in_step() and all_know(world):
            return True
    return False


def some(world: Any, number: int, first: int = 0) -> None:
    for each in range(first, first + number):
        world.begin(world.store(world[1 + each % 3], f"f{each}", data=b"%d" % each * 20))
        world.run(0.01)


def test_news_travel_in_a_moment(three):
    """Each node's news are with the others within half a second, with few messages."""
    some(three, 60)
    three.run(1)
    assert all_know(three)
    assert len(believed(three, "n1", "n2")) > 10
    before = three.network.messages
    some(three, 60, 60)
    assert know_within(three, 0.5)
    told = three.network.messages - before
    assert told < 60 * 12


def test_a_content_that_others_have_already(three):
    """A second entry with a content that every node holds: all hear of all copies of it, though nothing comes after it."""
    w.store(three, three[1], b"the same", "first")
    assert know_within(three, 5)
    for node in three.up():
        three.wait(three.store(node, f"at {node.id}", data=b"the same"))
    assert know_within(three, 5)
    second = w.store(three, three[1], b"the same", "last")
    assert know_within(three, 5)
    assert [len(node.catalog.holders(second.id)) for node in three.up()] == [3, 3, 3]


def test_a_quick_restart_is_noticed(three):
    """A node that is back before anybody missed it begins its news anew; others ask for everything again."""
    some(three, 30)
    three.run(2)
    for number in (1, 2, 3):
        w.restart(three[number])
        three.run(0.2)
        some(three, 3, 100 * number)
        assert know_within(three, 10)


def test_everything_lost_for_a_while(three):
    """After a cut, what changed on both sides is known on both."""
    some(three, 20)
    three.run(2)
    three.network.sever(["n1"], ["n2", "n3"])
    some(three, 30, 100)
    three.run(30)
    three.network.heal()
    assert know_within(three, 60, 1)


def test_wrong_beliefs_are_found_out(monkeypatch):
    """Whatever went wrong: sums are compared now and then, and where they differ the truth is asked for."""
    monkeypatch.setattr(hearing, "COMPARE_S", 10)
    three = w.cluster(3, copies=2)
    some(three, 40)
    three.run(2)
    catalog = three[1].catalog
    there = sorted(believed(three, "n1", "n2"))
    catalog.note_holders("n2", b"".join(there[:5]), False)
    lacking = sorted(believed(three, "n1", "n1") - set(there))
    catalog.note_holders("n2", b"".join(lacking[:3]), True)
    assert not all_know(three)
    assert know_within(three, 30, 1)
    three.stop()


def test_more_than_an_answer_holds(three, monkeypatch):
    """A partition with more holdings than fit into one answer comes in pages."""
    for each in range(60):
        three.begin(three.store(three[1], f"f{each}", data=b"%d" % each))
    three.run(2)
    sizes = [len(three[1].catalog.holdings("n1", partition)) // HOLDING for partition in range(PARTITIONS)]
    monkeypatch.setattr(telling, "_PAGE", max(1, max(sizes) - 1))
    w.restart(three[2])
    assert know_within(three, 20)
    assert len(believed(three, "n2", "n1")) == 60


def test_too_many_news_to_remember(three, monkeypatch):
    """Who is further behind than is remembered asks for everything."""
    monkeypatch.setattr(telling, "REMEMBERED", 20)
    some(three, 10)
    three.run(2)
    three.network.sever(["n1"], ["n3"])
    some(three, 90, 100)
    three.run(5)
    three.network.heal()
    assert know_within(three, 60, 1)


def test_news_that_come_in_pieces(three, monkeypatch):
    """News are pushed in bounded pieces, each taken once and in order, also where answers are lost or come twice."""
    monkeypatch.setattr(telling, "_BATCH", 4)
    three.network.loss = three.network.doubling = 0.3
    some(three, 60)
    three.run(20)
    three.network.loss = three.network.doubling = 0
    assert know_within(three, 60, 1)


def test_told_before_the_record_came(three):
    """A copy is told before the record is known: it counts as soon as the record is there, and if it is of that content."""
    node = three[3]
    for id in ("n1", "n2"):
        three.network.sever([id], ["n3"])
    added = w.store(three, three[1], b"early" * 100)
    digest = w.digest_of(three[1], added.id)
    three.wait(node.contents.held("n2", [(added.id, digest)]))
    three.wait(node.contents.held("n1", [(added.id, bytes(32))]))
    assert len(node.contents._hearing.early) == 1
    three.wait(node.contents.held("n2", [(added.id, digest)], held=False))
    three.wait(node.contents.held("n2", [(added.id, digest)]))
    record = three[1].catalog.get([three[1].catalog.records("entry", "", 10)[-1].ref])[0]
    node.catalog.merge([record], {})
    node.core._tell([added.id])
    three.run(0.1)
    assert "n2" in node.catalog.holders(added.id)
    assert "n1" not in node.catalog.holders(added.id)


def test_early_is_bounded():
    """The oldest are forgotten."""
    early = Early(limit=3)
    items = [holding(f"{number:026}".replace(" ", "0")[:25] + "0", bytes([number]) * 32) for number in range(5)]
    assert all(len(each) == HOLDING for each in items)
    early.put("a", items)
    early.put("b", items[3:])
    assert len(early) <= 3
    early.take("a", items)
    early.take("b", items)
    assert len(early) == 0


def test_hostile_news(three):
    """News that do not add up are refused, and change nothing."""
    for words, body in ((("b", "0", "2"), bytes(25)), (("b", "5", "1"), b""), (("b", "x", "1"), b""), ((), bytes(3))):
        with pytest.raises(BadRequest):
            three.wait(three[1].peers.ask("n2", Call("HOLDS", words, body=body)))
    for call in (
        Call("HOLDINGS", ("256",)),
        Call("HOLDINGS", ("1", "zz")),
        Call("CHUNK", ("00" * 32, "0", "99999999")),
        Call("CHUNK", ("0" * 63, "0", "1")),
        Call("STAT"),
        Call("PROVE", ("x",), body=bytes(31)),
    ):
        with pytest.raises(BadRequest):
            three.wait(three[1].peers.ask("n2", call))
