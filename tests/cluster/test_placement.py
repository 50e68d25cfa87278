"""Placement: who holds a partition, and how little moves when nodes come and go."""

import math
import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagfs.cluster.placement import PARTITIONS, Layout, Place, _ln

ALL = range(PARTITIONS)


def places(count: int, seed: int = 0, zones: int = 0, hosts: int = 0, capacities: int = 1) -> list[Place]:
    """Some nodes; with ``zones`` or ``hosts`` spread over as many by chance."""
    rng = random.Random(seed)
    return [
        Place(
            f"{rng.getrandbits(128):032x}",
            f"z{rng.randrange(zones)}" if zones else "",
            f"h{rng.randrange(hosts)}" if hosts else "",
            rng.randint(1, capacities),
        )
        for _ in range(count)
    ]


@st.composite
def clusters(draw, least: int = 1, most: int = 100):
    """Nodes of any number, zones, hosts and weights, and how many copies."""
    count = draw(st.integers(least, most))
    made = places(
        count,
        draw(st.integers(0, 2**32)),
        draw(st.integers(0, 5)),
        draw(st.integers(0, 20)),
        draw(st.sampled_from([1, 9])),
    )
    return made, draw(st.integers(1, 5))


@settings(max_examples=40)
@given(clusters(least=2))
def test_adding_a_node_moves_only_to_it(cluster):
    """With one node more, no partition gets a holder that it did not have, but for the new one; so does the reverse."""
    made, copies = cluster
    before, after = Layout.of(made[1:], copies), Layout.of(made, copies)
    new = made[0].node
    for partition in ALL:
        had, has = set(before.owners(partition)), set(after.owners(partition))
        assert has - had <= {new}
        assert len(had - has) <= (new in has)


@settings(max_examples=40)
@given(clusters())
def test_zones_come_first_then_hosts(cluster):
    """The holders are in as many zones as there are, and then on as many hosts as that leaves possible."""
    made, copies = cluster
    layout = Layout.of(made, copies)
    by_id = {place.node: place for place in made}
    for partition in range(0, PARTITIONS, 16):
        owners = [by_id[node] for node in layout.owners(partition)]
        assert len(owners) == min(copies, len(made))
        assert len({place.zone for place in owners}) == min(len(owners), len({place.zone for place in made}))
        machines = {(place.zone, place.host) if place.host else place.node for place in made}
        used = {(place.zone, place.host) if place.host else place.node for place in owners}
        assert len(used) == min(len(owners), len(machines))


@settings(max_examples=40)
@given(clusters(), st.randoms(use_true_random=False))
def test_all_nodes_compute_the_same(cluster, rng):
    """The order in which a node learnt of the members does not matter."""
    made, copies = cluster
    shuffled = list(made)
    rng.shuffle(shuffled)
    one, other = Layout.of(made, copies), Layout.of(shuffled, copies)
    assert one == other
    assert one.id == other.id
    assert [one.order(partition) for partition in ALL] == [other.order(partition) for partition in ALL]
    assert set(one.order(7)) == {place.node for place in made}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 99])
def test_a_new_node_gets_its_share(count):
    """Adding one node to N moves about 1/(N+1) of all copies, over many clusters."""
    moved = total = 0
    for seed in range(max(20, 200 // count)):
        made = places(count + 1, seed)
        copies = min(3, count)
        before, after = Layout.of(made[1:], copies), Layout.of(made, copies)
        for partition in ALL:
            moved += len(set(after.owners(partition)) - set(before.owners(partition)))
            total += copies
    assert moved / total == pytest.approx(1 / (count + 1), rel=0.12)


def test_capacity_is_a_weight():
    """Where one copy is kept, a node with three times the capacity holds three times as much."""
    held: Counter[int] = Counter()
    for seed in range(60):
        made = [place._replace(capacity=1 + 2 * (index % 2)) for index, place in enumerate(places(10, seed))]
        capacity = {place.node: place.capacity for place in made}
        held.update(capacity[Layout.of(made, 1).owners(partition)[0]] for partition in ALL)
    assert held[3] / held[1] == pytest.approx(3, rel=0.08)


def test_a_greater_capacity_only_draws_to_it():
    """A node that gets more room takes from others, and nothing else moves."""
    made = places(12, 5, zones=3, hosts=6)
    before = Layout.of(made, 3)
    after = Layout.of([made[0]._replace(capacity=4), *made[1:]], 3)
    gained = 0
    for partition in ALL:
        news = set(after.owners(partition)) - set(before.owners(partition))
        assert news <= {made[0].node}
        gained += len(news)
    assert gained > 0


def test_the_id_tells_layouts_apart():
    """Whatever decides about placement changes the id."""
    made = places(3, 1)
    layouts = [
        Layout.of(made, 3),
        Layout.of(made, 2),
        Layout.of(made[1:], 3),
        Layout.of([made[0]._replace(zone="x"), *made[1:]], 3),
        Layout.of([made[0]._replace(host="x"), *made[1:]], 3),
        Layout.of([made[0]._replace(capacity=2), *made[1:]], 3),
        Layout.of([], 3),
    ]
    assert len({layout.id for layout in layouts}) == len(layouts)
    assert layouts[-1].order(0) == ()


def test_orders_are_pinned():
    """The order never changes with a version of tagfs: data would move between nodes for nothing."""
    layout = Layout.of(
        [Place(f"node{index}", f"z{index % 2}", f"h{index % 3}", 1 + index % 2) for index in range(5)], 3
    )
    assert [list(layout.owners(partition)) for partition in (0, 1, 2, 255)] == [
        ["node2", "node1", "node0"],
        ["node1", "node0", "node3"],
        ["node0", "node1", "node4"],
        ["node1", "node2", "node3"],
    ]
    assert layout.id == "1cb00273f83da42b"


@given(st.floats(2**-53, 1, exclude_max=True))
def test_own_logarithm_is_right(unit):
    """The portable logarithm is the logarithm."""
    assert _ln(unit) == pytest.approx(math.log(unit), rel=1e-13, abs=1e-16)


def test_a_hundred_nodes_are_quick():
    """Placing all partitions on 100 nodes that nobody saw before takes a fraction of a second."""
    made = places(100, 77, zones=3, hosts=50, capacities=5)
    layout = Layout.of(made, 3)
    begin = time.perf_counter()
    for partition in ALL:
        layout.order(partition)
    assert time.perf_counter() - begin < 1.5
