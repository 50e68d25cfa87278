"""What may be dropped and what not: no copy goes before all that are to have it proved theirs, under one layout, for long enough."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tagfs.model.entry import Content, creation, partition
from tagfs.model.principal import OWNER
from tagfs.model.query import parse
from tagfs.model.record import Ref
from tagfs.node.contents import owing
from tagfs.node.peers.interfaces import Caller
from tagfs.wire.node_messages import Call
from tests.contracts.writing import Writer
from tests.node.contents import world as w

DELAY_S = 100.0


@pytest.fixture
def four(monkeypatch):
    """Four nodes, two copies each; looked through every 20 s, surplus may go after 100 s."""
    monkeypatch.setattr(owing, "SCAN_S", 20.0)
    made = w.cluster(4, copies=2, drop_after_s=DELAY_S)
    yield made
    made.stop()


def stored_elsewhere(world: Any, data: bytes = b"precious" * 100) -> tuple[str, bytes]:
    """An entry stored on a node that is no owner of it, and its digest; the owners have it by now."""
    numbers = iter(range(40))
    while "n1" in w.owners(world, entry := w.store(world, world[1], data + bytes([next(numbers)])).id):
        pass
    digest = w.digest_of(world[1], entry)
    world.until(lambda: w.holding(world, digest) == {"n1", *w.owners(world, entry)}, 10)
    return entry, digest


def test_a_coordinator_gives_up_what_it_does_not_owe(four):
    """Once the owners proved theirs, and not before the delay; everybody knows about it then."""
    entry, digest = stored_elsewhere(four)
    four.run(DELAY_S - 10)
    assert four[1].blobs.stat(digest) is not None
    four.until(lambda: w.holding(four, digest) == set(w.owners(four, entry)), 60)
    four.until(
        lambda: all(w.told(four, node, entry) == ("2/2", sorted(w.owners(four, entry))) for node in four.up()), 3
    )
    assert w.read(four, four[1], entry).startswith(b"precious")


def test_an_owner_that_is_dead_proves_nothing(four):
    """As long as one owner cannot be asked, the copy stays; dead or not, by whomever."""
    entry, digest = stored_elsewhere(four)
    gone = w.owners(four, entry)[0]
    four.nodes[gone].stop()
    four.hold_for_dead(gone)
    four.run(5 * DELAY_S)
    assert four[1].blobs.stat(digest) is not None
    four.nodes[gone].start()
    four.hold_for_dead()
    four.until(lambda: four[1].blobs.stat(digest) is None, 300)
    assert w.holding(four, digest) == set(w.owners(four, entry))


def test_an_owner_that_cannot_be_reached_proves_nothing(four):
    """A cut that only the connection notices keeps the copy, too."""
    entry, digest = stored_elsewhere(four)
    four.network.sever(["n1"], [w.owners(four, entry)[1]])
    four.run(4 * DELAY_S)
    assert four[1].blobs.stat(digest) is not None


def test_an_owner_that_lost_its_disk_proves_nothing(four):
    """All contents of an owner vanish though others believe it has them: they are asked anew, and it gets them back first."""
    entry, digest = stored_elsewhere(four)
    lost = w.owners(four, entry)[0]
    four.run(DELAY_S - 30)
    fetches: list[Any] = []
    contents = four.nodes[lost].contents
    original, contents._fetching.fetch = contents._fetching.fetch, lambda *a, **k: fetches.append(a) or Deferred()
    four.nodes[lost].blobs.contents.clear()
    four.run(4 * DELAY_S)
    assert four[1].blobs.stat(digest) is not None
    assert fetches
    contents._fetching.fetch = original
    w.restart(four.nodes[lost])
    four.until(lambda: four[1].blobs.stat(digest) is None, 6 * DELAY_S)
    assert w.holding(four, digest) == set(w.owners(four, entry))


def test_a_proof_under_another_layout_does_not_count(four):
    """An owner that knows another layout proves nothing; nor does a proof given before the layout changed and changed back."""
    entry, digest = stored_elsewhere(four)
    node = four[1]
    ask = node.peers.ask

    def change_meanwhile(target: str, call: Any, *more: Any) -> Any:
        answer = ask(target, call, *more)
        if call.verb == "PROVE":
            out, four.out = four.out, {"n1"}
            node.see()
            four.out = out
            node.see()
        return answer

    node.peers.ask = change_meanwhile
    four.run(5 * DELAY_S)
    assert node.blobs.stat(digest) is not None
    node.peers.ask = ask

    async def other_layout(caller: Any, call: Any) -> Any:
        return await prove(caller, call._replace(words=("another",)))

    owner = four.nodes[w.owners(four, entry)[0]]
    prove = owner.peers._services["PROVE"]
    owner.peers._services["PROVE"] = other_layout
    four.run(4 * DELAY_S)
    assert node.blobs.stat(digest) is not None
    owner.peers._services["PROVE"] = prove
    four.until(lambda: node.blobs.stat(digest) is None, 3 * DELAY_S)


def test_an_owner_without_the_record_proves_nothing(four):
    """A content to which nothing refers at the owner may be collected there at any time: it is no copy."""
    entry, digest = stored_elsewhere(four)
    owner = four.nodes[w.owners(four, entry)[0]]
    record = owner.catalog.get([_ref(entry)])[0]
    unreferenced = owner.catalog.unreferenced
    owner.catalog.unreferenced = lambda digests: [*unreferenced(digests), digest]
    four.run(4 * DELAY_S)
    assert record is not None
    assert four[1].blobs.stat(digest) is not None


def test_pinned_contents_stay(four):
    """What is about to be used is not dropped, however well it is proved."""
    entry, digest = stored_elsewhere(four)
    assert four[1].blobs.pin(digest)
    four.run(4 * DELAY_S)
    assert four[1].blobs.stat(digest) is not None
    four[1].blobs.unpin(digest)
    four.until(lambda: four[1].blobs.stat(digest) is None, 2 * DELAY_S)
    assert w.read(four, four[1], entry)


def test_shared_contents_stay_where_any_entry_wants_them(four):
    """One content, two entries in different partitions: the owners of either keep it; a new entry defends it at the last moment."""
    data = b"shared" * 50
    entries = [w.store(four, four[1], data, f"f{each}").id for each in range(12)]
    digest = w.digest_of(four[1], entries[0])
    wanted = {owner for entry in entries for owner in w.owners(four, entry)}
    four.run(4 * DELAY_S)
    assert w.holding(four, digest) == wanted


def test_a_new_entry_defends_it_at_the_last_moment(four):
    """An entry that this node is to hold refers to the content after all owners proved theirs: the copy stays."""
    _, digest = stored_elsewhere(four)
    node = four[1]
    layout = four.view_of("n1").layout
    own = next(each for each in range(256) if "n1" in layout.owners(each))
    exclusive = node.core.committer.exclusive
    late = []

    async def just_before(call: Any) -> Any:
        if not late:
            writer = Writer("n1")
            late.append(writer.new_id(own))
            content = Content(digest, 801, "text/plain", 0)
            node.catalog.merge([creation(late[0], writer.stamp(), "late", content, 0, (), None)])
        return await exclusive(call)

    node.core.committer.exclusive = just_before
    four.until(lambda: bool(late), 4 * DELAY_S)
    four.run(3 * DELAY_S)
    assert node.blobs.stat(digest) is not None


def test_after_a_node_was_out_and_came_back(four):
    """Others took over while it was out; when it is back they give up theirs again, and no entry ever has too few copies."""
    entries = [w.store(four, four[1 + each % 4], b"x%d" % each * 300, f"f{each}").id for each in range(25)]
    four.run(5)
    digests = {entry: w.digest_of(four[1], entry) for entry in entries}
    four[4].stop()
    four.hold_for_dead("n4")
    four.take_out("n4")
    four.until(lambda: all(w.holding(four, digests[e]) >= set(w.owners(four, e)) for e in entries), 60)
    four.run(3 * DELAY_S)
    assert all(len(w.holding(four, digests[entry]) - {"n4"}) >= 2 for entry in entries)
    four[4].start()
    four.hold_for_dead()
    four.take_out()

    def least() -> int:
        return min(len(w.holding(four, digest)) for digest in digests.values())

    for _ in range(60):
        four.run(10)
        assert least() >= 2
    for entry in entries:
        assert w.holding(four, digests[entry]) == set(w.owners(four, entry))
        assert w.told(four, four[2], entry) == ("2/2", sorted(w.owners(four, entry)))


def test_two_nodes_never_rely_on_each_other(four):
    """While this node drops a content it proves it to nobody."""
    _, digest = stored_elsewhere(four)
    node = four[1]
    answers = []
    exclusive = node.core.committer.exclusive

    async def slow(call: Any) -> Any:
        question = node.peers._services["PROVE"]
        layout = four.view_of("n1").layout.id
        answers.append((await question(Caller("n2", "b", ""), Call("PROVE", (layout,), body=digest))).body)
        return await exclusive(call)

    node.core.committer.exclusive = slow
    four.until(lambda: node.blobs.stat(digest) is None, 4 * DELAY_S)
    assert answers and set(answers) == {b"0"}


def test_what_was_deleted_stays_deleted(four):
    """Purged entries are not fetched again, and what nothing refers to is left to the collection."""
    entry, digest = stored_elsewhere(four)
    four.wait(four[1].node.delete(OWNER, parse(f"id:{entry}")))
    four.wait(four[1].node.purge(OWNER, parse(f"id:{entry}")))
    four.run(10)
    for node in four.up():
        node.blobs.drop(digest)
    four.run(3 * DELAY_S)
    assert w.holding(four, digest) == set()
    assert all(len(node.contents._owing.queue) == 0 for node in four.up())


def test_a_draining_layout_of_one(four):
    """With a single node in the layout everything goes there, and the others give theirs up only after it proved all of it."""
    entries = [w.store(four, four[2], b"y%d" % each * 300, f"f{each}").id for each in range(10)]
    four.run(5)
    four.take_out("n1", "n2", "n3")
    digests = [w.digest_of(four[2], entry) for entry in entries]
    four.network.sever(["n4"], ["n1", "n2", "n3"])
    four.run(3 * DELAY_S)
    assert all(w.holding(four, digest) - {"n4"} for digest in digests)
    four.network.heal()
    four.until(lambda: all(w.holding(four, digest) == {"n4"} for digest in digests), 10 * DELAY_S)
    assert {partition(entry) for entry in entries}


def _ref(entry: str) -> Any:
    return Ref("entry", entry)
