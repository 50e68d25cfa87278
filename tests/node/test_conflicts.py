"""What two nodes did without knowing of each other: both survive, as far as both can; no clock and no back-up spoils it."""

from __future__ import annotations

import shutil

import pytest

from tagfs.errors import NotFound
from tagfs.model.entry import partition
from tagfs.model.order import Scope
from tagfs.model.principal import OWNER
from tagfs.model.query.parser import parse
from tagfs.node.housekeeping import DAY, Housekeeping
from tagfs.storage.catalog import open_catalog
from tests.sim.cluster import SimCluster

HOUR_MS = 3_600_000


@pytest.fixture
def three():
    cluster = SimCluster(3, moves_contents=True)
    cluster.run(1)
    yield cluster
    cluster.stop()


async def replace(node, identifier, data):
    receiving = await node.node.receive(OWNER, len(data))
    receiving.write(data)
    return await receiving.replace(identifier)


async def read(node, identifier, version=None):
    reading = await node.node.read(OWNER, identifier, version=version)
    try:
        return await reading.read(1 << 20)
    finally:
        reading.close()


def apart(cluster, *operations):
    """Runs operations on nodes that cannot hear each other, then lets them."""
    cluster.network.sever(["n1"], ["n2", "n3"])
    for operation in operations:
        cluster.begin(operation)
        cluster.run(0.5)
    cluster.run(2)
    cluster.network.heal()
    cluster.until(cluster.in_step)


def info(cluster, node, identifier):
    return cluster.wait(node.node.info(OWNER, identifier))


class TestEdits:
    def test_replacements(self, three):
        """Of two replacements the later is there, and the other can be read as a version, as can the one before both."""
        added = three.wait(three.store(three[1], "a", data=b"zero"))
        three.until(three.in_step)
        apart(three, replace(three[1], added.id, b"one"), replace(three[2], added.id, b"two"))
        for node in three.up():
            assert three.wait(read(node, added.id)) == b"two"
            stamps = [version.stamp for version in info(three, node, added.id).entry.versions]
            assert [three.wait(read(node, added.id, stamp)) for stamp in stamps] == [b"zero", b"one"]

    def test_a_delete_and_an_edit(self, three):
        """A deleted entry that was edited elsewhere is in the trash, with the edit."""
        added = three.wait(three.store(three[1], "a"))
        three.until(three.in_step)
        query = parse(f"id:{added.id}")
        apart(three, three[1].node.delete(OWNER, query), three[2].node.add_tags(OWNER, query, ["new"]))
        for node in three.up():
            found = three.wait(node.node.find(OWNER, query, scope=Scope.TRASH))
            assert [entry.tags for entry in found.entries] == [("new",)]

    def test_a_purge_beats_everything(self, three):
        """A purged entry stays gone, whatever was done to it elsewhere, also later."""
        added = three.wait(three.store(three[1], "a"))
        query = parse(f"id:{added.id}")
        three.wait(three[1].node.delete(OWNER, query))
        three.until(three.in_step)
        apart(three, three[1].node.purge(OWNER, query), three[2].node.restore(OWNER, query))
        for node in three.up():
            with pytest.raises(NotFound):
                info(three, node, added.id)

    def test_one_tag_added_and_taken(self, three):
        """The later of two words about the same tag holds on all nodes, wherever it was said."""
        added = three.wait(three.store(three[1], "a", "x"))
        three.until(three.in_step)
        query = parse(f"id:{added.id}")
        apart(three, three[1].node.delete_tags(OWNER, query, ["x"]), three[2].node.retag(OWNER, query, ["y"], ["x"]))
        assert [info(three, node, added.id).entry.tags for node in three.up()] == [("y",)] * 3
        apart(three, three[2].node.add_tags(OWNER, query, ["x"]), three[1].node.delete_tags(OWNER, query, ["y"]))
        assert [info(three, node, added.id).entry.tags for node in three.up()] == [("x",)] * 3


