"""The membership as it runs: nodes found, join, notice each other's life and death, and remember."""

import pytest
from twisted.logger import Logger

from tagfs.cluster.view import ClusterSettings
from tagfs.errors import Conflict
from tagfs.node.cluster.interpreter import Interpreter
from tagfs.node.cluster.state import Stored
from tagfs.node.peers.interfaces import Caller
from tagfs.storage.memory import MemoryCatalog
from tagfs.wire.node_messages import Answer, Call
from tests.sim.member_world import MemberNode, MemberWorld, MemoryState


@pytest.fixture
def world():
    made = MemberWorld(seed=1)
    yield made
    made.stop()


def test_a_cluster_forms_by_one_seed(world):
    """One node founds, others join through any member, and all know all within three seconds."""
    first, second, third = world.add(), world.add(), world.add()
    first.start()
    took = world.until(lambda: first.view.cluster)
    assert 3 <= took <= 4
    second.seeds = (first.address,)
    second.start()
    world.until(world.agree, 3)
    third.seeds = (second.address,)
    third.start()
    world.until(world.agree, 3)
    assert first.cluster.refusal == third.cluster.refusal == ""
    assert third.view.states == dict.fromkeys([first.id, second.id, third.id], "alive")


@pytest.mark.parametrize("silent", [False, True])
def test_a_dead_node_is_noticed_and_comes_back(world, silent):
    """A killed node, or one whose machine is gone, is dead for all within eight seconds, and alive a moment after its return."""
    one, two, three = world.form(3)
    three.crash(silent)
    world.until(lambda: one.state_of(three) == "suspect", 5)
    took = world.until(lambda: one.state_of(three) == two.state_of(three) == "dead", 8)
    assert took > 3
    assert three.id not in one.view.alive
    three.start()
    world.until(world.agree, 3)


def heard(world: MemberWorld, node: MemberNode) -> list[str]:
    """What a node says in its log from now on."""
    told: list[str] = []

    def note(event: dict[str, object]) -> None:
        told.append(str(event.get("text", "")))

    node.cluster._interpreter.log = Logger(observer=note)
    return told


def test_two_that_found_at_once_become_one_cluster():
    """Of several that wait for beacons, the one with the lowest id founds, and the others join it."""
    world = MemberWorld(seed=3, beacons=True)
    nodes = [world.add() for _ in range(4)]
    for node in reversed(nodes):
        node.start()
    world.until(world.agree, 15)
    assert {node.view.cluster for node in nodes} == {nodes[0].view.cluster}
    founder = nodes[0].catalog.records("member", "", 10)[0].value("name")
    assert founder == "n1"
    world.stop()


def test_a_founder_that_is_alone_joins_another_cluster():
    """Two that founded apart, by mistake, become one as soon as one hears of the other; with entries they do not."""
    world = MemberWorld(seed=4, beacons=True)
    one, other = world.add(), world.add()
    world.network.sever([one.id], [other.id])
    one.start()
    other.start()
    world.until(lambda: one.view.cluster and other.view.cluster)
    assert one.view.cluster != other.view.cluster
    world.network.heal()
    world.until(world.agree, 15)
    third = world.add(entries=True)
    world.network.sever([third.id], [one.id, other.id])
    third.start()
    world.until(lambda: third.view.cluster)
    told = heard(world, third)
    world.network.heal()
    world.run(30)
    assert third.view.cluster != one.view.cluster
    assert len([text for text in told if "--merge" in text]) == 1
    world.stop()


@pytest.mark.parametrize("mistaken", [0, 1])
@pytest.mark.parametrize("entries", [False, True])
def test_a_founder_that_is_sent_to_another_one_joins_it(world, mistaken, entries):
    """Who founded a cluster by mistake and is started again with --join (and --merge, where it has entries) joins the other,
    whichever has the lower id: the other waits for nobody."""
    nodes = [world.add(), world.add()]
    for node in nodes:
        node.start()
    world.until(lambda: all(node.view.cluster for node in nodes))
    sent, other = nodes[mistaken], nodes[1 - mistaken]
    joined = other.view.cluster
    assert sent.view.cluster != joined
    world.stop([sent])
    sent.seeds, sent.entries, sent.merge = (other.address,), entries, entries
    sent.start()
    world.until(world.agree, 15)
    assert sent.view.cluster == other.view.cluster == joined


def test_a_node_with_seeds_never_founds(world):
    """It tries for ever, says why once, refuses to write, and joins when a member is there at last."""
    first, second = world.add(), world.add()
    second.seeds = (first.address,)
    second.start()
    told = heard(world, second)
    world.run(120)
    assert not second.view.cluster
    assert f"nobody answers at {first.address}" in second.cluster.refusal
    assert len(told) == 1
    first.start()
    world.until(world.agree, 12)


