"""ADD: its command, and what its reply means. Layer: client."""

from __future__ import annotations

from collections.abc import Iterable

from tagfs.client.errors import ProtocolViolation, refusal
from tagfs.client.pipeline import Body, Command
from tagfs.client.replies import Reply
from tagfs.client.rows import Stored, stored
from tagfs.client.text import options, words


def add_command(
    name: str,
    content: bytes | Body,
    *,
    tags: Iterable[str] = (),
    key: str | None = None,
    modified: str | None = None,
    folder: str | None = None,
    token: object = None,
) -> Command:
    """The ADD command of a content, for :meth:`Client.pipelined`."""
    size = len(content) if isinstance(content, bytes) else content.size
    line = f"ADD {size} {words([name, *tags])}{options(key=key, modified=modified, folder=folder)}"
    return Command(line, content, token=token)


def stored_or_raise(reply: Reply) -> Stored:
    """What an ADD's final reply says was stored. Raises a :class:`~tagfs.client.errors.Refused` where nothing was."""
    made = stored(reply.code, reply.text)
    if made is not None and reply.code in (250, 451):
        return made
    if reply.code >= 400:
        raise refusal(reply.code, reply.text)
    raise ProtocolViolation(f"the server answered ADD with {reply.code} {reply.text[:80]!r}")
