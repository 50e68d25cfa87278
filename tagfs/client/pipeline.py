"""Many commands in flight: replies are read while later commands are sent, and handed out in order. Layer: client.

Bounds: at most :data:`COMMANDS` commands and :data:`BYTES` bytes of small contents wait for their replies; a large content is
read from its file only as the connection takes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

from tagfs.client.channel import CHUNK, Channel
from tagfs.client.errors import ClientError, Closing, ConnectionLost, SourceFailed
from tagfs.client.replies import Reply, read_head, rest_of_reply
from tagfs.client.rows import leading_number
from tagfs.client.text import check_line

COMMANDS = 256
BYTES = 8 << 20
MAX_LINE = 65_000
"""Bytes of a command line; the protocol takes 64 KiB."""


class Body(NamedTuple):
    """A content of ``size`` bytes, opened by ``source`` when its turn to be sent has come; ``name`` is for messages.

    ``progress`` is told of each piece, in bytes. A repeat opens the source again.
    """

    source: Callable[[], BinaryIO]
    size: int
    name: str
    progress: Callable[[int], object] | None = None

    def pieces(self) -> Iterator[bytes]:
        """The content in pieces. Raises :class:`SourceFailed` where it cannot be read, or is shorter than it was."""
        try:
            with self.source() as file:
                left = self.size
                while left:
                    piece = file.read(min(CHUNK, left))
                    if not piece:
                        raise SourceFailed(self, f"{self.name}: became shorter while it was sent")
                    left -= len(piece)
                    yield piece
                    if self.progress is not None:
                        self.progress(len(piece))
        except OSError as error:
            raise SourceFailed(self, f"{self.name}: {error.strerror or error}") from error


class Command(NamedTuple):
    """One command line, what follows it, and what to do with a content that comes back.

    ``receive`` is called with the pieces of the content that a 150 announces (GET), ``announced`` before them with its
    size in bytes. ``token`` is the caller's own.
    """

    line: str
    body: bytes | Body | None = None
    receive: Callable[[bytes], object] | None = None
    announced: Callable[[int], object] | None = None
    token: object = None


def pipelined(channel: Channel, commands: Iterable[Command], window: int = COMMANDS) -> Iterator[tuple[Command, Reply]]:
    """Sends commands as they come and yields each with its final reply, refusals too. Raises what the channel raises.

    A generator left unfinished leaves replies behind; the caller closes the connection then.
    """
    flying: deque[Command] = deque()
    weight = 0
    for command in commands:
        while flying and (len(flying) >= window or weight + _weight(command) > BYTES):
            weight -= _weight(flying[0])
            yield flying[0], outcome(channel, flying[0])
            flying.popleft()
        send(channel, command)
        flying.append(command)
        weight += _weight(command)
    while flying:
        yield flying[0], outcome(channel, flying[0])
        flying.popleft()


def send(channel: Channel, command: Command) -> None:
    """Queues a command and its content."""
    line = check_line(command.line).encode("utf-8", "surrogateescape")
    if len(line) > MAX_LINE:
        # The server would refuse the line and take a content that follows it for commands.
        raise ClientError(f"the command is {len(line)} bytes long; at most {MAX_LINE} can be sent")
    channel.send(line + b"\r\n")
    if isinstance(command.body, Body):
        channel.send_from(command.body.pieces())
    elif command.body:
        channel.send(command.body)


def outcome(channel: Channel, command: Command) -> Reply:
    """The final reply to ``command``, after the preliminary one and the content that it may announce."""
    while True:
        head = read_head(channel)
        if head.code >= 200:
            break
        if command.receive is not None and head.code == 150:
            size = leading_number(head.text)
            if command.announced is not None:
                command.announced(size)
            copy(channel, size, command.receive)
    if head.code == 421:
        channel.close()
        raise Closing(421, head.text)
    return rest_of_reply(channel, head)


def copy(channel: Channel, size: int, receive: Callable[[bytes], object]) -> None:
    """Hands on ``size`` bytes of the connection. An error of ``receive`` ends the connection, since the rest is on its way."""
    left = size
    try:
        while left:
            piece = channel.some(min(CHUNK, left))
            left -= len(piece)
            receive(piece)
    except ConnectionLost as error:
        raise ConnectionLost(f"{error}; {size - left} of {size} bytes had come") from error
    except BaseException:
        channel.close()
        raise


def _weight(command: Command) -> int:
    return len(command.line) + (len(command.body) if isinstance(command.body, bytes) else 0)
