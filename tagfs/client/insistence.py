"""Many commands through broken connections: what was not answered is sent again. Layer: client.

Only for commands whose repeat changes nothing: questions, ``ADD`` with a key, ``ADD-TAGS``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tagfs.client.client import Client
from tagfs.client.errors import ConnectionFailed, ConnectionLost, SourceFailed
from tagfs.client.pipeline import COMMANDS, Command
from tagfs.client.replies import Reply

Item = TypeVar("Item")

PAUSES_S = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Waits before each new connection; a restarted node listens again within these. Any answer begins anew."""


def insistently(
    client: Client,
    items: Iterable[Item],
    make: Callable[[Item], Command],
    window: int = COMMANDS,
    pauses: Iterable[float] = PAUSES_S,
) -> Iterator[tuple[Item, Reply | SourceFailed]]:
    """For each item the final reply to the command that ``make`` makes of it, or why its content could not be read.

    Replies come in the order of the items, but for those of broken sources. ``make`` is called again for a repeat.
    Raises :class:`ConnectionLost` or :class:`ConnectionFailed` when a new connection was in vain too often.
    """
    left = deque(items)
    waits = list(pauses)
    while left:
        commands: deque[Command] = deque()
        try:
            for _, reply in client.pipelined(_made(left, make, commands), window):
                commands.popleft()
                waits = list(pauses)
                yield left.popleft(), reply
        except SourceFailed as error:
            at = next(index for index, command in enumerate(commands) if command.body is error.body)
            item = left[at]
            del left[at]
            yield item, error
        except (ConnectionLost, ConnectionFailed):
            if not waits:
                raise
            time.sleep(waits.pop(0))


def _made(left: Iterable[Item], make: Callable[[Item], Command], commands: deque[Command]) -> Iterator[Command]:
    # A copy: the deque shrinks while commands are sent.
    for item in tuple(left):
        commands.append(make(item))
        yield commands[-1]
