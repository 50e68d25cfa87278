"""The files of a tree, in order, in bounded memory. Layer: cli."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link that leads nowhere",
}


class File(NamedTuple):
    """A regular file; ``relative`` is its path below the top, with ``/``."""

    path: str
    relative: str


class Problem(NamedTuple):
    """Something that cannot be read, and why."""

    relative: str
    reason: str


class Tree(NamedTuple):
    """Which files of ``top`` are wanted. ``excluded`` are shell patterns for names and for paths below the top."""

    top: str
    hidden: bool = False
    follow_links: bool = False
    excluded: tuple[str, ...] = ()

    def files(self) -> Iterator[File | Problem]:
        """The files, folder by folder, sorted by name. Links to folders are followed only if wanted, never in circles."""
        yield from self._folder(self.top, "", ())

    def number(self) -> int:
        """How many files there are; walks through all of them."""
        return sum(isinstance(found, File) for found in self.files())

    def passes_over(self, name: str, relative: str) -> bool:
        """Whether something is not wanted."""
        if name.startswith(".") and not self.hidden:
            return True
        return any(fnmatch.fnmatchcase(name, p) or fnmatch.fnmatchcase(relative, p) for p in self.excluded)

    def _folder(self, path: str, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[File | Problem]:
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Problem(relative or path, error.strerror or str(error))
            return
        for entry in found:
            below = f"{relative}/{entry.name}" if relative else entry.name
            if self.passes_over(entry.name, below):
                continue
            yield from self._one(entry, below, above)

    def _one(
        self, entry: os.DirEntry[str], relative: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[File | Problem]:
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from self._folder(entry.path, relative, above)
            elif entry.is_file():
                yield File(entry.path, relative)
            elif entry.is_dir():
                yield from self._linked_folder(entry, relative, above)
            else:
                kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
                yield Problem(relative, f"is {_KINDS.get(kind, 'no file')}")
        except OSError as error:
            yield Problem(relative, error.strerror or str(error))

    def _linked_folder(
        self, entry: os.DirEntry[str], relative: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[File | Problem]:
        if not self.follow_links:
            yield Problem(relative, "is a link to a folder (--follow-links takes them)")
            return
        real = os.path.realpath(entry.path)
        here = os.path.realpath(os.path.dirname(entry.path))
        identity = entry.stat()
        mark = (identity.st_dev, identity.st_ino)
        if mark in above or here == real or here.startswith(real + os.sep):
            yield Problem(relative, "is a link that leads in a circle")
            return
        yield from self._folder(entry.path, relative, (*above, mark))
