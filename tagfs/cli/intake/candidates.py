"""Files that were read and described, ready to be asked for and stored. Layer: cli."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from tagfs.cli.arriving import hash_of
from tagfs.cli.extractors import MAX_READ
from tagfs.cli.extractors.registry import Chosen
from tagfs.cli.intake import manifest
from tagfs.cli.intake.repair import repaired_tags, within_a_line
from tagfs.cli.intake.walk import File, Problem, Tree
from tagfs.cli.times import file_time
from tagfs.errors import BadRequest
from tagfs.model.names import check_home, check_name, check_tag

SMALL = 1 << 20
"""Bytes up to which a content is kept in memory from hashing to sending, so that it is read once."""


@dataclass
class Candidate:
    """A file of an import. ``exact``: an entry of a manifest, to be restored as it was."""

    path: str
    relative: str
    name: str
    home: str
    tags: list[str]
    modified: str
    size: int
    digest: str
    data: bytes | None
    exact: bool = False
    key: str = ""
    warnings: list[str] = field(default_factory=list)


class Describer:
    """Reads files and says how each would be stored. ``tags`` are given to all."""

    def __init__(self, extractors: Chosen, tags: tuple[str, ...]) -> None:
        self._extractors = extractors
        self._tags = tags
        # A run's own keys: a repeat after a broken connection stores nothing twice, but a later run may store again
        # what was deleted meanwhile.
        self._run = os.urandom(8).hex()
        self._numbers = count()
        self.searches: list[manifest.Search] = []

    def of_tree(self, tree: Tree) -> Iterator[Candidate | Problem]:
        """Every file of a tree."""
        for found in tree.files():
            yield found if isinstance(found, Problem) else self._described(found)

    def of_manifest(self, folder: str) -> Iterator[Candidate | Problem]:
        """Every entry of an export. Its saved searches are gathered in ``searches``."""
        top = os.path.realpath(folder)
        for line in manifest.lines(folder):
            if isinstance(line, manifest.Search):
                self.searches.append(line)
            else:
                yield line if isinstance(line, Problem) else self._restored(top, line)

    def _described(self, file: File) -> Candidate | Problem:
        try:
            check_name(os.path.basename(file.relative))
            home = check_home(os.path.dirname(file.relative))
        except BadRequest as error:
            return Problem(file.relative, str(error))
        read = self._read(file)
        if isinstance(read, Problem):
            return read
        read.home = home
        found = self._extractors.extract(file.relative, lambda: _content(read))
        tags, refused = repaired_tags([*self._tags, *found.tags])
        read.tags = within_a_line(tags)
        if found.problem:
            read.warnings.append(found.problem)
        if len(read.tags) < len(tags):
            read.warnings.append(f"has {len(tags)} tags, more than fit; the first {len(read.tags)} were taken")
        if refused:
            read.warnings.append(f"no tags can be made of {', '.join(map(repr, refused[:5]))}")
        return read

    def _restored(self, top: str, line: manifest.Line) -> Candidate | Problem:
        path = os.path.join(top, line.path)
        if os.path.realpath(path) != path:
            return Problem(line.path, "leads through a link; nothing outside the folder is read")
        read = self._read(File(path, line.path))
        if isinstance(read, Problem):
            return read
        if read.digest != line.digest:
            return Problem(line.path, f"is not what {manifest.NAME} says (changed or damaged since the export)")
        try:
            read.name, read.home = check_name(line.name), check_home(line.home)
            read.tags = [check_tag(tag) for tag in (*line.tags, *self._tags)]
        except BadRequest as error:
            return Problem(line.path, str(error))
        read.modified = line.modified or read.modified
        read.exact = True
        return read

    def _read(self, file: File) -> Candidate | Problem:
        from blake3 import blake3

        try:
            # A pipe in place of a file must not stop the import.
            descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as opened:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    return Problem(file.relative, "is no file any more")
                data = opened.read(SMALL + 1) or b""
                if len(data) <= SMALL:
                    size, digest = len(data), blake3(data).hexdigest()
                else:
                    size, digest, data = found.st_size, _hash_from_start(descriptor), None
        except OSError as error:
            return Problem(file.relative, error.strerror or str(error))
        key = f"{self._run}-{next(self._numbers)}"
        name = os.path.basename(file.relative)
        return Candidate(file.path, file.relative, name, "", [], file_time(found), size, digest, data, key=key)


def _hash_from_start(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return hash_of(descriptor).hexdigest()


def _content(candidate: Candidate) -> bytes:
    if candidate.data is not None:
        return candidate.data
    with open(candidate.path, "rb") as file:
        return file.read(MAX_READ)
