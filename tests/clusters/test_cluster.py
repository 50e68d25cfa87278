"""A cluster of real processes: found, joined, watched, left; as an operator starts and sees it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagfs.client import Client
from tagfs.client.errors import Refused
from tests.campaigns.cluster.network import Segments
from tests.campaigns.cluster.nodes import NOTICED_S, Cluster, Member, all_see, until
from tests.campaigns.node_process import NodeProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.end()


@pytest.fixture
def segments(require_tool) -> Iterator[Segments]:  # type: ignore[no-untyped-def]
    require_tool("ip")
    made = Segments()
    yield made
    made.remove()


def test_nodes_with_one_key_find_each_other_by_beacons(cluster: Cluster) -> None:
    """Started at once and without --join, three nodes become one cluster, not three."""
    members = cluster.start("a", "b", "c")
    until(lambda: all_see(members), "all see each other")
    ids = set()
    for member in members:
        with member.client() as client:
            ids.add(dict(client.cluster_settings())["cluster"])
    assert len(ids) == 1


def test_a_fifth_node_is_seen_by_all_within_three_seconds(cluster: Cluster) -> None:
    """One seed is enough to join, and no beacons are needed; then a kill, a restart elsewhere and a stop are noticed."""
    (first,) = cluster.start("a", discovery=False)
    members = [first, *cluster.start("b", "c", "d", join=[first], discovery=False)]
    until(lambda: all_see(members), "four see each other", 20)
    fifth = cluster.node("e", join=[members[2]], discovery=False)
    fifth.start()
    until(lambda: all_see(members, [fifth]), "the fifth is seen by all", 3)
    until(lambda: all_see([fifth], members), "the fifth sees all")
    old = fifth.seed
    fifth.kill()
    until(lambda: all_see(members, [fifth], "dead"), "the killed one is dead for all", NOTICED_S)
    fifth.start()
    assert fifth.seed != old
    until(lambda: all_see(members, [fifth]), "it is back at another address")
    until(lambda: all_see([fifth], members), "and sees all")
    fifth.stop()
    until(lambda: all_see(members, [fifth], "dead"), "the stopped one is dead for all", 3)
    assert all(member.said("e .*(stopped|says goodbye|dead)") for member in members)


def test_a_frozen_node_condemns_nobody(cluster: Cluster) -> None:
    """A stopped process is dead for the others while it lasts; when it goes on it does not take them for dead."""
    members = cluster.start("a", "b", "c")
    until(lambda: all_see(members), "all see each other")
    frozen, *others = members
    frozen.freeze()
    until(lambda: all_see(others, [frozen], "dead"), "the frozen one is dead for the others", NOTICED_S)
    frozen.thaw()
    until(lambda: all_see(others, [frozen]), "it is alive again")
    until(lambda: all_see([frozen], others), "and sees the others")
    assert not frozen.said(r"\b[bc]\b.* is dead")


def test_a_wrong_key_opens_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """A node with another key learns nothing and changes nothing; both logs say why, in a line."""
    (first,) = cluster.start("a", discovery=False)
    other = tmp_path / "other.key"
    other.write_text(secrets.token_hex(32) + "\n")
    stranger = cluster.node("x", join=[first], key=other, discovery=False)
    stranger.start()
    until(lambda: stranger.said("cluster key"), "the stranger is told that its key is wrong")
    assert list(first.nodes()) == [first.id]
    with stranger.client() as client, pytest.raises(Refused, match="cluster"):
        client.request("SAVE s | beach")  # it neither joins nor founds
    assert "Traceback" not in first.log.read_text() + stranger.log.read_text()


def test_a_node_with_entries_joins_only_with_merge(cluster: Cluster, tmp_path: Path) -> None:
    """Somebody's files are not poured into a cluster by a mistyped option."""
    (first,) = cluster.start("a", discovery=False)
    alone = NodeProcess(tmp_path / "b")
    alone.start()
    with Client(*alone.address) as client:
        client.add("empty", b"", tags=["tag"])
    alone.stop()
    for options, joins in ((), False), (("--merge",), True):
        again = cluster.node("b", *options, join=[first], discovery=False)
        again.start()
        if joins:
            until(lambda again=again: all_see([first, again]), "it joins with --merge")
        else:
            until(lambda again=again: again.said("--merge"), "it says that --merge is needed")
            assert again.id not in first.nodes()
        again.stop()


def test_a_founder_with_entries_joins_another_cluster_only_with_merge(cluster: Cluster) -> None:
    """Who founded a cluster by mistake (no --join) is told the way out, and brings its entries along."""
    first, mistaken = (cluster.node(name, discovery=False) for name in "ab")
    for node in (first, mistaken):
        node.start()
        until(node.may_write, "it has founded a cluster")
    with mistaken.client() as client:
        client.add("mine", b"content", tags=["tag"])
    mistaken.stop()
    again = cluster.node("b", join=[first], discovery=False)
    again.start()
    until(lambda: again.said("--merge"), "it says that --merge is needed")
    assert again.id not in first.nodes()
    again.stop()
    merging = cluster.node("b", "--merge", join=[first], discovery=False)
    merging.start()
    until(lambda: all_see([first, merging]), "it joins with --merge")

    def found() -> list[str]:
        with first.client() as client:
            return [row.name for row in client.find("tag")]

    until(lambda: found() == ["mine"], "its entries are known to all")


