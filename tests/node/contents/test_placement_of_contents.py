"""Contents between nodes: every entry gets its copies, INFO and queries tell the truth about them on every node."""

from __future__ import annotations

import pytest

from tagfs.model.principal import OWNER
from tagfs.model.query import parse
from tests.node.contents import world as w


@pytest.fixture
def five():
    made = w.cluster(5, copies=3)
    yield made
    made.stop()


@pytest.mark.parametrize("size", [0, 100, 200_000, w.LARGE])
def test_every_entry_gets_its_copies(five, size):
    """A content stored anywhere is soon on all its owners, and every node says so."""
    data = w.bytes_of(size)
    added = w.store(five, five[1], data)
    digest, owners = w.digest_of(five[1], added.id), set(w.owners(five, added.id))
    five.until(lambda: w.holding(five, digest) >= owners, 5)
    expected = sorted(owners | {"n1"})
    five.until(lambda: all(w.told(five, node, added.id)[1] == expected for node in five.up()), 3)
    for node in five.up():
        assert w.told(five, node, added.id)[0] == "3/3"
        assert five.wait(node.node.count(OWNER, parse("copies:>=3"))) == 1
        for id in five.ids:
            assert five.wait(node.node.count(OWNER, parse(f"node:{id}"))) == (id in expected)


def test_read_anywhere(five):
    """Any node gives the whole and every range, whether it has the content or not, without storing it."""
    data = w.bytes_of(w.LARGE)
    added = w.store(five, five[1], data)
    five.run(5)
    reader = w.other(five, "n1", w.owners(five, added.id))
    before = w.holding(five, w.digest_of(five[1], added.id))
    assert w.read(five, reader, added.id) == data
    for offset, length in ((0, 1), (w.CHUNK - 1, 2), (w.CHUNK + 5, 3 * w.CHUNK), (w.LARGE - 10, None), (w.LARGE, None)):
        end = None if length is None else offset + length
        assert w.read(five, reader, added.id, offset=offset, length=length) == data[offset:end]
    assert w.holding(five, w.digest_of(five[1], added.id)) == before


def test_versions_are_read_from_afar(five):
    """A content that was replaced can be read on a node that never had it."""
    old, new = w.bytes_of(w.LARGE, 1), w.bytes_of(300, 2)
    added = w.store(five, five[1], old)

    async def replace():
        receiving = await five[1].node.receive(OWNER)
        receiving.write(new)
        return await receiving.replace(added.id)

    five.run(3)
    five.wait(replace())
    five.run(3)
    reader = w.other(five, "n1", w.owners(five, added.id))
    info = five.wait(reader.node.info(OWNER, added.id))
    assert w.read(five, reader, added.id) == new
    (stamp,) = [version.stamp for version in info.entry.versions if version.content.size == w.LARGE]
    assert w.read(five, reader, added.id, version=stamp) == old


def test_replaced_content_counts_anew(five):
    """After a replacement, copies of the old content are none of the new one's."""
    added = w.store(five, five[1], b"old" * 1000)
    five.run(3)

    async def replace():
        receiving = await five[1].node.receive(OWNER)
        receiving.write(b"new" * 1000)
        return await receiving.replace(added.id)

    for id in five.ids[1:]:
        five.network.sever(["n1"], [id])
    five.wait(replace())
    assert w.told(five, five[1], added.id)[1] == ["n1"]
    five.network.heal()
    expected = sorted({*w.owners(five, added.id), "n1"})
    five.until(lambda: all(w.told(five, node, added.id)[1] == expected for node in five.up()), 30)


def test_truth_after_a_restart(five):
    """A node that was started anew soon knows what it holds and what others hold, and they know about it."""
    entries = [w.store(five, five[1 + each % 5], w.bytes_of(1000, each), f"f{each}").id for each in range(40)]
    five.run(5)
    before = {entry: w.told(five, five[1], entry) for entry in entries}
    w.restart(five[3])
    five.until(lambda: all(w.told(five, five[3], entry) == before[entry] for entry in entries), 5)
    assert all(w.told(five, node, entry) == before[entry] for entry in entries for node in five.up())
    more = w.store(five, five[3], b"more")
    expected = sorted({*w.owners(five, more.id), "n3"})
    five.until(lambda: all(w.told(five, node, more.id)[1] == expected for node in five.up()), 5)


def test_lost_news_are_told_again(five):
    """Loss, repetition and reordering delay what nodes know of each other, and change nothing in the end."""
    five.network.loss = five.network.doubling = 0.2
    entries = []
    for each in range(30):
        five.begin(five.store(five[1 + each % 5], f"f{each}", data=w.bytes_of(2000, each)))
        five.run(0.3)
    five.network.loss = five.network.doubling = 0
    five.until(five.in_step, 60)
    entries = [record.key for record in five[1].catalog.records("entry", "", 1000)]
    assert len(entries) == 30

    def truth() -> bool:
        actual = {entry: sorted(w.holding(five, w.digest_of(five[1], entry))) for entry in entries}
        enough = all(set(w.owners(five, entry)) <= set(actual[entry]) for entry in entries)
        return enough and all(w.told(five, node, entry)[1] == actual[entry] for entry in entries for node in five.up())

    five.until(truth, 120)


def test_copies_of_the_dead_do_not_count(five):
    """copies counts live nodes; the others that have it are still named."""
    added = w.store(five, five[1], b"x" * 1000)
    five.run(3)
    dead = next(id for id in w.owners(five, added.id) if id != "n1")
    five.nodes[dead].stop()
    five.hold_for_dead(dead)
    watcher = w.other(five, dead)
    have = len({*w.owners(five, added.id), "n1"} - {dead})
    assert w.told(five, watcher, added.id) == (f"{have}/3", sorted({*w.owners(five, added.id), "n1"}))
    assert five.wait(watcher.node.count(OWNER, parse(f"copies:{have}"))) == 1


def test_after_a_node_went_out_others_take_over(five):
    """When a node leaves the layout, its contents get their copies elsewhere, and it gives up nothing when it returns."""
    entries = [w.store(five, five[1], w.bytes_of(150_000, each), f"f{each}").id for each in range(12)]
    five.run(10)
    five[2].stop()
    five.hold_for_dead("n2")
    five.run(5)
    digests = {entry: w.digest_of(five[1], entry) for entry in entries}
    before = {entry: w.holding(five, digests[entry]) for entry in entries}
    five.run(30)
    assert {entry: w.holding(five, digests[entry]) for entry in entries} == before
    five.take_out("n2")
    five.until(lambda: all(w.holding(five, digests[e]) >= set(w.owners(five, e)) for e in entries), 60)
    assert all(len(w.holding(five, digests[entry]) - {"n2"}) >= 3 for entry in entries)
