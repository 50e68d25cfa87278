"""Cuts a byte stream into lines and bodies of announced size; strips telnet negotiation. Layer: wire, sans-io.

Used pull-wise: :meth:`Framing.feed` takes what the socket gave, :meth:`Framing.next` gives one event after the
other. Whoever reads a line that announces a body calls :meth:`Framing.expect` before asking for the next event,
so that bytes of a body are never read as lines. The events are the same however the stream is split.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

LINE_LIMIT: Final = 65536
"""Bytes of a line, its line end not counted (docs/protocols/tag.md)."""
HEAD: Final = 1024
"""Bytes kept of the beginning and of the end of a line that is too long."""

CR: Final = 13
IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
"""Telnet commands (RFC 854)."""
LINE_ENDS: Final = b"\r\n"
"""Never the option of a telnet command: no client negotiates options 10 and 13 here, and a line must end where it ends."""


class Line(NamedTuple):
    """One line, without its CRLF or LF."""

    text: bytes


class TooLong(NamedTuple):
    """A line over the limit has ended; of its bytes only the first and last :data:`HEAD` (at most) were kept."""

    head: bytes
    tail: bytes


class Piece(NamedTuple):
    """Some bytes of the body that was announced last; never empty."""

    data: bytes


class Negotiation(NamedTuple):
    """Bytes to send back: refusals of the telnet options that were asked for (RFC 854)."""

    answer: bytes


Event: TypeAlias = "Line | TooLong | Piece | Negotiation"


class Framing:
    """One direction of one connection. Holds at most one line and what was fed last; its work is linear in what it is fed.

    ``limit`` bounds a line in bytes; with ``telnet`` off, byte 255 is a byte like any other.
    """

    __slots__ = ("_answers", "_at", "_buffer", "_head", "_inside", "_keep", "_line", "_size", "_telnet", "limit")

    def __init__(self, limit: int = LINE_LIMIT, *, telnet: bool = True) -> None:
        self.limit = limit
        self._telnet = telnet
        self._keep = min(HEAD, limit)
        self.clear()

    def clear(self) -> None:
        """Forgets everything that was fed: nothing of it may count any more (STARTTLS)."""
        self._buffer = b""  # what was fed last
        self._at = 0  # first byte of the buffer that was not looked at
        self._size = 0  # bytes of the body still to come
        self._line = bytearray()  # the beginning of a line that has not ended
        self._head: bytes | None = None  # the first bytes of that line, once it is known to be too long
        self._inside = False  # in a telnet subnegotiation
        self._answers = b""  # refusals not yet given out

    @property
    def missing(self) -> int:
        """Bytes of the announced body that no event has given yet."""
        return self._size

    @property
    def partial(self) -> bool:
        """Whether a line has begun that has not ended. Meant for the end of the stream."""
        return not self._size and bool(self._line or self._at < len(self._buffer))

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the stream."""
        self._buffer = data if self._at == len(self._buffer) else self._buffer[self._at :] + data
        self._at = 0

    def expect(self, size: int) -> None:
        """The next ``size`` bytes are a body. Only right after the line that announced it."""
        assert not self._size and size >= 0
        self._size = size

    def next(self) -> Event | None:
        """The next event, or None where more bytes are needed."""
        if self._size:
            return self._piece()
        if self._answers:
            answers, self._answers = self._answers, b""
            return Negotiation(answers)
        buffer, start = self._buffer, self._at
        end = buffer.find(b"\n", start)
        if self._inside or (self._telnet and buffer.find(b"\xff", start, end if end >= 0 else len(buffer)) >= 0):
            return self._line_with_telnet()
        if end < 0:
            self._begin(start, len(buffer))
            self._at = len(buffer)
            return None
        self._at = end + 1
        if self._line:
            return self._end(start, end)
        stop = end - 1 if end > start and buffer[end - 1] == CR else end
        if stop - start > self.limit:
            return self._end(start, end)
        return Line(buffer[start:stop])

    def _piece(self) -> Piece | None:
        start, size = self._at, len(self._buffer)
        if start == size:
            return None
        stop = min(size, start + self._size)
        self._size -= stop - start
        self._at = stop
        # A slice of the whole is the object itself, so large bodies are not copied.
        return Piece(self._buffer[start:stop])

    def _begin(self, start: int, stop: int) -> None:
        """Adds a stretch of the buffer to the line that has not ended; of a line too long keeps both ends only."""
        line = self._line
        line += memoryview(self._buffer)[start:stop]
        if len(line) > self.limit + 1:  # one more, for the CR
            if self._head is None:
                self._head = bytes(line[: self._keep])
            del line[: -self._keep - 1]

    def _end(self, start: int, stop: int) -> Event:
        """The line ends with this stretch of the buffer."""
        self._begin(start, stop)
        line, head = self._line, self._head
        self._line, self._head = bytearray(), None
        if line and line[-1] == CR:
            del line[-1]
        if head is None and len(line) <= self.limit:
            return Line(bytes(line))
        return TooLong(bytes(line[: self._keep]) if head is None else head, bytes(line[-self._keep :]))

    def _line_with_telnet(self) -> Event | None:
        """As :meth:`next`, for a stretch with telnet commands in it (RFC 854)."""
        buffer = self._buffer
        end = -1
        while True:
            at = self._at
            if self._inside and not self._leave_subnegotiation():
                break
            at = self._at
            if end < at:
                end = buffer.find(b"\n", at)
            limit = end if end >= 0 else len(buffer)
            iac = buffer.find(b"\xff", at, limit)
            if iac < 0:
                if end >= 0:
                    self._at = end + 1
                    return self._end(at, end)
                self._begin(at, limit)
                self._at = limit
                break
            self._begin(at, iac)
            self._at = iac
            if not self._command(iac):
                break
        return self.next() if self._answers else None

    def _leave_subnegotiation(self) -> bool:
        """Drops bytes up to the end of a subnegotiation; False where it is not there yet."""
        end = self._buffer.find(bytes((IAC, SE)), self._at)
        if end < 0:
            # A last IAC may be the first half of the end.
            self._at = len(self._buffer) - self._buffer.endswith(b"\xff", self._at)
            return False
        self._at = end + 2
        self._inside = False
        return True

    def _command(self, iac: int) -> bool:
        """Takes the telnet command at ``iac``; False where it is not complete."""
        buffer = self._buffer
        if iac + 1 == len(buffer):
            return False
        command = buffer[iac + 1]
        if command in (DO, DONT, WILL, WONT):
            if iac + 2 == len(buffer):
                return False
            if buffer[iac + 2] in LINE_ENDS:
                self._begin(iac, iac + 2)
                self._at = iac + 2
                return True
            if command in (DO, WILL):
                self._answers += bytes((IAC, WONT if command == DO else DONT, buffer[iac + 2]))
            self._at = iac + 3
        elif command == IAC or command < SE:
            # A doubled IAC is the byte 255 itself; one before any other byte is data of a client that doubles none.
            self._begin(iac, iac + 1)
            self._at = iac + (2 if command == IAC else 1)
        else:
            self._inside = command == SB
            self._at = iac + 2
        return True
