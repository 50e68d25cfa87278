"""Small contents that become durable while it is still being found out what they are the contents of. Layer: node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock

from blake3 import blake3

from tagfs.storage.interfaces import Blob, IBlobStore

MAX_GROUP_BYTES = 16 << 20
"""Most bytes of small contents that are stored at once."""
GROUP = 256
"""Most contents that are, and writes of one group commit: more would not be cheaper, but all would wait for the last one."""


class Ahead:
    """A small content on its way into the blob store, pinned there until :meth:`release`. Made by :meth:`Contents.store`."""

    def __init__(self, contents: Contents, content: bytes) -> None:
        self._contents = contents
        self.content = content
        self.blob = Blob(blake3(content).digest(), len(content))
        """What it will be once it is stored."""
        self.stored: Future[None] = Future()

    def wait(self) -> None:
        """Blocks until it is durable. Raises what kept it from that."""
        self._contents.work()
        self.stored.result()

    def release(self) -> None:
        """Not needed any more, or an entry has it: unpins it, when it is stored. Once only; does not block."""
        self.stored.add_done_callback(self._unpin)

    def _unpin(self, stored: Future[None]) -> None:
        if stored.exception() is None:
            self._contents.blobs.unpin(self.blob.digest)


class Contents:
    """Stores together what came while the last ones were stored: one fsync for all of them. ``begin`` has a call run in another
    thread."""

    def __init__(self, blobs: IBlobStore, begin: Callable[[Callable[[], None]], object]) -> None:
        self.blobs = blobs
        self._begin = begin
        self._lock = Lock()
        self._waiting: deque[Ahead] = deque()
        self._begun = False

    def store(self, content: bytes) -> Ahead:
        """Begins to store a small content."""
        ahead = Ahead(self, content)
        with self._lock:
            self._waiting.append(ahead)
            begun, self._begun = self._begun, True
        if not begun:
            self._begin(self._work_begun)
        return ahead

    def work(self) -> None:
        """Stores what waits. Also for whoever waits for one of them, so that nobody waits for a thread that waits for him."""
        while group := self._take():
            self._put(group)

    def _work_begun(self) -> None:
        while True:
            self.work()
            with self._lock:
                if not self._waiting:
                    self._begun = False
                    return

    def _take(self) -> list[Ahead]:
        group: list[Ahead] = []
        size = 0
        with self._lock:
            while self._waiting and len(group) < GROUP:
                size += len(self._waiting[0].content)
                if group and size > MAX_GROUP_BYTES:
                    break
                group.append(self._waiting.popleft())
        return group

    def _put(self, group: list[Ahead]) -> None:
        try:
            self.blobs.put_many([each.content for each in group])
        except BaseException as error:  # noqa: BLE001 - all goes to whoever waits for them
            for each in group:
                each.stored.set_exception(error)
        else:
            for each in group:
                each.stored.set_result(None)
