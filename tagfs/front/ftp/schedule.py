"""Which command of a session runs when, and whose turn it is to answer. Layer: front."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tagfs.front.ftp.door import Limits
from tagfs.front.ftp.exchange import Exchange


class Schedule:
    """Commands in the order in which they came: those that wait, and those that run.

    One runs at a time, but for two cases: overlapping ones (ADD) run beside others of their kind, and answer in order; and
    in the middle of an FTP transfer run those that are meant for that (ABOR), and answer at once. ``run`` begins one.
    """

    __slots__ = ("_advancing", "_beside", "_limits", "_queue", "_run", "_running", "_size", "transfer")

    def __init__(self, limits: Limits, run: Callable[[Exchange], None]) -> None:
        self._limits = limits
        self._run = run
        self._queue: deque[Exchange] = deque()  # read, not begun
        self._running: deque[Exchange] = deque()  # begun, in order; the first one's replies go out at once
        self._size = 0  # bytes of content of those
        self._beside: list[Exchange] = []  # running in the middle of the transfer
        self._advancing = False
        self.transfer: Exchange | None = None
        """The FTP transfer that is going on."""

    @property
    def waiting(self) -> int:
        """How many commands wait."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether a command runs or waits to run."""
        return bool(self._running or self._queue or self._beside)

    @property
    def overlapping(self) -> bool:
        """Whether commands run side by side."""
        return len(self._running) > 1

    @property
    def begun(self) -> list[Exchange]:
        """The commands that run."""
        return [*self._running, *self._beside]

    def add(self, exchange: Exchange) -> None:
        """One more command has come."""
        self._queue.append(exchange)
        self.advance()

    def advance(self) -> None:
        """Begins what may begin."""
        if self._advancing:
            return  # the call further out goes on when what it has begun returns
        self._advancing = True
        try:
            while self._queue and self._admit(self._queue[0]):
                self._run(self._queue.popleft())
        finally:
            self._advancing = False

    def _admit(self, exchange: Exchange) -> bool:
        """Whether it may begin now; then it is among those that run."""
        running = self._running
        if not running:
            exchange.take_turn()
        elif exchange.verb.overlaps and running[-1].verb.overlaps:
            limits = self._limits
            if len(running) >= limits.overlap or self._size + exchange.size > limits.overlap_bytes:
                return False
        elif self.transfer is not None and exchange.verb.in_transfer:
            exchange.take_turn()
            self._beside.append(exchange)
            return True
        else:
            return False
        running.append(exchange)
        self._size += exchange.size
        return True

    def ended(self, exchange: Exchange) -> Exchange | None:
        """It has come to its end: gives the turn to the next. Returns a command that was the last of the session."""
        if self.transfer is exchange:
            self.transfer = None
        if self._beside and exchange in self._beside:
            self._beside.remove(exchange)
        running = self._running
        while running and running[0].done:
            gone = running.popleft()
            self._size -= gone.size
            if gone.last_words is not None:
                return gone
            if running:
                running[0].take_turn()
        return None

    def drop_waiting(self) -> None:
        """Forgets the commands that have not begun."""
        while self._queue:
            self._queue.popleft().end()
