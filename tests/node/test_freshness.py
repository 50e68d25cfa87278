"""Whether an answer has everything is told truly; SYNC waits until it has; and what is new is soon elsewhere."""

from __future__ import annotations

import pytest

from tagfs.cluster.replication import FRESH_S
from tagfs.model.entry import Content, creation, entry_id
from tagfs.model.principal import OWNER
from tagfs.model.query import Tag
from tagfs.model.query.parser import parse
from tagfs.model.record import encode
from tagfs.model.stamp import Stamp
from tagfs.node.peers.interfaces import Caller
from tagfs.node.replication.pull import PULL_S
from tagfs.storage.memory import MemoryCatalog
from tagfs.wire.node_messages import Call
from tagfs.wire.node_records import Pushed, pack_push
from tests.sim.cluster import SimCluster, records_of


@pytest.fixture
def three():
    cluster = SimCluster(3)
    cluster.run(1)
    yield cluster
    cluster.stop()


def found(cluster, node, query="name:*"):
    return cluster.wait(node.node.find(OWNER, parse(query)))


def test_complete_while_all_is_well(three):
    """With everybody there every answer is complete, however much is written."""
    for number in range(100):
        three.begin(three.store(three[1 + number % 3], f"f{number}"))
        three.run(0.1)
        assert all(found(three, node).complete for node in three.up())


def test_a_node_that_was_let_in_and_knows_nobody_yet(three):
    """It has joined, and the members' records are on their way: that it knows of no others proves nothing."""
    newcomer = three[2].replication
    newcomer._joining = True
    whole = newcomer.view
    newcomer.see(whole._replace(members={}, states={}, alive=frozenset({whole.me})))
    assert not newcomer.complete
    newcomer.see(whole)
    three.until(lambda: newcomer.complete, 5)


def test_who_wrote_everything_starts_alone(three):
    """A node that was in the cluster before begins with what it has when nobody else is there, also where all of it is its own."""
    for node in three.up():
        node.stop()
    alone = three[1]
    alone.start()
    three.hold_for_dead("n2", "n3")
    three.run(1)
    assert alone.core.starting  # it has nothing, as one that was let in just now
    alone.stop()
    alone.catalog.merge([entry_record()])
    alone.start()
    three.run(1)
    assert not alone.core.starting
    assert not alone.replication.complete


def entry_record():
    return creation(
        entry_id(1, bytes(10)), Stamp(1 << 20, "n1"), "f", Content(bytes(32), 0, "text/plain", 0), 0, (), None
    )


def test_a_member_out_of_reach(three):
    """From two seconds after a cut on, who cannot reach a member says so, and no longer than until all is here again."""
    three.network.sever(["n1"], ["n2"])
    three.begin(three.store(three[1], "a"))
    three.run(FRESH_S + 0.1)
    assert [found(three, node).complete for node in three.up()] == [False, False, True]
    three.network.heal()
    three.until(lambda: all(found(three, node).complete for node in three.up()), 10)
    assert three.in_step()


def test_a_dead_member(three):
    """A member that is dead may have had news that nobody else has."""
    three[3].stop()
    three.hold_for_dead("n3")
    three.run(FRESH_S + 1.1)
    assert not found(three, three[1]).complete
    three[3].start()
    three.hold_for_dead()
    three.until(lambda: found(three, three[1]).complete, 5)


def test_what_came_past_a_gap_is_passed_on(three):
    """A change that a node has, though changes before it are missing and their maker is gone for good, gets everywhere, and
    SYNC waits for it."""
    maker = three[1]
    three.network.sever(["n1"], ["n2", "n3"])
    for name in ("before", "behind the gap"):
        three.begin(three.store(maker, name))
        three.run(0.1)
    (record,) = [record for record in records_of(maker.catalog) if record.value("name") == "behind the gap"]
    (origin, last) = next(iter(maker.catalog.vector().items()))
    push = Call("PUSH", (origin,), body=pack_push(last, last, [Pushed(last, encode(record))]))
    maker.stop()
    three.wait(three[2].peers.answer(Caller("n1", maker.peers.boot, maker.peers.address), push))
    three.hold_for_dead("n1")
    assert three.wait(three[3].replication.sync(5))
    assert [entry.name for entry in found(three, three[3]).entries] == ["behind the gap"]
    maker.start()
    three.network.heal()
    three.hold_for_dead()
    three.until(three.in_step, 2 * PULL_S)


