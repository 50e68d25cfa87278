"""What can go wrong outside of this program, each in one line that says what happened, to what, and what to do."""

from __future__ import annotations


class Fault(Exception):
    """An outside fault. The text is for people."""


class DescriptionFault(Fault):
    """cluster.toml, or an option, says something that cannot be."""


class EngineFault(Fault):
    """Podman cannot be reached, is too old, or refused."""


class Taken(EngineFault):
    """A name, a subnet or a port belongs to something else."""


class NotThere(EngineFault):
    """There is no such container, network or image."""


class NotReady(Fault):
    """Something did not become what it should within its time."""
