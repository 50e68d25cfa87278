"""All that the blob store changes on disk goes through here, and every fault is told in our own errors. Layer: storage.

:class:`System` is one method per system call, so that tests can cut the power between any two of them or
make any one fail; :class:`Disk` adds what every caller needs: whole writes, errors of ours, and the rule
that after one failed fsync nothing is written any more. The kernel may have thrown the unwritten pages away
and report success the next time (Rebello et al.: *Can Applications Recover from fsync Failures?*, 2020).
"""

from __future__ import annotations

import errno
import os

from tagfs.errors import Corrupt, ReadOnly, StorageFull, TagfsError, TooLarge, Unavailable

MAX_RESERVE = 64 << 20
"""Most bytes that are kept free for compaction, the index and the catalog's records of what was deleted."""
RESERVE_SHARE = 8
"""The reserve of a small file system is one part in this many of it."""
RECORD_ROOM = 4 << 10
"""Bytes counted with each small content for its place in the index and its record in the catalog: with six tags 1 KiB in the
end, 4 KiB while SQLite's log has them, too (10,000 entries of one byte)."""
PIECE = 64 << 10
"""Bytes of one write. Larger ones fill larger stretches of memory, of which there soon are none left that were used a moment
ago; a virtual machine has to ask its host for others: 512 MiB took 1.3 s then instead of 0.1 s (ext4, Linux 6.18). Smaller ones
cost more system calls than they save."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_FULL_TEXT = "the disk of this node is full: give the device more space (contents of purged entries free theirs after seven days)"
"""Clients see it, so it names no path."""


class System:
    """The system calls that change files or make changes durable; nothing but them."""

    def create(self, path: str) -> int:
        """A new file, readable and writable by its owner only."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def set_time(self, fd: int, modified_ns: int) -> None:
        os.utime(fd, ns=(modified_ns, modified_ns))

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def fsync_directory(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def mkdir(self, path: str) -> None:
        os.mkdir(path, 0o700)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return os.pread(fd, length, offset)

    def pread_cached(self, fd: int, length: int, offset: int) -> bytes:
        """What the page cache has of those bytes, from the first one on. Raises BlockingIOError where that is nothing, and OSError
        where the system cannot tell."""
        if not hasattr(os, "RWF_NOWAIT"):
            raise OSError(errno.EOPNOTSUPP, "the system cannot read without waiting")
        data = bytearray(length)
        return bytes(data[: os.preadv(fd, (data,), offset, os.RWF_NOWAIT)])


class Disk:
    """One file system directory and whether it may still be written.

    Raises :class:`StorageFull`, :class:`ReadOnly` (and from then on for every write), :class:`Unavailable`
    where descriptors or memory are short, :class:`Corrupt` where reading fails.
    """

    def __init__(self, root: str, system: System | None = None) -> None:
        self.root = root
        self.system = system or System()
        self.fault: str | None = None

    def check_writable(self) -> None:
        """Raises :class:`ReadOnly` once something could not be made durable."""
        if self.fault is not None:
            raise ReadOnly(self.fault)

    def free(self) -> int:
        """Bytes that contents may still take: free space less the reserve."""
        state = os.statvfs(self.root)
        reserve = min(MAX_RESERVE, state.f_blocks * state.f_frsize // RESERVE_SHARE)
        return max(0, state.f_bavail * state.f_frsize - reserve)

    def require_room(self, length: int) -> None:
        """Raises :class:`StorageFull` where ``length`` bytes more would leave less than the reserve."""
        if self.free() < length:
            raise StorageFull(_FULL_TEXT)

    def create(self, path: str) -> int:
        self.check_writable()
        try:
            return self.system.create(path)
        except OSError as error:
            raise self._failed("create", path, error) from error

    def write(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Writes all of ``data``; after an error any part of it may be there."""
        self.check_writable()
        try:
            with memoryview(data) as whole:
                done = 0
                while done < len(whole):
                    with whole[done : done + PIECE] as piece:
                        done += self.system.pwrite(fd, piece, offset + done)
        except OSError as error:
            raise self._failed("write to a file in", self.root, error) from error

    def truncate(self, fd: int, length: int) -> None:
        """Cuts a file; a failure makes the store read-only, since what follows then cannot be trusted."""
        self.check_writable()
        try:
            self.system.truncate(fd, length)
        except OSError as error:
            raise self._stop("cut a file in", self.root, error) from error

    def set_time(self, fd: int, modified_ms: int) -> None:
        """Dates a file, in milliseconds since 1970; a power cut may put the real time in its place."""
        self.check_writable()
        try:
            self.system.set_time(fd, modified_ms * 1_000_000)
        except OSError as error:
            raise self._failed("date a file in", self.root, error) from error

    def sync(self, fd: int) -> None:
        """Makes a file's bytes and length durable."""
        self.check_writable()
        try:
            self.system.fdatasync(fd)
        except OSError as error:
            raise self._stop("make durable a file in", self.root, error) from error

    def sync_directory(self, path: str) -> None:
        """Makes the names in a directory durable."""
        self.check_writable()
        try:
            self.system.fsync_directory(path)
        except OSError as error:
            raise self._stop("make durable the directory", path, error) from error

    def rename(self, source: str, target: str) -> None:
        self.check_writable()
        try:
            self.system.rename(source, target)
        except OSError as error:
            raise self._failed("rename to", target, error) from error

    def unlink(self, path: str) -> None:
        """Removes a file; one that is gone already is fine. Allowed on a read-only store, which it tidies."""
        try:
            self.system.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._failed("remove", path, error) from error

    def make_directory(self, path: str) -> None:
        """Makes a directory and its name durable; one that is there is fine."""
        self.check_writable()
        try:
            self.system.mkdir(path)
        except FileExistsError:
            pass
        except OSError as error:
            raise self._failed("make the directory", path, error) from error
        self.sync_directory(os.path.dirname(path))

    def open(self, path: str, writable: bool = False) -> int:
        """An existing file. Raises FileNotFoundError, which callers turn into what it means to them."""
        try:
            return os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(path, error) from error

    def stat(self, path: str) -> os.stat_result | None:
        """What is known of a file; None where there is none."""
        try:
            return os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error

    def read(self, fd: int, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes, fewer only at the end of the file."""
        try:
            data = self.system.pread(fd, length, offset)
            if len(data) == length or not data:
                return data
            parts = [data]
            while length := length - len(data):
                offset += len(data)
                data = self.system.pread(fd, length, offset)
                if not data:
                    break
                parts.append(data)
        except OSError as error:
            raise self._unreadable(self.root, error) from error
        return b"".join(parts)

    def read_cached(self, fd: int, offset: int, length: int) -> bytes | None:
        """Exactly ``length`` bytes, where all of them are in memory; else None. Waits for nothing, and fails in no other way: who
        wants to know more reads again, and waits."""
        try:
            data = self.system.pread_cached(fd, length, offset)
        except OSError:
            return None
        return data if len(data) == length else None

    @staticmethod
    def start_write_back(fd: int, offset: int, length: int) -> None:
        """Asks the kernel to begin writing a dirty range, so that the sync at the end is short.

        Linux does so for POSIX_FADV_DONTNEED (mm/fadvise.c), and drops only pages that are clean: the same
        as sync_file_range, which Python lacks. Where it is not honoured nothing is lost.
        """
        try:
            os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)
        except OSError:
            pass

    forget_cached = start_write_back
    """Drops clean pages, so that the next read comes from the device and not from memory."""

    def _failed(self, what: str, path: str, error: OSError) -> TagfsError:
        if error.errno in _FULL:
            return StorageFull(_FULL_TEXT)
        if error.errno in _PASSING:
            return Unavailable(f"cannot {what} {path}: {error.strerror}; try again later")
        if error.errno == errno.EFBIG:
            return TooLarge(f"cannot {what} {path}: {error.strerror}")
        return self._stop(what, path, error)

    def _stop(self, what: str, path: str, error: OSError) -> TagfsError:
        self.fault = (
            f"the blob store {self.root} is read-only since it could not {what} {path}: {error.strerror}; "
            "check the device, then restart the node"
        )
        return ReadOnly(self.fault)

    @staticmethod
    def _unreadable(path: str, error: OSError) -> TagfsError:
        if error.errno in _PASSING:
            return Unavailable(f"cannot open {path}: {error.strerror}; try again later")
        return Corrupt(f"cannot read {path}: {error.strerror}")
