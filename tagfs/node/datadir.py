"""The data directory: its lock, its format version, the node's identity, and ``run.json``. Layer: node."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.logger import Logger

from tagfs.errors import StartError
from tagfs.node import identity
from tagfs.node.cluster import state
from tagfs.node.durable import sync_directory, write_durably

FORMAT = 1
"""Version of the layout of the directory as a whole; stores inside it have versions of their own."""
_FORMAT_FILE = "format"
_LOCK_FILE = "lock"
_MAKING_FILE = "making"
_RUN_FILE = "run.json"
_ANEW_FILE = "anew"
FORMER = "former"
"""Directory of what the node was before it began anew: a directory for each id that it had."""
_SET_ASIDE = (identity.FILE, state.FILE, "catalog")
_TOLERATED = frozenset({_LOCK_FILE, "lost+found", "twistd.log", "twistd.pid"})
"""Files that may stand in a directory before it is ours."""


class DataDirectory:
    """A locked data directory, made on first use.

    Raises :class:`~tagfs.errors.StartError` where another process has it, where it is not ours, or where it is of a
    version we do not know. ``fresh`` tells whether it was made just now, ``renewed`` whether the node begins anew in it.
    """

    _log = Logger()

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._is_fresh()  # before anything is put into a directory that is not ours
            self._lock = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartError(f"the data directory {path} cannot be used: {error.strerror}") from error
        try:
            self._take_lock()
            self.fresh = self._is_fresh()
            self.renewed = self._finish_anew()
            if self.fresh:
                write_durably(path / _MAKING_FILE, b"", 0o600)
            # A start that was cut off may have made a catalog under the identity that is there.
            made = not (self.fresh or self.renewed) or (path / identity.FILE).exists()
            self.identity = identity.load(path) if made else identity.create(path)
            (path / _RUN_FILE).unlink(missing_ok=True)
        except BaseException:
            os.close(self._lock)
            raise

    def begin_anew(self) -> None:
        """The next start is that of another node, with the same contents: what this one is and knows is set aside, in
        :attr:`formers`. Durable; a move that is cut off is finished then."""
        write_durably(self.path / _ANEW_FILE, self.identity.id.encode(), 0o600)

    @property
    def formers(self) -> Sequence[Path]:
        """The directories of what the node was before, by id; each has a ``catalog``."""
        return sorted(self.path.glob(f"{FORMER}/*"))

    def settle(self) -> None:
        """Says that all stores of a fresh directory were made: from now on one that is missing is an error."""
        (self.path / _ANEW_FILE).unlink(missing_ok=True)
        if self.fresh:
            write_durably(self.path / _FORMAT_FILE, f"tagfs-data {FORMAT}\n".encode(), 0o644)
            (self.path / _MAKING_FILE).unlink(missing_ok=True)

    def announce(self, facts: Mapping[str, object]) -> None:
        """Writes ``run.json`` in one step: the node is up and these are its facts. On a full disk it serves without."""
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        try:
            write_durably(self.path / _RUN_FILE, text.encode(), 0o644)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._log.warn("the disk is full: {file} cannot be written, so commands need --server", file=_RUN_FILE)

    def close(self) -> None:
        """Removes ``run.json`` and lets go of the lock."""
        (self.path / _RUN_FILE).unlink(missing_ok=True)
        os.close(self._lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise StartError(
                f"process {owner} is using the data directory {self.path}; stop it, or choose another with --data"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _finish_anew(self) -> bool:
        """Sets aside what belongs to the id that the node had. What is there already was set aside by a start that was cut off;
        what stands in its place then belongs to the new id."""
        try:
            former = self.path / FORMER / (self.path / _ANEW_FILE).read_text()
        except FileNotFoundError:
            return False
        former.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _SET_ASIDE:
            if (self.path / name).exists() and not (former / name).exists():
                (self.path / name).rename(former / name)
        for directory in (former, former.parent, self.path):
            sync_directory(directory)
        return True

    def _is_fresh(self) -> bool:
        """Whether the directory is new: empty, or its making was cut off. Other things without a format file are not ours."""
        file = self.path / _FORMAT_FILE
        try:
            text = file.read_text()
        except FileNotFoundError:
            strangers = sorted({entry.name for entry in self.path.iterdir()} - _TOLERATED)
            if strangers and not (self.path / _MAKING_FILE).exists():
                raise StartError(
                    f"{self.path} is no data directory of tagfs: it has {strangers[0]!r} but no file {_FORMAT_FILE!r}; "
                    "choose an empty directory with --data"
                ) from None
            return True
        if text.split() != ["tagfs-data", str(FORMAT)]:
            raise StartError(
                f"{file} says {text.strip()[:40]!r}, and this tagfs knows format {FORMAT}; use the version that wrote it"
            )
        return False