def test_news_that_do_not_come(three):
    """A node that hears of changes which it does not get is incomplete, though everybody can be reached."""
    three[2].replication.puller.want = lambda *_: None
    for id in ("n1", "n3"):
        three.nodes[id].replication.pushers["n2"].kick = lambda: None
    three.begin(three.store(three[1], "a"))
    three.run(FRESH_S + 1)
    assert [found(three, node).complete for node in three.up()] == [True, False, True]


def test_not_joined(three):
    """Who is in no cluster yet cannot have everything."""
    view = three.view_of("n1")
    three[1].replication.see(view._replace(cluster="", members={}, alive=frozenset({"n1"})))
    assert not found(three, three[1]).complete


def test_listings_tell_it_too(three):
    """A listing without end says what was true when it was asked for."""
    listing = three.wait(three[1].node.listing(OWNER, parse("name:*")))
    three.network.sever(["n1"], ["n2"])
    three.run(FRESH_S + 1)
    assert listing.complete
    assert not three.wait(three[1].node.listing(OWNER, parse("name:*"))).complete


class TestSync:
    def test_waits_for_what_there_is(self, three):
        """After SYNC a node has what its peers had, also where it had to ask for it."""
        three.network.sever(["n1"], ["n2"])
        added = three.begin(three.store(three[1], "a"))
        three.run(1)
        assert found(three, three[2]).total == 0
        three.network.heal()
        begun = three.clock.seconds()
        assert three.wait(three[2].replication.sync(10))
        assert found(three, three[2]).total == 1
        assert three.clock.seconds() - begun < 1
        assert added

    def test_time_runs_out(self, three):
        """A peer that is held for alive and does not answer makes it fail when the time is over."""
        three.network.sever(["n1"], ["n2"])
        begun = three.clock.seconds()
        assert not three.wait(three[2].replication.sync(3))
        assert 2.9 < three.clock.seconds() - begun < 3.3

    def test_a_new_node_is_let_in_first(self, three):
        """Who comes new into the cluster knows of no peers; SYNC waits until it does, and until it has what they had."""
        three[3].stop()
        three.begin(three.store(three[1], "a"))
        three.run(1)
        three[3].catalog = MemoryCatalog("n3")
        three[3].start()
        replication = three[3].replication
        view = replication.view
        replication.see(view._replace(cluster="", members={}, alive=frozenset({"n3"})))
        assert not replication.pushers
        assert not three.wait(replication.sync(1))
        syncing = three.begin(replication.sync(10))
        three.run(0.1)
        assert not syncing
        replication.see(view)
        three.until(lambda: syncing, 10)
        assert syncing == [True]
        assert found(three, three[3]).total == 1

    def test_the_dead_are_not_waited_for(self, three):
        """Only live peers count."""
        three[1].stop()
        three.hold_for_dead("n1")
        assert three.wait(three[2].replication.sync(3))


def test_own_writes_are_seen_at_once(three):
    """Whoever was answered sees it on the node that answered."""
    three.network.sever(["n1"], ["n2", "n3"])
    three.begin(three.store(three[1], "a", "beach"))
    assert three.wait(three[1].node.count(OWNER, Tag("beach"))) == 1


def test_new_tags_are_soon_elsewhere(three):
    """At two hundred changes a second, each is on the others within some milliseconds of the network's delay."""
    ids = [three.wait(three.store(three[1], f"f{number}")).id for number in range(20)]
    three.until(three.in_step)
    late = []
    for number in range(200):
        three.begin(three[1].node.add_tags(OWNER, parse(f"id:{ids[number % 20]}"), [f"t{number}"]))
        begun = three.clock.seconds()

        def seen(number=number, begun=begun):
            if all(node.catalog.count(Tag(f"t{number}")) for node in three.up()):
                late.append(three.clock.seconds() - begun)
            else:
                three.clock.callLater(0.001, seen)

        seen()
        three.run(0.005)
    three.run(1)
    assert len(late) == 200
    assert max(late) < 0.05


def test_starting(three):
    """A node that comes new into a cluster says that it is not there yet, until it has what the others had."""
    for number in range(5):
        three.wait(three.store(three[1], f"f{number}"))
    three.until(three.in_step)
    assert [node.core.starting for node in three.up()] == ["", "", ""]
    three[3].stop()
    three[3].catalog = MemoryCatalog("n3")
    three[3].start()
    assert three[3].core.starting == "this node gets what the others have"
    assert three.until(lambda: not three[3].core.starting, 10) < 4
    assert three.in_step()
