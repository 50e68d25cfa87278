"""Five nodes on two networks, joined by a router: they find each other, serve both sides of a cut, repair, and are replaced.

The tests are the days of one cluster's life, in this order; each leaves it whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.load import Load
from tests.containers.private_podman import PrivatePodman
from tests.containers.world import World, fetch_by_ftp, part_of_corpus, store_by_ftp, wait_until, world_of

pytestmark = [pytest.mark.limit(300), pytest.mark.tool("podman")]
NAME = "tagfs-test"
# On each network, a node names no seed and is found by its beacons; one address, n1's, joins the networks. Each network is a
# zone, so each side of a cut has a copy of each content.
NODES = {
    "n1": ("a", ""),
    "n2": ("a", "join = []"),
    "n3": ("a", "join = []"),
    "n4": ("b", 'join = ["n1"]'),
    "n5": ("b", "join = []"),
}
DESCRIPTION = f"""
name = "{NAME}"
copies = 3
memory = "512m"
[networks.a]
[networks.b]
""" + "".join(
    f'[nodes.{name}]\nnetwork = "{network}"\nzone = "{network}"\n{join}\n' for name, (network, join) in NODES.items()
)
A, B = ("n1", "n2", "n3"), ("n4", "n5")
DEAD_S = 10.0
"""Within this time a node that is away is seen as dead."""
MEET_S = 30.0
CONVERGE_S = 30.0
FOLDERS = ("animals", "food")
DRAWINGS = 200


@pytest.fixture(scope="module")
def tagfs_cluster(podman: PrivatePodman, images: dict[str, str], tagfs_podman, report) -> Iterator[Callable[..., str]]:
    """``tagfs-podman`` for one cluster, which is up."""
    (podman.folder / "cluster.toml").write_text(DESCRIPTION)
    try:
        report(tagfs_podman("--file", "cluster.toml", "up").stdout)
        ids = podman.call("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}")
        report(f"containers:\n{ids.strip()}")
        yield lambda *words, **limits: tagfs_podman("--name", NAME, *words, **limits).stdout
    except BaseException:
        report(podman.log)
        raise
    finally:
        for each in podman.call("ps", "-a", "--format", "{{.Names}}").split():
            report(f"last lines of {each}:\n{podman.call('logs', '--tail', '15', each)}")
        tagfs_podman("--name", NAME, "down", "--volumes")


@pytest.fixture(scope="module")
def everybody(tagfs_cluster) -> World:
    return world_of(tagfs_cluster("status", "--json"), tagfs_cluster("password"))


@pytest.fixture
def world(everybody: World) -> World:
    """All nodes alive, before each test."""
    wait_until(everybody.all_see_all, MEET_S, "all nodes alive before the test")
    return everybody


@pytest.fixture(scope="module")
def drawings() -> dict[str, bytes]:
    root = Path("/usr/share/openclipart/svg")
    return part_of_corpus(root, FOLDERS, DRAWINGS)


def test_nodes_find_each_other(world: World, tagfs_cluster) -> None:
    """By beacons on their network and by one seed over the router; every node sees the five, and tells the same ids."""
    assert list(world.addresses) == ["n1", "n2", "n3", "n4", "n5"]
    for node in world.addresses:
        assert set(world.states(node)) == set(world.addresses)
    status = json.loads(tagfs_cluster("status", "--json"))
    assert {each["seen_as"] for each in status if each["name"] != "router"} == {"alive"}
    assert len({each["node_id"] for each in status}) == 6  # the router has none
    assert {each["healthy"] for each in status} == {True}


def test_up_again_changes_nothing(world: World, tagfs_podman, podman: PrivatePodman) -> None:
    """What is there is recognised in what the engine tells: the same containers go on running."""
    before = podman.call("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Pid}}")
    done = tagfs_podman("--file", "cluster.toml", "up")
    assert podman.call("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Pid}}") == before, done.stderr


@pytest.mark.tool("openclipart-svg")
def test_corpus_is_stored_on_one_network_and_read_from_the_other(world: World, drawings: dict[str, bytes]) -> None:
    """Part of the real corpus goes in by FTP through n1; n5 gives every byte, every tag, and the same answers to queries."""
    assert len(drawings) == DRAWINGS
    with world.ftp("n1") as session:
        store_by_ftp(session, drawings)
    with world.client("n5") as client:
        client.request("SYNC 20")
        assert client.count("") == DRAWINGS
        for folder in {path.split("/")[0] for path in drawings}:
            assert client.count(folder) == sum(path.startswith(f"{folder}/") for path in drawings)
    with world.ftp("n5") as session:
        for path, content in drawings.items():
            assert fetch_by_ftp(session, path) == content, path
    wait_until(world.agree, CONVERGE_S, "all nodes list the same")
    wait_until(lambda: set(world.copies().values()) == {"3/3"} or world.copies(), CONVERGE_S, "three copies of each")


def split_and_heal(world: World, cut: Callable[[], object], heal: Callable[[], object], tag: str) -> None:
    """Both sides see the other as dead in time, serve and store; afterwards all of it is everywhere."""
    with world.client("n1") as client:
        shared = client.add(f"{tag}-both.txt", b"known to all", tags=[tag]).id
    wait_until(lambda: world.agree(tag), CONVERGE_S, "all nodes know the entry")
    cut()
    wait_until(
        lambda: world.see(A, B, "dead") is True and world.see(B, A, "dead"), DEAD_S, "each side sees the other as dead"
    )
    wait_until(
        lambda: world.see(A, A, "alive") is True and world.see(B, B, "alive"), DEAD_S, "each side sees itself alive"
    )
    written = {shared: b"known to all"}
    for node in world.addresses:
        with world.client(node) as client:
            content = f"written through {node} during the cut".encode()
            written[client.add(f"{tag}-{node}.txt", content, tags=[tag]).id] = content
            client.add_tags(f'name:"{tag}-both.txt"', [f"side={node}"])
            assert world.content(node, shared) == b"known to all"
    # No answer that lacks what the others store presents itself as complete.
    with world.client("n5") as client:
        reply = client.request(f"FIND {tag}")
        assert "total=3" in reply.text and "complete=no" in reply.text, reply.text
    heal()
    wait_until(world.all_see_all, MEET_S, "all nodes alive again")
    wait_until(lambda: world.agree(tag), CONVERGE_S, "all nodes list the same")
    (both,) = list(world.listing("n3", f'name:"{tag}-both.txt"'))
    assert both[2] == tuple(sorted([tag, *(f"side={node}" for node in world.addresses)]))
    assert len(world.listing("n4", tag)) == 6
    world.check_contents(written)


def test_router_stops_and_comes_back(world: World, tagfs_cluster) -> None:
    """Both sides go on serving, see the others as dead within ten seconds, and lose nothing."""
    split_and_heal(world, lambda: tagfs_cluster("stop", "router"), lambda: tagfs_cluster("start", "router"), "stopped")


def test_silent_cut_and_heal(world: World, tagfs_cluster) -> None:
    """The same where packets vanish instead of being refused."""
    split_and_heal(world, lambda: tagfs_cluster("cut", "a", "b"), lambda: tagfs_cluster("heal"), "cut")


@pytest.mark.parametrize(("verb", "node"), [("kill", "n3"), ("pause", "n5")])
def test_node_dies_and_returns(world: World, tagfs_cluster, verb: str, node: str) -> None:
    """The others see it dead in time, serve every content meanwhile, and it has what it missed when it is back."""
    others = [each for each in world.addresses if each != node]
    with world.client(others[0]) as client:
        before = {client.add(f"{verb}-{number}.txt", f"{verb} {number}".encode(), tags=[verb]).id: f"{verb} {number}".encode()
                  for number in range(10)}  # fmt: skip
    tagfs_cluster(verb, node)
    wait_until(lambda: world.see(others, [node], "dead"), DEAD_S, f"all others see {node} as dead")
    world.check_contents(before, others)
    with world.client(others[-1]) as client:
        missed = client.add(f"{verb}-missed.txt", b"while it was away", tags=[verb]).id
        client.add_tags(f"{verb} and name:*-3.txt", ["changed"])
    tagfs_cluster("start", node)
    wait_until(world.all_see_all, MEET_S, f"{node} is alive again")
    wait_until(lambda: world.agree(verb), CONVERGE_S, "all nodes list the same")
    assert len(world.listing(node, verb)) == 11
    assert len(world.listing(node, f"{verb} and changed")) == 1
    world.check_contents({**before, missed: b"while it was away"})


def test_broken_node_is_replaced(world: World, tagfs_cluster, drawings: dict[str, bytes]) -> None:
    """A node that is gone for good is forgotten, its successor joins, and every content has its three copies again."""
    before = world.listing("n1", "")
    tagfs_cluster("kill", "n2")
    tagfs_cluster("remove-node", "--force", "n2")
    assert tagfs_cluster("add-node", "--network", "a").strip() == "n2"
    world.addresses.update(world_of(tagfs_cluster("status", "--json"), world.password).addresses)
    wait_until(world.all_see_all, MEET_S, "the new node is alive for all")
    assert world.listing("n2", "") == before
    wait_until(lambda: set(world.copies().values()) == {"3/3"} or world.copies(), 60, "three copies of each")
    with world.ftp("n2") as session:
        for path, content in list(drawings.items())[::5]:
            assert fetch_by_ftp(session, path) == content, path


def test_rolling_restart_under_load(world: World, tagfs_cluster, report) -> None:
    """One node after the other restarts; no read and no write fails for users who know the nodes' addresses; nothing is lost."""
    load = Load(world)
    load.start(writers=2, readers=2)
    try:
        wait_until(
            lambda: (len(load.written) > 20 and load.reads > 20) or (load.written, load.failures), 20, "the load runs"
        )
        tagfs_cluster("restart")
        after = len(load.written)
        wait_until(lambda: len(load.written) > after + 20 or load.failures, 20, "the load goes on")
    finally:
        load.stop()
    report(f"rolling restart: {len(load.written)} writes, {load.reads} reads, the slowest {load.slowest_s:.2f} s, "
           f"{len(load.failures)} failed")  # fmt: skip
    assert load.failures == [], load.failures
    wait_until(world.all_see_all, MEET_S, "all nodes alive")
    wait_until(lambda: world.agree("load"), CONVERGE_S, "all nodes list the same")
    assert {entry for entry, *_ in world.listing("n1", "load")} == set(load.written)
    world.check_contents(load.written)


def test_node_leaves(world: World, tagfs_cluster) -> None:
    """remove-node returns only when others keep what the node kept; a new one takes its place."""
    before = world.listing("n1", "animals")
    tagfs_cluster("remove-node", "n3")
    del world.addresses["n3"]
    assert set(world.copies("animals").values()) == {"3/3"}  # now, not some time later
    assert world.listing("n5", "animals") == before
    assert tagfs_cluster("add-node", "--network", "a").strip() == "n3"
