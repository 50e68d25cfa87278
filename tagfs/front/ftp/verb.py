"""What a command of the tag port is to its session: its name, its code, and how it may overlap others. Layer: front."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

if TYPE_CHECKING:
    from tagfs.front.ftp.exchange import Exchange

Run: TypeAlias = "Callable[[Exchange], Awaitable[None] | None]"
"""The code of a verb: a coroutine function, or a plain function where nothing is waited for. It gives its replies to the
exchange; a :class:`~tagfs.errors.TagfsError` that it raises becomes the reply of that error, anything else a ``451``."""


def _upper(name: str) -> str:
    assert name == name.upper(), "verbs are registered in upper case"
    return name


@frozen
class Verb:
    """One command.

    :param name: in upper case, as ``ADD-TAGS``.
    :param usage: how it is typed, for ``HELP``: ``ADD-TAGS query | tag …``.
    :param summary: what it does, one short line, for ``HELP``.
    :param needs_login: refused with ``530`` before login.
    :param overlaps: may begin while earlier exchanges of overlapping verbs are not finished. Replies stay in order.
    :param in_transfer: may run, and answer at once, while an FTP transfer that came before it goes on
        (:meth:`Exchange.begin_transfer`).
    :param any_bytes: the argument need not be UTF-8; what is not becomes surrogates (``surrogateescape``).
    :param body: gives the size of the body that follows the line, from the raw argument; raises BadRequest where it
        cannot be read, which ends the session, since what follows could be content.
    :param takes_line: the next line belongs to the command, whatever is in it (a password): ``331`` asks for it, and it is
        in :attr:`Exchange.line` when ``run`` is called.
    :param finishes: once begun it runs to its end though the client is gone (changes). Others are cancelled.
    :param ends_with_input: is cancelled as soon as the client ends its stream (uploads by data connection: an FTP client
        that dies ends its control connection just so).
    """

    name: str = field(converter=_upper)
    run: Run
    usage: str = ""
    summary: str = ""
    needs_login: bool = True
    overlaps: bool = False
    in_transfer: bool = False
    any_bytes: bool = False
    body: Callable[[bytes], int] | None = None
    takes_line: bool = False
    finishes: bool = False
    ends_with_input: bool = False


def table(*groups: Iterable[Verb]) -> dict[bytes, Verb]:
    """Verbs by name, as a session looks them up; a verb of a later group takes the place of one before."""
    return {verb.name.encode(): verb for group in groups for verb in group}
