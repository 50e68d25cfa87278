"""A disk that loses power: what the blob store asked of the system is recorded, and every state that a power cut may
leave at any moment can be laid out and opened again.

The model is harsher than any file system in use: bytes are sure to survive only once their file was synced, names
only once their directory was; what was not synced may survive in part, in any order, torn in the middle,
or as zeros (Pillai et al.: *All File Systems Are Not Created Equal*, 2014).
"""

import os
import random
from pathlib import Path
from typing import NamedTuple

from tagfs.storage.blobs.disk import System


class Survival(NamedTuple):
    """What of the unsynced survives: a probability for each change of a name and for each write, and whether
    writes may be torn."""

    names: float
    data: float
    torn: bool = False


NOTHING = Survival(0, 0)
ONLY_NAMES = Survival(1, 0)
OTHERS = [
    Survival(1, 1),  # a kill without a power cut
    Survival(0.5, 0.5, torn=True),
    Survival(0, 1),
    Survival(1, 0.7, torn=True),
]


class Killed(BaseException):
    """The process is dead: nothing it does from now on has any effect."""


class RecordingSystem(System):
    """Does everything, and writes it down in :attr:`log`; :meth:`note` adds what the test wants to remember.

    With ``kill_at`` it does that many things, and nothing any more until :meth:`revive`.
    """

    def __init__(self, kill_at=None):
        self.log = []
        self._kill_at = kill_at
        self._files = {}
        self._paths = {}

    def revive(self):
        self._kill_at = None

    def note(self, *what):
        if len(self.log) == self._kill_at:
            raise Killed
        self.log.append(what)

    def path_of(self, fd):
        """Where the file open on ``fd`` was made."""
        return self._paths[self._file(fd)]

    def create(self, path):
        file = len(self._paths)
        self.note("create", path, file)
        fd = super().create(path)
        self._files[os.fstat(fd).st_ino] = file
        self._paths[file] = path
        return fd

    def pwrite(self, fd, data, offset):
        self.note("write", self._file(fd), offset, bytes(data))
        return super().pwrite(fd, data, offset)

    def truncate(self, fd, length):
        self.note("truncate", self._file(fd), length)
        super().truncate(fd, length)

    def fdatasync(self, fd):
        self.note("sync", self._file(fd))

    def fsync_directory(self, path):
        self.note("sync directory", path)

    def rename(self, source, target):
        self.note("rename", source, target)
        super().rename(source, target)

    def unlink(self, path):
        self.note("unlink", path)
        super().unlink(path)

    def mkdir(self, path):
        self.note("mkdir", path)
        super().mkdir(path)

    def _file(self, fd):
        return self._files[os.fstat(fd).st_ino]


class QuickSystem(System):
    """A system whose syncs do nothing: for looking at what is there."""

    def fdatasync(self, fd):
        pass

    def fsync_directory(self, path):
        pass


def lay_out(log, root, target: Path, survival: Survival, seed: int) -> None:
    """Makes in ``target`` what a power cut after the calls in ``log`` may leave of the directory ``root``."""
    state = _State(os.fspath(root))
    for what, *arguments in log:
        change = getattr(state, "do_" + what.replace(" ", "_"), None)
        if change is not None:
            change(*arguments)
    state.cut_power(survival, random.Random(seed))
    state.write_to(target)


class _State:
    """Names and bytes, those that are sure and the changes that are not."""

    def __init__(self, root):
        self._root = root
        self._names = {root: {}}
        self._name_changes = {root: []}
        self._bytes = {}
        self._byte_changes = {}

    def do_create(self, path, file):
        self._bytes[file] = bytearray()
        self._byte_changes[file] = []
        self._change(path, file)

    def do_mkdir(self, path):
        if path != self._root:
            self._names.setdefault(path, {})
            self._name_changes.setdefault(path, [])
            self._change(path, path)

    def do_write(self, file, offset, data):
        self._byte_changes[file].append((offset, data))

    def do_truncate(self, file, length):
        self._byte_changes[file].append((length, None))

    def do_sync(self, file):
        for change in self._byte_changes[file]:
            self._apply(file, *change)
        self._byte_changes[file].clear()

    def do_sync_directory(self, path):
        for name, target in self._name_changes.get(path, ()):
            self._rename(path, name, target)
        self._name_changes.get(path, []).clear()

    def do_rename(self, source, target):
        moved = self._now(source)
        self._change(target, moved)
        self._change(source, None)

    def do_unlink(self, path):
        self._change(path, None)

    def cut_power(self, survival, dice):
        for path, changes in self._name_changes.items():
            for name, target in changes:
                if dice.random() < survival.names:
                    self._rename(path, name, target)
        for file, changes in self._byte_changes.items():
            for offset, data in changes:
                if dice.random() < survival.data:
                    self._apply(file, offset, _torn(data, dice) if survival.torn and data else data)

    def write_to(self, target: Path):
        target.mkdir()
        self._write_directory(self._root, target)

    def _write_directory(self, path, target):
        for name, what in self._names[path].items():
            if isinstance(what, str):
                (target / name).mkdir()
                self._write_directory(what, target / name)
            else:
                (target / name).write_bytes(self._bytes[what])

    def _change(self, path, target):
        parent, name = os.path.split(path)
        self._name_changes[parent].append((name, target))

    def _now(self, path):
        """What a path means to the running process."""
        parent, name = os.path.split(path)
        for changed, target in reversed(self._name_changes[parent]):
            if changed == name:
                return target
        return self._names[parent][name]

    def _rename(self, path, name, target):
        if target is None:
            self._names[path].pop(name, None)
        else:
            self._names[path][name] = target

    def _apply(self, file, offset, data):
        content = self._bytes[file]
        if data is None:
            del content[offset:]
            return
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data


def _torn(data, dice):
    """A part of what was written: its beginning, or its end behind zeros."""
    cut = dice.randrange(len(data) + 1)
    return data[:cut] if dice.random() < 0.5 else bytes(cut) + data[cut:]
