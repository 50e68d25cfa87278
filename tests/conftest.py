"""Fixtures and checks for all tests. What they are and how to use them: the two modules named here."""

pytest_plugins = ["tests.system_tools", "tests.reactor_care"]
