"""The files of a tree, in order, in bounded memory. Layer: cli."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

DATA_FORMAT = b"tagfs-data "
"""How the file ``format`` of a data directory begins."""
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
    """Which files of ``top`` are wanted: ``excluded`` are shell patterns for names and for paths below the top.

    Links are passed over by default: they may lead out of the tree, and to what is in it already. What is passed over is
    counted in ``passed``, by kind. So is the data directory of a node, which would otherwise swallow itself.
    """

    top: str
    passed: Counter[str]
    hidden: bool = False
    follow_links: bool = False
    excluded: tuple[str, ...] = ()

    def files(self) -> Iterator[File | Problem]:
        """The files, folder by folder, sorted by name. Links are never followed in circles."""
        yield from self._folder(self.top, "", ())

    def number(self) -> int:
        """How many files there are; walks through all of them."""
        return sum(isinstance(found, File) for found in self.files())

    def _passes_over(self, entry: os.DirEntry[str], relative: str) -> bool:
        """Whether something is not wanted; counts it."""
        if entry.name.startswith(".") and not self.hidden:
            kind = "hidden"
        elif entry.is_symlink() and not self.follow_links:
            kind = "links"
        elif any(fnmatch.fnmatchcase(entry.name, p) or fnmatch.fnmatchcase(relative, p) for p in self.excluded):
            kind = "excluded"
        else:
            return False
        self.passed[kind] += 1
        return True

    def _folder(self, path: str, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[File | Problem]:
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Problem(relative or path, error.strerror or str(error))
            return
        if _is_data_directory(path, found):
            self.passed["data directories of nodes"] += 1
            return
        for entry in found:
            below = f"{relative}/{entry.name}" if relative else entry.name
            if self._passes_over(entry, below):
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
        real = os.path.realpath(entry.path)
        here = os.path.realpath(os.path.dirname(entry.path))
        identity = entry.stat()
        mark = (identity.st_dev, identity.st_ino)
        if mark in above or here == real or here.startswith(real + os.sep):
            yield Problem(relative, "is a link that leads in a circle")
            return
        yield from self._folder(entry.path, relative, (*above, mark))


def _is_data_directory(path: str, found: list[os.DirEntry[str]]) -> bool:
    if not any(entry.name == "format" and entry.is_file(follow_symlinks=False) for entry in found):
        return False
    try:
        with open(os.path.join(path, "format"), "rb") as file:
            return file.read(len(DATA_FORMAT)) == DATA_FORMAT
    except OSError:
        return False
