"""The directory of a blob store: made once, recognised ever after, used by one process at a time. Layer: storage."""

from __future__ import annotations

import fcntl
import os

from tagfs.errors import StartError, TagfsError
from tagfs.storage.blobs.disk import Disk

FORMAT = b"tagfs blobs 1\n"
"""What the file ``format`` says; the number is raised when an older tagfs could not read the directory."""
PACKS, OBJECTS, INCOMING, KEPT, QUARANTINE = "packs", "objects", "incoming", "kept", "quarantine"
DIRECTORIES = (PACKS, OBJECTS, INCOMING, KEPT, QUARANTINE)
_MARK = "format"
_MARK_NEW = "format.new"
_HARMLESS = frozenset({_MARK_NEW, "lost+found"})


def take_directory(disk: Disk, create: bool) -> int:
    """Locks the store's directory, making it where there is none and ``create`` allows it; the descriptor holds the lock
    until it is closed.

    Raises :class:`StartError` where another process uses it, where it is not a store of this format, where it
    holds something else, or where it should hold a store and does not: a device that is not mounted looks
    like an empty directory, and must not be taken for "everything was deleted".
    """
    try:
        if not os.path.isdir(disk.root):
            if not create:
                raise StartError(_missing(disk.root))
            _make_with_parents(disk, disk.root)
        fd = _lock(disk.root)
        try:
            _check_or_make(disk, create)
        except BaseException:
            os.close(fd)
            raise
    except StartError:
        raise
    except (OSError, TagfsError) as error:
        raise StartError(f"the blob store {disk.root} cannot be opened: {error}") from error
    return fd


def _lock(root: str) -> int:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            raise StartError(f"the blob store {root} is in use by another process; give each node its own") from error
        raise
    return fd


def _check_or_make(disk: Disk, create: bool) -> None:
    found = set(os.listdir(disk.root))
    if _MARK not in found:
        if not create:
            raise StartError(_missing(disk.root))
        if not _is_fresh(disk.root, found):
            raise StartError(f"{disk.root} holds other things than a blob store; name an empty or a new directory")
        _make(disk)
        return
    with open(os.path.join(disk.root, _MARK), "rb") as file:
        text = file.read(len(FORMAT) + 1)
    if text != FORMAT:
        raise StartError(f"{disk.root} says it is {text!r}, which this version of tagfs cannot read; upgrade it")
    for name in DIRECTORIES:
        if name not in found:
            raise StartError(f"{disk.root} lacks its directory {name}: restore it, or mount what belongs there")


def _is_fresh(root: str, found: set[str]) -> bool:
    """Whether there is nothing but what an interrupted :func:`_make` may have left."""
    for name in found - _HARMLESS:
        path = os.path.join(root, name)
        if name not in DIRECTORIES or not os.path.isdir(path) or os.listdir(path):
            return False
    return True


def _make(disk: Disk) -> None:
    above = os.path.dirname(disk.root)
    if os.access(above, os.R_OK):  # whoever made the directory may not have made its name durable
        disk.sync_directory(above)
    for name in DIRECTORIES:
        disk.make_directory(os.path.join(disk.root, name))
    new = os.path.join(disk.root, _MARK_NEW)
    disk.unlink(new)
    fd = disk.create(new)
    try:
        disk.write(fd, FORMAT, 0)
        disk.sync(fd)
    finally:
        os.close(fd)
    disk.rename(new, os.path.join(disk.root, _MARK))
    disk.sync_directory(disk.root)


def _make_with_parents(disk: Disk, path: str) -> None:
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        _make_with_parents(disk, parent)
    disk.make_directory(path)


def _missing(root: str) -> str:
    return f"{root} holds no blob store, although there should be one: is its device mounted?"
