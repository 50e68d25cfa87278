"""Notices sessions in which nothing moves any more. Layer: front.

One delayed call per session looks now and then, instead of one being moved at each command: a command must stay cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

if TYPE_CHECKING:
    from tagfs.front.ftp.door import Door
    from tagfs.front.ftp.session import Session


class Watch:
    """The clock of one session: closes it when idle, aborts it when the client takes or sends nothing that is due."""

    __slots__ = ("_call", "_door", "_last", "_paused_at", "_session", "_typing")

    def __init__(self, session: Session, door: Door) -> None:
        self._session = session
        self._door = door
        self._call: IDelayedCall | None = None
        self._last = 0.0  # when something whole came or was finished, or a line began after that
        self._typing = False  # whether a line has begun since then
        self._paused_at: float | None = None  # since when the client takes no output

    @property
    def output_waiting(self) -> bool:
        """Whether the client has not taken what was sent."""
        return self._paused_at is not None

    def start(self) -> None:
        """The session has begun."""
        self.touch()
        self._look_in(min(self._door.limits.idle_s, self._door.limits.stall_s))

    def stop(self) -> None:
        """The session is over."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def closing(self) -> None:
        """The session ends when the client has taken its last replies; it gets the time of one stall for that."""
        self.stop()
        self._call = self._door.clock.callLater(self._door.limits.stall_s, self._drop, "its last replies were not read")

    def touch(self) -> None:
        """A whole line or some of a content came, or something was finished."""
        self._last = self._door.clock.seconds()
        self._typing = False

    def line_begun(self) -> None:
        """A part of a line is here. Only its beginning counts: who types slowly has all of the time-out for the line, who
        drips bytes without end has no more."""
        if not self._typing:
            self.touch()
            self._typing = True

    def output_waits(self) -> None:
        """The client takes no more output for now."""
        self._paused_at = self._door.clock.seconds()

    def output_flows(self) -> None:
        """The client took all output."""
        self._paused_at = None
        self.touch()

    def _look_in(self, seconds: float) -> None:
        self._call = self._door.clock.callLater(max(seconds, 0.01), self._look)

    def _look(self) -> None:
        self._call = None
        limits = self._door.limits
        now = self._door.clock.seconds()
        if self._paused_at is not None:
            left = self._paused_at + limits.stall_s - now
            if left <= 0:
                self._drop(f"no reply was read for {limits.stall_s:g} s")
                return
        elif self._session.awaits_client:
            left = self._last + limits.stall_s - now
            if left <= 0:
                self._drop(f"nothing of what was announced came for {limits.stall_s:g} s")
                return
        elif self._session.busy:
            left = limits.idle_s
        else:
            left = self._last + limits.idle_s - now
            if left <= 0:
                self._session.refuse(f"no command for {limits.idle_s:g} s, closing")
                return
        self._look_in(min(left, limits.stall_s, limits.idle_s))

    def _drop(self, why: str) -> None:
        self._call = None
        self._session.abort(why)
