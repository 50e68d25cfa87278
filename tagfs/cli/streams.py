"""Standard streams that are there whatever the caller closed (`>&-`, some service managers). Layer: cli."""

from __future__ import annotations

import errno
import io
import os
import sys


class _Closed(io.RawIOBase):
    """Stands for a standard input that is closed: nobody's terminal, and to read from it fails, rather than to be empty."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise OSError(errno.EBADF, "the standard input is closed")


def fill_standard_streams() -> str | None:
    """Puts something in the place of closed standard streams; what is wrong, where a command cannot go on without one.

    Python has ``None`` for those. Their descriptors are taken at once: the next file or connection would get the number,
    and what is meant for people would go into it.
    """
    closed = [descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)]
    for descriptor in closed:  # from the lowest, so that each gets its own number
        os.open(os.devnull, os.O_RDWR if descriptor else os.O_WRONLY)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_Closed()))
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (stays to the end)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (stays to the end)
        return "the standard output is closed; nothing was done (> /dev/null throws a result away)"
    return None


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
