"""Opens the embedded blob store by URL or directory. Layer: storage."""

from __future__ import annotations

import os
from urllib.parse import parse_qs, unquote, urlsplit

from tagfs.errors import StartError, TagfsError
from tagfs.storage.blobs import layout
from tagfs.storage.blobs.disk import Disk, System
from tagfs.storage.blobs.files import Files
from tagfs.storage.blobs.index import Index
from tagfs.storage.blobs.kept import Kept
from tagfs.storage.blobs.recovery import settle_segments
from tagfs.storage.blobs.segments import MAX_SEGMENT, Segments
from tagfs.storage.blobs.store import FileBlobStore


def open_blobs(url: str) -> FileBlobStore:
    """The store of a URL ``file:///absolute/directory`` or ``file:relative/directory``.

    The directory is made where there is none, unless the URL ends in ``?create=no``: what was there once and
    is not any more was moved, or its device is not mounted. Raises :class:`~tagfs.errors.StartError`.
    """
    parts = urlsplit(url)
    options = parse_qs(parts.query, keep_blank_values=True)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise StartError(f"{url!r} names no directory; write file:///path or file:path")
    if options.keys() - {"create"} or options.get("create", ["yes"]) not in (["yes"], ["no"]):
        raise StartError(f"{url!r} has an unknown option; there is only create=yes or create=no")
    return open_directory(unquote(parts.path), create=options.get("create") != ["no"])


def open_directory(
    directory: str, *, create: bool = True, system: System | None = None, max_segment: int = MAX_SEGMENT
) -> FileBlobStore:
    """The store in a directory. ``system`` makes its system calls; ``max_segment`` is the size of a full segment."""
    disk = Disk(os.path.abspath(directory), system)
    lock = layout.take_directory(disk, create)
    try:
        return _assemble(disk, lock, max_segment)
    except BaseException as error:
        os.close(lock)
        if isinstance(error, OSError | TagfsError):
            raise StartError(f"the blob store {disk.root} cannot be opened: {error}") from error
        raise


def _assemble(disk: Disk, lock: int, max_segment: int) -> FileBlobStore:
    path = {name: os.path.join(disk.root, name) for name in (*layout.DIRECTORIES, "index.db")}
    files = Files(disk, path[layout.OBJECTS], path[layout.INCOMING], path[layout.QUARANTINE])
    files.settle()
    kept = Kept(disk, path[layout.KEPT])
    kept.settle()
    index = Index(path["index.db"])
    segments = Segments(disk, path[layout.PACKS], max_segment)
    try:
        settle_segments(segments, index)
        return FileBlobStore(disk, segments, index, files, kept, path[layout.QUARANTINE], lock)
    except BaseException:
        index.close()
        segments.close()
        raise