class TestClocks:
    @pytest.mark.parametrize("hours", [-5, 5])
    def test_a_clock_hours_off(self, hours):
        """What a node wrote whose clock was hours off can be changed on any other node at once, and is neither lost nor frozen."""
        cluster = SimCluster(3)
        cluster[1].skew_ms = hours * HOUR_MS
        cluster.run(1)
        added = cluster.wait(cluster.store(cluster[1], "a", "x"))
        cluster.until(cluster.in_step)
        query = parse(f"id:{added.id}")
        cluster.wait(cluster[2].node.retag(OWNER, query, ["y"], ["x"]))
        cluster.until(cluster.in_step)
        cluster.wait(cluster[1].node.retag(OWNER, query, ["z"], ["y"]))
        cluster.until(cluster.in_step)
        cluster.wait(replace(cluster[3], added.id, b"new"))
        cluster.until(cluster.in_step)
        for node in cluster.up():
            assert info(cluster, node, added.id).entry.tags == ("z",)
            assert cluster.wait(read(node, added.id)) == b"new"
        cluster.stop()

    def test_a_clock_that_went_back(self, three):
        """After a restart with an earlier clock a node still has the last word about what it wrote before."""
        added = three.wait(three.store(three[1], "a"))
        query = parse(f"id:{added.id}")
        three.wait(three[1].node.add_tags(OWNER, query, ["x"]))
        three[1].stop()
        three[1].skew_ms = -2 * HOUR_MS
        three[1].start()
        three.run(1)
        three.wait(three[1].node.delete_tags(OWNER, query, ["x"]))
        three.until(three.in_step)
        assert [info(three, node, added.id).entry.tags for node in three.up()] == [()] * 3


class TestTrash:
    def test_one_node_ends_it(self, three):
        """Of the nodes that could, the first live owner of an entry ends its time in the trash, and no other."""
        for number in range(30):
            three.wait(three.store(three[1], f"f{number}"))
        three.wait(three[1].node.delete(OWNER, parse("name:*")))
        three.until(three.in_step)
        for node in three.up():
            node.skew_ms = int(40 * DAY * 1000)
        order = three.view_of("n1").layout.order
        mine = {
            node.id: [id for id in node.catalog.expiring(node.now_ms(), 100) if order(partition(id))[0] == node.id]
            for node in three.up()
        }
        assert sum(map(len, mine.values())) == 30
        for node in three.up():
            chores = Housekeeping(node.core, three.clock, 30)
            before = len(node.catalog.expiring(node.now_ms(), 100))
            three.wait(chores.expire_trash())
            assert before - len(node.catalog.expiring(node.now_ms(), 100)) == len(mine[node.id])
        three.until(three.in_step)
        assert three[1].node.statistics()["trash"] == 0

    def test_whose_clock_is_off_ends_nothing(self, three):
        """A node that may write nothing ends nothing."""
        three.wait(three.store(three[1], "a"))
        three.wait(three[1].node.delete(OWNER, parse("name:*")))
        three.until(three.in_step)
        for node in three.up():
            node.skew_ms = int(40 * DAY * 1000)
            node.core.refusal = lambda: "the clock is far off"
            three.wait(Housekeeping(node.core, three.clock, 30).expire_trash())
        assert three[1].node.statistics()["trash"] == 1


def test_a_restored_back_up(tmp_path):
    """A node that begins again from a back-up of its catalog gets back what it had told others, and what it writes then is no
    repetition of old numbers: all nodes end with all of it."""
    opened = []

    def make(node):
        opened.append(open_catalog(f"sqlite://{tmp_path}/{node}", node))
        return opened[-1]

    cluster = SimCluster(2, make_catalog=make)
    cluster.run(1)
    cluster.wait(cluster.store(cluster[1], "before"))
    (tmp_path / "back-up").mkdir()
    cluster[1].catalog.copy_to(str(tmp_path / "back-up"))
    for number in range(5):
        cluster.wait(cluster.store(cluster[1], f"after{number}"))
    cluster.until(cluster.in_step)
    cluster[1].stop()
    cluster[1].catalog.close()
    shutil.rmtree(tmp_path / "n1")
    shutil.copytree(tmp_path / "back-up", tmp_path / "n1")
    cluster[1].catalog = make("n1")
    cluster[1].start()
    # Before it heard of what it had written after the back-up:
    cluster.network.sever(["n1"], ["n2"])
    adding = cluster.begin(cluster.store(cluster[1], "new"))
    cluster.run(3)
    cluster.network.heal()
    cluster.until(lambda: adding and cluster.in_step())
    names = {"before", "new", *(f"after{number}" for number in range(5))}
    for node in cluster.up():
        found = cluster.wait(node.node.find(OWNER, parse("name:*")))
        assert {entry.name for entry in found.entries} == names
    cluster.stop()
    for catalog in opened[1:]:
        catalog.close()
