"""What a writer is told: content and record are durable on as many nodes as the answer says, or it is an error that says so."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from tagfs.cluster.view import ClusterSettings
from tagfs.errors import ReadOnly, StorageFull, Unavailable
from tagfs.model.entry import partition
from tagfs.model.principal import OWNER
from tagfs.model.query.parser import parse
from tagfs.node.interfaces import Copies
from tests.sim.cluster import SimCluster


@pytest.fixture
def make_cluster():
    made = []

    def make(size=3, **settings):
        made.append(SimCluster(size, settings=ClusterSettings(**settings)))
        made[-1].run(0.5)
        return made[-1]

    yield make
    for cluster in made:
        cluster.stop()


def holders(cluster, added):
    """The nodes that have the content durably."""
    (record,) = cluster[1].catalog.records("entry", added.id[:-1], 1)
    digest = record.value("content")[0]
    return [node.id for node in cluster.nodes.values() if node.blobs.stat(digest) is not None]


class TestContents:
    def test_a_majority_of_copies_is_waited_for(self, make_cluster):
        """With all nodes there, the answer comes when two of three have it, and not before the network went there and back."""
        three = make_cluster()
        begun = three.clock.seconds()
        added = three.wait(three.store(three[1], "a"))
        assert added.copies in (Copies(2, 3), Copies(3, 3))
        assert len(holders(three, added)) >= 2
        assert three.clock.seconds() - begun >= 2 * three.network.delay_s[0]

    def test_who_is_dead_is_not_waited_for(self, make_cluster):
        """With one of three dead the other two are a majority; with two dead the answer says degraded."""
        three = make_cluster()
        three[3].stop()
        three.hold_for_dead("n3")
        assert three.wait(three.store(three[1], "a")).copies == Copies(2, 3)
        three[2].stop()
        three.hold_for_dead("n2", "n3")
        assert three.wait(three.store(three[1], "b")).copies == Copies(1, 3, degraded=True)

    def test_a_death_while_waiting_lowers_what_is_needed(self, make_cluster):
        """Who waits for nodes that die meanwhile is answered as soon as they are known to be dead."""
        three = make_cluster()
        three[2].stop()
        three[3].stop()
        outcome = three.begin(three.store(three[1], "a"))
        three.run(3)
        assert outcome == []
        three.hold_for_dead("n2", "n3")
        assert outcome[0].copies == Copies(1, 3, degraded=True)

    def test_a_number_is_strict(self, make_cluster):
        """Where too few nodes can be reached for a demanded number, the content is refused before it is taken."""
        three = make_cluster(write_copies=3)
        assert three.wait(three.store(three[1], "a")).copies == Copies(3, 3)
        three[3].stop()
        three.hold_for_dead("n3")
        with pytest.raises(Unavailable, match=r"3 copies are demanded .* 2 nodes can be reached; nothing was stored"):
            three.wait(three.store(three[1], "b"))
        assert three[1].node.statistics()["entries"] == 1

    def test_copies_lost_afterwards_are_completed(self, make_cluster):
        """Where the copies do not come in time, the writer is told of those there are; the rest comes later."""
        three = make_cluster(write_copies=2)
        three.network.sever(["n1"], ["n2", "n3"])
        with pytest.raises(Unavailable, match=r"^[0-9a-z]{26} copies=1/3 kept, will be completed$"):
            three.wait(three.store(three[1], "a"))
        assert [entry.name for entry in three.wait(three[1].node.named(OWNER, "a"))] == ["a"]
        three.network.heal()
        (entry,) = three.wait(three[1].node.named(OWNER, "a"))
        three.until(lambda: len(holders(three, entry)) == 3, 10)

    def test_a_record_that_came_another_way(self, make_cluster):
        """A peer that got the record by asking still gets the content that the writer waits for."""
        three = make_cluster(write_copies=2)
        three.network.sever(["n1"], ["n2", "n3"], both=False)
        outcome = three.begin(three.store(three[1], "a"))
        three.run(2.5)
        three.network.heal()
        for node in (three[2], three[3]):
            node.replication.puller.want("n1", lambda: True)
        three.run(7)
        assert outcome[0].copies.have >= 2

    def test_a_full_disk_does_not_count(self, make_cluster):
        """A peer without room for the content takes the record, and is not counted among the copies."""
        three = make_cluster()

        def full(contents):
            raise StorageFull("no space")

        three[2].blobs.put_many = three[3].blobs.put_many = full
        outcome = three.begin(three.store(three[1], "a"))
        three.run(5)
        assert outcome == []
        assert three.in_step()
        three.run(8)
        assert isinstance(outcome[0], Failure)
        assert "copies=1/3 kept" in outcome[0].getErrorMessage()

    def test_a_peer_that_writes_nothing_does_not_count(self, make_cluster):
        """A peer whose store went read-only never confirms; with it, two of three are still there."""
        three = make_cluster()
        three[2].catalog.merge = lambda *_: (_ for _ in ()).throw(ReadOnly("the disk failed"))
        added = three.wait(three.store(three[1], "a"))
        assert added.copies == Copies(2, 3)
        assert [node.id for node in three.up() if node.catalog.vector() == three[1].catalog.vector()] == ["n1", "n3"]

    def test_only_owners_get_contents(self, make_cluster):
        """In a larger cluster the content goes to the owners of its partition, the record to everybody; who took the content
        counts until they have it."""
        seven = make_cluster(7, copies=2)
        for number in range(10):
            added = seven.wait(seven.store(seven[1], f"f{number}", data=b"%d" % number))
            assert added.copies == Copies(2, 2)
            seven.until(seven.in_step)
            layout = seven.view_of("n1").layout
            owners = layout.owners(partition(added.id))
            assert holders(seven, added) == sorted({"n1", *owners})

    def test_others_stand_in_for_dead_owners(self, make_cluster):
        """Where the owners are dead, others hold what the answer needs."""
        five = make_cluster(5, copies=3)
        added = five.wait(five.store(five[1], "a"))
        dead = [id for id in five.view_of("n1").layout.owners(0) if id != "n1"]
        for id in dead:
            five.nodes[id].stop()
        five.hold_for_dead(*dead)
        for number in range(20):
            added = five.wait(five.store(five[1], f"f{number}", data=b"%d" % number))
            assert added.copies.have >= 2
            assert len([id for id in holders(five, added) if id not in dead]) >= 2

    def test_a_repeated_key_tells_of_the_first(self, make_cluster):
        """The same idempotency key at another node names the same entry, once that is there."""
        three = make_cluster()
        first = three.wait(three.store(three[1], "a", key="k"))
        three.until(three.in_step)
        again = three.wait(three.store(three[2], "a", key="k"))
        assert (again.id, again.new) == (first.id, False)

    def test_replacing_waits_too(self, make_cluster):
        """A new content of an old entry needs its copies as a new entry does."""
        three = make_cluster()
        added = three.wait(three.store(three[1], "a", data=b"one"))
        three.until(three.in_step)

        async def replace():
            receiving = await three[2].node.receive(OWNER, 3)
            receiving.write(b"two")
            return await receiving.replace(added.id)

        assert three.wait(replace()).copies.have >= 2
        three.until(three.in_step)
        for node in three.up():
            assert three.wait(read(node, added.id)) == b"two"


class TestLargeContents:
    SIZE = 200_000

    def test_the_owners_fetch_it_at_once(self, make_cluster):
        """A content that does not travel with its record is fetched by the owners, which tell when they have it."""
        three = make_cluster()
        for node in three.up():
            node.core.contents = Carrier(three, node)
        added = three.wait(three.store(three[1], "a", data=b"x" * self.SIZE))
        assert added.copies.have >= 2
        assert len(holders(three, added)) >= 2
        three.run(1)
        assert holders(three, added) == ["n1", "n2", "n3"]

    def test_a_fetch_that_fails_does_not_count(self, make_cluster):
        """Who cannot fetch it says nothing; the writer hears of the copies that there are."""
        three = make_cluster()
        for node in three.up():
            node.core.contents = Carrier(three, node, broken=True)
        with pytest.raises(Unavailable, match="copies=1/3 kept"):
            three.wait(three.store(three[1], "a", data=b"x" * self.SIZE))


class TestRecords:
    def test_changes_tell_how_far_they_came(self, make_cluster):
        """A change of tags is answered with the copies that were confirmed soon."""
        three = make_cluster()
        added = three.wait(three.store(three[1], "a"))
        query = parse(f"id:{added.id}")
        assert three.wait(three[1].node.add_tags(OWNER, query, ["x"])).copies == Copies(3, 3)
        three[3].stop()
        three.hold_for_dead("n3")
        assert three.wait(three[1].node.add_tags(OWNER, query, ["y"])).copies == Copies(2, 3)

    def test_a_change_waits_a_second_at_most(self, make_cluster):
        """Peers that are held for alive but do not answer delay a change by a second, and it says degraded."""
        three = make_cluster()
        added = three.wait(three.store(three[1], "a"))
        three.network.sever(["n1"], ["n2", "n3"])
        begun = three.clock.seconds()
        changed = three.wait(three[1].node.add_tags(OWNER, parse(f"id:{added.id}"), ["x"]))
        assert changed.copies == Copies(1, 3, degraded=True)
        assert 0.9 < three.clock.seconds() - begun < 1.3


async def read(node, identifier):
    """A whole content."""
    reading = await node.node.read(OWNER, identifier)
    try:
        return await reading.read(1 << 20)
    finally:
        reading.close()


class Carrier:
    """Contents between simulated nodes, as far as replication asks for them: copied from store to store after a while."""

    def __init__(self, cluster, node, broken=False):
        self.cluster = cluster
        self.node = node
        self.broken = broken

    def fetch(self, digest, size, sources):
        if self.broken:
            return fail(Unavailable("nobody has it"))
        fetched = Deferred()

        def carry():
            reader = self.cluster.nodes[sources[0]].blobs.open(digest)
            writer = self.node.blobs.begin()
            writer.write(reader.read(0, size))
            reader.close()
            writer.finish()
            fetched.callback(None)

        self.cluster.clock.callLater(0.05, carry)
        return fetched

    def held(self, node, contents, held=True):
        done = Deferred()
        done.callback(None)
        return done

    def consider(self, ids):
        pass

    def see(self, view):
        pass
