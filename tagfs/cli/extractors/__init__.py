"""Extractors: where an import finds the tags of a file. Plug-ins of the entry-point group ``tagfs.extractors``. Layer: cli.

An extractor is a class without arguments, or any callable that gives an object of :class:`Extractor`. One that is called
``folders`` is used by ``--tags-from folders``, all others by ``--tags-from metadata``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

MAX_READ = 32 << 20
"""Most bytes of a file that an extractor is given."""


class Metadata(NamedTuple):
    """What an extractor found: ``tags`` as they stand in the file (the import repairs them), and in ``problem`` one line about
    what it could not read, or nothing."""

    tags: tuple[str, ...] = ()
    problem: str = ""


@runtime_checkable
class Extractor(Protocol):
    """Finds tags in one kind of file."""

    @property
    def name(self) -> str:
        """How people call it."""

    def matches(self, relative: str) -> bool:
        """Whether it has anything to say about a file; ``relative`` is its path below the imported folder."""

    def extract(self, relative: str, read: Callable[[], bytes]) -> Metadata:
        """The tags of a file. ``read`` gives its content, at most the first :data:`MAX_READ` bytes; whoever needs no
        content does not call it. Raises nothing for a broken file: that is a ``problem``."""
