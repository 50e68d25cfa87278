"""What a session says, on its way to the connection: in as few pieces as possible. Layer: front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime

if TYPE_CHECKING:
    from tagfs.front.ftp.session import Channel


class Output:
    """Gathers bytes for a channel."""

    def __init__(self, channel: Channel, clock: IReactorTime) -> None:
        self.channel = channel
        """Where they go; what was said before another one is put here must have been flushed."""
        self._clock = clock
        self._said: list[bytes] = []
        self._flushing: IDelayedCall | None = None

    def put(self, data: bytes) -> None:
        """Says something, with the next flush."""
        self._said.append(data)

    def flush(self) -> None:
        """Hands what was said to the connection."""
        if self._said:
            data = self._said[0] if len(self._said) == 1 else b"".join(self._said)
            self._said.clear()
            self.channel.write(data)

    def hand_over(self, overlapping: bool) -> None:
        """Flushes. Where commands run side by side, the others often end with this one, in one commit: then all that is said in
        this turn of the reactor goes out in one piece, since a write for each costs as much as to store something."""
        if self._flushing is not None:
            return
        if overlapping:
            self._flushing = self._clock.callLater(0, self._flush_now)
        else:
            self.flush()

    def stop(self) -> None:
        """Flushes no more by itself."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None

    def forget(self) -> None:
        """What was said and not flushed is said to nobody."""
        self._said.clear()

    def _flush_now(self) -> None:
        self._flushing = None
        self.flush()
