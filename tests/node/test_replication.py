"""Records between nodes: every change is soon on every node, by about one message each, durable before anybody says so."""

from __future__ import annotations

import pytest

from tagfs.model.principal import OWNER
from tagfs.model.query import Tag
from tagfs.model.query.parser import parse
from tests.sim.cluster import SimCluster


@pytest.fixture
def three():
    cluster = SimCluster(3)
    cluster.run(0.5)
    yield cluster
    cluster.stop()


class TestPush:
    def test_a_change_is_soon_everywhere(self, three):
        """What is stored on one node is on the others after one way through the network, with tags and spellings."""
        added = three.wait(three.store(three[1], "a.txt", "Beach"))
        assert three.until(three.in_step, 1) < 0.1
        for node in (three[2], three[3]):
            found = three.wait(node.node.find(OWNER, Tag("beach")))
            assert [(entry.id, entry.name, entry.tags) for entry in found.entries] == [(added.id, "a.txt", ("Beach",))]
            assert node.blobs.stat(found.entries[0].content.digest) is not None

    def test_each_change_crosses_once(self, three):
        """While nothing fails, every record is sent to every other node once, and nothing is pulled."""
        for number in range(50):
            three.wait(three.store(three[1 + number % 3], f"f{number}", "x"))
        three.run(5)
        assert three.in_step()
        for node in three.up():
            assert node.replication.puller.pulled == 0
            assert node.replication.arrivals.repeated == 0

    def test_many_writes_share_messages(self, three):
        """What is written while a message is under way goes with the next one."""
        before = three.network.messages
        for number in range(200):
            three.begin(three.store(three[1], f"f{number}", "x"))
        three.run(0.5)
        assert three.in_step()
        assert three.network.messages - before < 40

    def test_a_lost_message_is_sent_again(self, three):
        """Loss, repetition and reordering delay, and change nothing."""
        three.network.loss = three.network.doubling = 0.2
        for number in range(30):
            three.begin(three.store(three[1 + number % 3], f"f{number}", "x"))
            three.run(0.2)
        three.network.loss = three.network.doubling = 0
        three.until(three.in_step, 60)

    def test_tags_from_two_nodes_both_stay(self, three):
        """Concurrent changes of one entry on two nodes both survive on all."""
        added = three.wait(three.store(three[1], "a"))
        three.until(three.in_step)
        three.network.sever(["n1"], ["n2", "n3"])
        query = parse(f"id:{added.id}")
        three.begin(three[1].node.add_tags(OWNER, query, ["one"]))
        three.begin(three[2].node.add_tags(OWNER, query, ["two"]))
        three.run(3)
        three.network.heal()
        three.until(three.in_step)
        for node in three.up():
            assert three.wait(node.node.info(OWNER, added.id)).entry.tags == ("one", "two")


class TestPull:
    def test_who_was_away_catches_up(self, three):
        """After a restart a node gets exactly what changed meanwhile."""
        for number in range(20):
            three.wait(three.store(three[1], f"f{number}"))
        three[3].stop()
        three.hold_for_dead("n3")
        for number in range(10):
            three.wait(three.store(three[1], f"g{number}"))
        three[1].stop()
        three[1].start()
        three[3].start()
        three.hold_for_dead()
        three.until(three.in_step)
        assert three[3].replication.puller.pulled + three[3].replication.arrivals.received <= 12

    def test_many_pages(self, three):
        """What does not fit in one message comes page by page."""
        three[3].stop()
        three.hold_for_dead("n3")
        tags = [f"tag-{number:03}-{'x' * 200}" for number in range(60)]
        for number in range(150):
            three.wait(three.store(three[1], f"f{number}", *tags))
        three[1].stop()
        three[1].start()
        three[3].start()
        three.hold_for_dead()
        three.until(three.in_step)
        assert three[3].replication.puller.pulled > 150

    def test_a_record_larger_than_a_message(self, three):
        """An entry with very many tags is not pushed, but fetched in pieces."""
        added = three.wait(three.store(three[1], "a"))
        query = parse(f"id:{added.id}")
        for number in range(6):
            tags = [f"{number}-{at:03}-{'x' * 240}" for at in range(1000)]
            three.wait(three[1].node.add_tags(OWNER, query, tags))
        three.wait(three.store(three[1], "b"))
        three.until(three.in_step)
        assert len(three.wait(three[2].node.info(OWNER, added.id)).entry.tags) == 6000

    def test_a_peer_passes_on_what_the_dead_wrote(self, three):
        """What only one node got before its writer died reaches the third all the same."""
        three.network.sever(["n1"], ["n3"])
        three.wait(three.store(three[1], "a"))
        three[1].stop()
        three.hold_for_dead("n1")
        three.until(lambda: three.in_step(["n2", "n3"]))
