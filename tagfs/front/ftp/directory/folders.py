"""Empty folders of the tree. Layer: front.

A folder of ``/@tree`` exists because an entry has its home there or below. One that was just made has none yet, so it is
remembered here until the process ends; mirroring clients make a folder, enter it, and fill it.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_FOLDERS = 10_000
"""Made folders that are remembered; the oldest are forgotten first."""


class MadeFolders:
    """Homes that were made by MKD and may be without entries. Each stands for all folders above it."""

    def __init__(self) -> None:
        self._homes: dict[str, None] = {}

    def add(self, home: str) -> None:
        """Remembers a folder."""
        self._homes[home] = None
        if len(self._homes) > MAX_FOLDERS:
            del self._homes[next(iter(self._homes))]

    def remove(self, home: str) -> None:
        """Forgets a folder; the one above it stays, as after ``rmdir`` anywhere."""
        if self._homes.pop(home, home) is None:
            above = home.rpartition("/")[0]
            if above:
                self.add(above)

    def rename(self, old: str, new: str) -> None:
        """Folders at and below ``old`` are at ``new`` from now on."""
        for home in [home for home in self._homes if is_at_or_below(home, old)]:
            del self._homes[home]
            self.add(new + home[len(old) :])

    def at_or_below(self, home: str) -> Sequence[str]:
        """The folders remembered at ``home`` or below it, as of now: others may come while somebody waits between two."""
        return [made for made in self._homes if is_at_or_below(made, home)]


def is_at_or_below(home: str, folder: str) -> bool:
    """Whether ``home`` is ``folder`` or below it."""
    return not folder or home == folder or home.startswith(folder + "/")
