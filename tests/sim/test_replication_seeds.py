"""A few seeds of the simulation of whole nodes; many more, and all seeded bugs, by tests/sim/replication.py (.ci/run)."""

from __future__ import annotations

import pytest

from tests.sim.replication import run_seed


@pytest.mark.parametrize("seed", [1, 2])
def test_some_seeds(seed):
    """Nothing acknowledged is lost, nothing comes back, and complete answers are complete."""
    result = run_seed(seed, 120)
    assert result.wrong == ""
    assert result.done["store"] > 10


@pytest.mark.parametrize("bug", ["content-not-taken", "push-without-vector"])
def test_bugs_are_caught(bug):
    """A simulation that does not find what is known to be wrong would prove nothing."""
    assert any(run_seed(seed, 120, bug).wrong for seed in range(1, 25))