def test_entries_are_not_merged_by_mistake(world):
    """A node with entries is refused without --merge, told why, and taken with it."""
    (first,) = world.form(1)
    second = world.add(seeds=(first.address,), entries=True)
    second.start()
    world.run(10)
    assert "--merge" in second.cluster.refusal
    assert list(first.view.members) == [first.id]
    second.crash()
    second.merge = True
    second.start()
    world.until(world.agree, 5)


def test_who_left_is_asked_until_it_stops(world):
    """A node that left writes nothing more and is in no layout, but its contents can be fetched as long as it runs."""
    one, two, three = world.form(3)
    world.wait(one.cluster.leave(three.id))
    world.until(lambda: two.state_of(three) == "left" and "left" in three.cluster.refusal, 2)
    world.run(20)
    for other in (one, two):
        assert three.id in other.view.alive and three.id not in other.view.peers()
        assert three.id not in {place.node for place in other.view.layout.places}
    assert three.view.alive == {three.id}
    three.crash()
    world.until(lambda: three.id not in {*one.view.alive, *two.view.alive}, 8)
    three.start()
    world.until(lambda: three.id in one.view.alive and three.id in two.view.alive, 3)
    assert "left" in three.cluster.refusal
    assert one.state_of(three) == "left"


@pytest.mark.parametrize("what", ["left", "forgotten"])
def test_who_is_gone_is_refused_for_good(world, what):
    """A node that left, or was forgotten, is told so when it returns, also where it remembers nothing and joins anew."""
    one, two, three = world.form(3)
    if what == "left":
        world.wait(one.cluster.leave(three.id))
        three.crash()
    else:
        with pytest.raises(Conflict):
            world.wait(one.cluster.forget(three.id))
        three.crash()
        world.until(lambda: one.state_of(three) == "dead")
        world.wait(one.cluster.forget(three.id))
        world.until(lambda: three.id not in two.view.states, 2)
    three.start()
    world.until(lambda: what in three.cluster.refusal, 5)
    three.crash()
    three.state.stored = Stored()
    three.catalog = MemoryCatalog(three.id)
    three.seeds = (one.address,)
    three.start()
    world.until(lambda: what in three.cluster.refusal, 5)
    assert not one.view.members[three.id].present


def test_who_is_refused_refuses_nobody(world):
    """A node that is refused as a joiner, and says so when it is asked, does not make the others believe that they are."""
    one, two, three = world.form(3)
    world.wait(one.cluster.leave(three.id))
    three.crash()
    three.state.stored = Stored()
    three.catalog = MemoryCatalog(three.id)
    three.seeds = (one.address,)
    three.start()
    for _ in range(40):
        world.run(0.5)
        assert one.cluster.refusal == two.cluster.refusal == ""
        assert one.state_of(two) == two.state_of(one) == "alive"


def test_a_second_process_with_one_id_is_refused(world):
    """A copied data directory: the first process stays, the second is told; it is let in once the first is gone."""
    one, two, three = world.form(3)
    copy = world.add()
    copy.id, copy.name, copy.address = three.id, three.name, "copy:1"
    copy.state = MemoryState(three.state.stored)
    copy.catalog = three.catalog
    copy.starts = 100
    copy.start()
    world.until(lambda: "another process" in copy.cluster.refusal, 6)
    world.run(15)
    assert "another process" in copy.cluster.refusal
    assert one.view.members[three.id].addresses == (three.address,)
    assert three.cluster.refusal == ""
    three.crash()
    world.nodes.remove(three)
    world.until(lambda: world.agree([one, two, copy]), 90)
    assert one.view.members[copy.id].addresses == ("copy:1",)


def test_a_node_that_moved_is_found_by_all(world):
    """Restarted at another address, a node is known there within three seconds."""
    _one, two, three = world.form(3)
    two.crash()
    two.address = "elsewhere:1"
    two.start()
    world.until(lambda: world.agree() and three.view.members[two.id].addresses == ("elsewhere:1",), 4)


def test_an_answer_to_a_join_that_got_lost(world):
    """Who was let in without hearing of it is in as soon as the others ask it."""
    (first,) = world.form(1)
    second = world.add(seeds=(first.address,))
    second.start()
    world.until(lambda: second.id in first.view.members)
    second.crash()
    second.state.stored = Stored()
    second.seeds = ("nobody:1",)
    second.start()
    world.until(world.agree, 5)


def test_a_clean_stop_is_told(world):
    """A node that stops is dead for all at once."""
    one, two, three = world.form(3)
    three.stop()
    world.until(lambda: one.state_of(three) == two.state_of(three) == "dead", 0.5)


