"""Fixtures and checks for all tests. What they are and how to use them: the two modules named here."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.system_tools", "tests.reactor_care"]

# How long an example takes says more about a shared machine than about the code. In CI the same commit is tested with
# the same examples, so that it cannot fail on one day and pass on the next; elsewhere every run looks at new ones.
settings.register_profile(
    "tagfs",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.load_profile("tagfs")
