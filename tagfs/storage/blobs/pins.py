"""Who needs a content to stay, and who is changing whether it is here. Layer: storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition


class Pins:
    """Counted pins, and claims.

    A *claim* on a digest is the right to store, drop or quarantine that content: one thread at a time, so that a
    content is not stored twice at once, and none is dropped between being found and being pinned. Whoever
    stores pins first and claims then; whoever drops claims only what is not pinned.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._counts: dict[bytes, int] = {}
        self._claims: set[bytes] = set()

    def pin(self, digests: Iterable[bytes]) -> None:
        """One pin more on each, whether the content is here or not."""
        with self._changed:
            counts = self._counts
            for digest in digests:
                counts[digest] = counts.get(digest, 0) + 1

    def pin_settled(self, digest: bytes) -> None:
        """One pin more, after waiting until nobody has claimed the digest: whether the content is here is decided
        then, and a drop finds the pin."""
        with self._changed:
            while digest in self._claims:
                self._changed.wait()
            self._counts[digest] = self._counts.get(digest, 0) + 1

    def unpin(self, digests: Iterable[bytes]) -> None:
        """One pin less on each; more than there were is a mistake of the caller."""
        with self._changed:
            counts = self._counts
            for digest in digests:
                count = counts.get(digest, 0) - 1
                assert count >= 0, f"{digest.hex()} was unpinned more often than pinned"
                if count:
                    counts[digest] = count
                else:
                    del counts[digest]

    def claim_free(self, digests: Iterable[bytes]) -> Sequence[bytes]:
        """Claims those that nobody else has claimed, and returns them; waits until there is at least one."""
        wanted = list(digests)
        with self._changed:
            while True:
                free = [digest for digest in wanted if digest not in self._claims]
                if free:
                    self._claims.update(free)
                    return free
                self._changed.wait()

    def release(self, digests: Iterable[bytes]) -> None:
        """Gives claims back."""
        with self._changed:
            self._claims.difference_update(digests)
            self._changed.notify_all()

    @contextmanager
    def claimed(self, digest: bytes) -> Iterator[None]:
        """Holds the claim on one digest, after waiting for it."""
        self.claim_free((digest,))
        try:
            yield
        finally:
            self.release((digest,))

    @contextmanager
    def claimed_unpinned(self, digest: bytes) -> Iterator[bool]:
        """Holds the claim on one digest where it is neither pinned nor claimed; else yields False."""
        with self._changed:
            free = digest not in self._counts and digest not in self._claims
            if free:
                self._claims.add(digest)
        try:
            yield free
        finally:
            if free:
                self.release((digest,))
