"""Some seeds of the simulated membership, always the same; ``python -m tests.sim.membership`` runs hundreds."""

import pytest

from tests.sim.member_bugs import BUGS
from tests.sim.membership import run_seed

CATCHING = {"no-self-doubt": 36, "minority-writes-out": 9, "no-indirect-probes": 24}
"""A seed for each bug that brings it to light."""


@pytest.mark.parametrize("seed", range(5000, 5012))
def test_nothing_wrong_under_this_seed(seed):
    """Nobody is condemned who could be reached, no minority changes the layout, and all agree again afterwards."""
    result = run_seed(seed)
    assert result.wrong == ""
    assert result.actions > 5


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_seeded_bug_is_caught(bug):
    """The simulation sees each bug that was put in on purpose, and nothing without it."""
    assert run_seed(CATCHING[bug]).wrong == ""
    assert run_seed(CATCHING[bug], bug=bug).wrong != ""


def test_a_seed_is_repeatable():
    """The same seed gives the same, so that what was found can be looked at."""
    assert run_seed(5000) == run_seed(5000)