def test_leave_and_forget(cluster: Cluster) -> None:
    """A node that leaves is told apart from one that is dead; one that was forgotten is not listed any more."""
    members = cluster.start("a", "b", "c")
    first, second, third = members
    until(lambda: all_see(members), "all see each other")
    with first.client() as client:
        client.request(f"NODE-LEAVE {second.id}")
    until(lambda: all_see([first, third], [second], "left"), "b has left", 3)
    third.kill()
    until(lambda: first.sees([third], "dead"), "c is dead")
    with first.client() as client:
        client.request("NODE-FORGET c")
    until(lambda: third.id not in first.nodes(), "c is forgotten", 3)


def test_what_only_a_forgotten_node_knew_is_recovered(cluster: Cluster) -> None:
    """A node that was forgotten comes back as another one: what only it had is in /@recovered for all, once; what the others
    deleted meanwhile stays deleted, and what they have stays as it is."""
    members = cluster.start("a", "b", "c")
    first, second, third = members
    until(lambda: all_see(members), "all see each other")
    with first.client() as client:
        client.add("common", b"everybody has it", tags=["Kept"])
        client.add("purged", b"gone meanwhile", tags=["old"])
    until(lambda: names(third) == ["common", "purged"], "c has heard of it")
    for other in (first, second):
        other.kill()
    until(lambda: third.sees([first, second], "dead"), "c is cut off")
    large = secrets.token_bytes(3 << 20)
    with third.client() as client:
        client.add("only here", b"precious", tags=["Lonely", "two words"])
        client.add("large", large)
        client.add_tags("Kept", ["a tag that is lost"])
    third.kill()
    for other in (first, second):
        other.start()
    until(lambda: all_see([first, second]), "a and b are back")
    until(lambda: first.sees([third], "dead"), "c is dead")
    with first.client() as client:
        client.delete("old")
        client.purge("old")
        client.request("NODE-FORGET c")
    former = third.id
    third.start()
    assert third.id == former

    def renewed() -> bool:
        third.look_again()
        return third.id != former and all_see(members)

    until(renewed, "c is there again, as another node", 30)
    recovered = ["common", "large", "only here"]
    until(lambda: [names(member) for member in members] == [recovered] * 3, "what only c had is everywhere", 30)
    for member in members:
        with member.client() as client:
            (row,) = client.find("lonely")
            assert row.tags == ("Lonely", "two words")
            assert [row.name for row in client.find('home:"@recovered/lonely/two words"')] == ["only here"]
            assert not list(client.find('"a tag that is lost"'))
            got = bytearray()
            client.get(next(iter(client.find("name:large"))).id, got.extend)
            assert got == large
    third.stop()
    third.start()
    until(lambda: all_see(members), "c is there after a restart")
    assert third.id != former and names(third) == recovered


def names(member: Member) -> list[str]:
    """The names of all entries that a node knows of."""
    with member.client() as client:
        return sorted(row.name for row in client.find())


def test_settings_hold_for_the_whole_cluster(cluster: Cluster) -> None:
    """What the founder was started with holds; another node's differing option is ignored; CLUSTER-SET reaches all."""
    founder = cluster.node("a", "--copies", "2", discovery=False)
    founder.start()
    other = cluster.node("b", "--copies", "5", join=[founder], discovery=False)
    other.start()
    until(lambda: all_see([founder, other]), "they see each other")
    with other.client() as client:
        assert dict(client.cluster_settings())["copies"] == "2"
        client.set_cluster_settings(["copies=1", "out_after=900"])
    assert other.said("copies")

    def told() -> dict[str, str]:
        with founder.client() as client:
            return dict(client.cluster_settings())

    until(lambda: (told()["copies"], told()["out_after"]) == ("1", "900"), "the founder has heard", 3)
    with other.client() as client, pytest.raises(Refused):
        client.set_cluster_settings(["copies=99"])


@pytest.mark.tool("ip")
def test_across_a_router_one_seed_is_enough(cluster: Cluster, segments: Segments) -> None:
    """Nodes of two segments: beacons within each, one seed across. A stopped router makes each side see the other dead
    within 10 s, and a started one alive; idle, a node costs less than 1 KiB/s per peer."""

    def member(name: str, number: int, host: int, *options: str, join=()):  # type: ignore[no-untyped-def]
        address = f"10.91.{number}.{host}"
        return cluster.node(
            name,
            *("--node", f"tcp:4747:interface={address}", *options),
            join=join,
            namespace=segments.a if number == 1 else segments.b,
        )

    a1, a2 = member("a1", 1, 11), member("a2", 1, 12)
    a1.start()
    a2.start()
    b1 = member("b1", 2, 11, join=[a1])
    b1.start()
    b2 = member("b2", 2, 12)
    b2.start()
    near, far = [a1, a2], [b1, b2]
    everybody = [*near, *far]
    until(lambda: all_see(everybody), "all see each other", 20)

    def rate() -> float:
        """What crosses the interface of segment a: two nodes with two peers each on the other side, and the beacons."""
        before = segments.bytes_of(segments.a)
        elapsed_s = until(lambda: segments.bytes_of(segments.a) - before > 0, "some traffic") + _pause(4)
        return (segments.bytes_of(segments.a) - before) / elapsed_s / 4

    rates = [rate()]
    while rates[-1] >= 2 * 1024 and len(rates) < 4:  # what joining brings may still be on its way on a busy machine
        rates.append(rate())
    assert rates[-1] < 2 * 1024, f"{rates} bytes/s per peer, both ways"

    segments.forward(False)
    until(lambda: all_see(near, far, "dead") and all_see(far, near, "dead"), "each side sees the other dead")
    assert all_see(near)
    assert all_see(far)
    segments.forward(True)
    until(lambda: all_see(everybody), "all see each other again")


def _pause(seconds: float) -> float:
    """Lets time pass where time itself is what is measured."""
    import time

    begin = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - begin
