"""Words and quotes, the same in queries and in arguments: ``a "b c" d\\ e"f g"``. Layer: model.

A word runs to the next white space. Double quotes take what is between them literally, with ``\\"`` for a quote and
``\\\\`` for a backslash; quoted and bare pieces that touch are one word, as in a shell.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tagfs.errors import QueryError

_QUOTED = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ARGUMENT = re.compile(r'[^\s"|]+')
_BEFORE_BAR = re.compile(r'[^"|]+')
_WILDCARDS = re.compile(r"[*?]")


class Piece(NamedTuple):
    """A bare or quoted part of a word: its text, and where its source begins (index of the quote) and what it is."""

    text: str
    quoted: bool
    start: int
    source: str


class Word(NamedTuple):
    """One word of a source text; ``end`` is the index behind it. Without pieces where no word is there."""

    pieces: tuple[Piece, ...]
    end: int

    @property
    def text(self) -> str:
        """What the word says, without quotes and escapes."""
        if len(self.pieces) == 1:
            return self.pieces[0].text
        return "".join(piece.text for piece in self.pieces)

    @property
    def start(self) -> int:
        """The column, from 1, that the word begins at, with the quote if there is one."""
        return (self.pieces[0].start if self.pieces else self.end) + 1

    @property
    def bare(self) -> bool:
        """Whether nothing of it is in quotes."""
        return not any(piece.quoted for piece in self.pieces)

    def wildcard(self, quoted: bool = False) -> int | None:
        """The column of its first ``*`` or ``?`` outside quotes (inside, where ``quoted``); None if there is none."""
        index = 0
        for piece in self.pieces:
            found = _WILDCARDS.search(piece.text) if piece.quoted == quoted else None
            if found:
                return self.column(index + found.start())
            index += len(piece.text)
        return None

    def column(self, index: int) -> int:
        """The column, from 1, in the source of the character ``index`` of :attr:`text`; of the word, if it is empty."""
        for piece in self.pieces:
            if index < len(piece.text):
                return piece.start + 1 + (_source_index(piece.source, index) if piece.quoted else index)
            index -= len(piece.text)
        return self.start

    def parted(self, mark: str) -> tuple[Word, Word] | None:
        """What is before and behind the first ``mark`` outside quotes, as words; None if there is none."""
        for number, piece in enumerate(self.pieces):
            at = -1 if piece.quoted else piece.text.find(mark)
            if at >= 0:
                left, right = _cut(piece, at), _cut(piece, at + len(mark), behind=True)
                return (
                    Word((*self.pieces[:number], *left), piece.start + at),
                    Word((*right, *self.pieces[number + 1 :]), self.end),
                )
        return None


def scan(source: str, at: int, bare: re.Pattern[str]) -> Word:
    """The word at index ``at``; its bare pieces are what ``bare`` matches.

    Raises :class:`~tagfs.errors.QueryError` for a quote that is not closed, or an unknown escape.
    """
    pieces = []
    while True:
        found = bare.match(source, at)
        if found:
            text = found[0]
            pieces.append(Piece(text, False, at, text))
            at = found.end()
        elif source.startswith('"', at):
            pieces.append(_quoted(source, at))
            at += len(pieces[-1].source)
        else:
            return Word(tuple(pieces), at)


def split_arguments(text: str, column: int = 1) -> list[str]:
    """The arguments of a command: literal words between white space, with quotes taken off.

    ``column`` is that of the text's first character, for the columns in errors.
    Raises :class:`~tagfs.errors.QueryError` for a quote that is not closed, an unknown escape, or a ``|`` outside quotes:
    one that parts a line is not for here (:func:`part_at_bar`), and any other is a slip.
    """
    return [argument for argument, _ in located_arguments(text, column)]


def located_arguments(text: str, column: int = 1) -> list[tuple[str, int]]:
    """As :func:`split_arguments`, each with the column it begins at."""
    found = []
    at = 0
    try:
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            word = scan(text, at, _ARGUMENT)
            if text.startswith("|", word.end):
                raise QueryError(
                    'a "|" is not expected here', word.end + 1, 'double quotes around a word with "|" in it'
                )
            found.append((word.text, at + column))
            at = word.end
    except QueryError as error:
        raise QueryError(error.message, error.column + column - 1, error.expected) from None
    return found


def part_at_bar(text: str) -> tuple[str, str | None, int]:
    """What is before the first ``|`` outside quotes, what is behind it (None where there is none), and the column the
    latter begins at. Raises :class:`~tagfs.errors.QueryError` for a quote that is not closed."""
    at = 0
    while at < len(text):
        if text[at] == "|":
            return text[:at], text[at + 1 :], at + 2
        found = _BEFORE_BAR.match(text, at)
        at = found.end() if found else at + len(_quoted(text, at).source)
    return text, None, len(text) + 1


def quoted(text: str) -> str:
    """``text`` in double quotes, as :func:`scan` reads it back."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quoted(source: str, at: int) -> Piece:
    found = _QUOTED.match(source, at)
    if not found:
        raise QueryError("this quote is not closed", at + 1, 'another " behind it')
    inner = found[1]
    if "\\" not in inner:
        return Piece(inner, True, at, found[0])
    for escape in _ESCAPE.finditer(inner):
        if escape[1] not in '"\\':
            raise QueryError(f'"\\{escape[1]}" is no escape', at + 2 + escape.start(), '\\" or \\\\')
    return Piece(_ESCAPE.sub(r"\1", inner), True, at, found[0])


def _source_index(source: str, index: int) -> int:
    at = 1
    for _ in range(index):
        at += 2 if source[at] == "\\" else 1
    return at


def _cut(piece: Piece, at: int, behind: bool = False) -> tuple[Piece, ...]:
    text = piece.text[at:] if behind else piece.text[:at]
    return (Piece(text, False, piece.start + (at if behind else 0), text),) if text else ()
