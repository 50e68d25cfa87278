"""Which large contents were found right not long ago, so that they are not verified again at each read. Layer: storage.

Verifying costs a reader about a third of its speed. What goes bad on a disk while nobody writes to it goes bad slowly, and
a file that was just read whole is mostly read from memory for a while; the scrubber looks at the disk itself.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

TRUSTED_S = 3600.0
"""For how long a verified content is taken for right."""
MOST = 10_000
"""Contents remembered; the oldest are forgotten first."""


class _State(NamedTuple):
    """A file as it was when it was opened: any write to it changes this."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class Verified:
    """A memory of verified files. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[bytes, tuple[_State, float]] = OrderedDict()

    def holds(self, digest: bytes, state: os.stat_result) -> bool:
        """Whether a file with this content was verified within :data:`TRUSTED_S`, and not changed since."""
        with self._lock:
            known = self._known.get(digest)
        return known is not None and known[0] == _state(state) and self._clock() - known[1] < TRUSTED_S

    def note(self, digest: bytes, state: os.stat_result) -> None:
        """A file was verified whole; ``state`` is from before that."""
        with self._lock:
            self._known.pop(digest, None)
            self._known[digest] = _state(state), self._clock()
            if len(self._known) > MOST:
                self._known.popitem(last=False)


def _state(state: os.stat_result) -> _State:
    return _State(state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
