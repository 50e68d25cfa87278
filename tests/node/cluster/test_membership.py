"""The membership as it runs: nodes found, join, notice each other's life and death, and remember."""

import pytest

from tests.sim.member_world import MemberWorld


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