def test_out_and_back(world):
    """Dead for out_after by the word of a majority, a node leaves the layout; it is back in it soon after its return."""
    world.settings = ClusterSettings(out_after=30)
    one, two, three = world.form(3)
    three.crash()
    took = world.until(lambda: one.state_of(three) == two.state_of(three) == "out")
    assert 30 <= took <= 42
    assert [place.node for place in one.view.layout.places] == [one.id, two.id]
    three.start()
    took = world.until(lambda: world.agree() and len(one.view.layout.places) == 3, 10)
    assert took >= 5


def test_one_of_two_changes_nothing(world):
    """Of two, neither takes the other out, however long it is dead."""
    world.settings = ClusterSettings(out_after=30)
    one, two = world.form(2)
    two.crash()
    world.run(300)
    assert one.state_of(two) == "dead"
    assert len(one.view.layout.places) == 2


def test_settings_and_drain_reach_all(world):
    """What one node orders, all know a moment later; a drained node belongs to the cluster, and not to the layout."""
    one, two, three = world.form(3)
    world.wait(two.cluster.set_settings({"copies": 2, "trash_days": 7}))
    world.wait(two.cluster.drain("n3"))
    world.until(lambda: one.view.settings.copies == 2 and len(three.view.layout.places) == 2, 1)
    assert world.agree()
    assert one.view.settings == two.view.settings == ClusterSettings(copies=2, trash_days=7)
    assert three.state_of(three) == "alive" and three.cluster.refusal == ""


def test_settings_of_one_node_do_not_count(world, monkeypatch):
    """Who joins with other settings than the cluster's says which are ignored, once, and at each start; those left out are none."""
    (one,) = world.form(1)
    world.wait(one.cluster.set_settings({"copies": 2}))
    told: list[str] = []
    monkeypatch.setattr(Interpreter, "log", Logger(observer=lambda event: told.append(str(event.get("text", "")))))

    def ignored():
        world.until(lambda: world.agree() and two.view.settings.copies == 2, 10)
        world.run(10)
        found = [text for text in told if text.startswith("ignored")]
        told.clear()
        return found

    two = world.add()
    two.seeds = (one.address,)
    world.settings = ClusterSettings(trash_days=5, write_copies=1)
    for _ in range(2):
        two.start()
        assert ignored() == [
            "ignored, since the cluster's settings hold for all its nodes: write_copies=1, trash_days=5"
        ]
        two.crash()
    world.settings = ClusterSettings()
    two.start()
    assert ignored() == []


def test_a_wrong_clock_is_told_and_refuses(world):
    """More than half a second is warned of and counted; more than a minute off three clocks refuses to write, until it is right."""
    one, two, three = world.form(3)
    assert one.cluster.clock_warnings == 0
    three.skew_ms = 90_000
    world.until(lambda: three.cluster.refusal, 10)
    assert "90 s ahead" in three.cluster.refusal
    world.run(6)
    assert one.cluster.refusal == two.cluster.refusal == ""
    assert one.cluster.clock_warnings == 1
    assert one.cluster.clock_offset_ms(three.id) == pytest.approx(90_000, abs=50)
    three.skew_ms = 0
    world.until(lambda: not three.cluster.refusal, 10)


def test_incarnations_survive_a_restart(world):
    """A restarted node begins above all incarnations it ever used, so that an old suspicion says nothing of it."""
    one, two, three = world.form(3)
    world.network.sever([three.id], [one.id, two.id])
    world.run(4)
    world.network.heal()
    world.run(3)
    used = three.cluster.membership.standing._incarnation
    assert used > 1
    three.crash()
    three.start()
    assert three.cluster.membership.standing._incarnation > used


def test_other_parts_are_heard(world):
    """Facts that other parts of a node tell travel with every answer, with the time of the question."""
    one, two = world.form(2)
    told: list[tuple[str, str, float]] = []
    two.cluster.tell(lambda: {"entries": "5"})
    one.cluster.listen(lambda node, facts, asked_at: told.append((node, facts["entries"], asked_at)))
    world.run(5)
    assert {(node, entries) for node, entries, _ in told} == {(two.id, "5")}
    assert 4 <= len(told) <= 6
    assert all(at <= one.clock.seconds() for _, _, at in told)


def test_members_for_people(world):
    """MEMBERS lists the nodes in lines."""
    one, two = world.form(2)
    answers: list[Answer] = []
    one.peers.answer(Caller("", "", "hand:1"), Call("MEMBERS")).addCallback(answers.append)
    assert answers[0].rows == (f"{one.id} n1 - alive n1:4747", f"{two.id} n2 - alive n2:4747")


def test_strangers_may_connect_and_join(world):
    """Nobody is turned away at the door for not being a member yet."""
    one, two = world.form(2)
    for caller in (Caller(two.id, two.peers.boot, two.address), Caller("stranger", "b", "s:1")):
        assert one.cluster.unwelcome(caller) is None
