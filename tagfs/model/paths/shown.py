"""Under which names a directory shows its entries. Layer: model.

Two entries may share a name, in one directory too. Then each is shown with the end of its id: ``photo~7m2k9xq4.jpg``.
The rules, which make names and entries of one directory one to one (property-tested):

1. An entry is shown plainly where it is the only one of its name (in NFC), no directory beside it has that name, and
   the name does not read as the suffixed name of another entry there (see 3).
2. Else it is shown with :data:`SHORT` characters of its id; with the whole id where an entry of the same name and an
   older id ends in the same characters, and for every entry of a name behind the first :data:`GROUP` of them.
3. A name that reads as suffixed denotes that entry if it is there, else the entry really called so.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from tagfs.model.entry import ID_LENGTH, Entry
from tagfs.model.names import name_key, short_id

SHORT = 8
"""Characters from the end of an entry id, where it is random: 38 bits."""
GROUP = 4_096
"""Entries of one name whose short ids are compared while names stream by, so that memory stays bounded."""

_DIGIT = "[0-9a-hjkmnp-tv-z]"
# What counts as an extension: short and plain, so that "Mr. Smith went home" has none.
_EXTENSION = r"\.[A-Za-z0-9]{1,10}"
_NAME = re.compile(rf"(.+?)({_EXTENSION})?", re.DOTALL)
_SUFFIXED = re.compile(rf"(.+)~({_DIGIT}{{{SHORT}}}|{_DIGIT}{{{ID_LENGTH}}})({_EXTENSION})?", re.DOTALL)


class Lookalike(NamedTuple):
    """How a suffixed name reads: the real name, and the id's end (or the whole id)."""

    name: str
    tail: str


def suffixed(name: str, tail: str) -> str:
    """``name`` with the end of an entry id before its extension."""
    match = _NAME.fullmatch(name)
    assert match is not None, "an empty name"
    return f"{match[1]}~{tail}{match[2] or ''}"


def lookalike(name: str) -> Lookalike | None:
    """How ``name`` reads if it is a suffixed one, or None. Inverse of :func:`suffixed`."""
    match = _SUFFIXED.fullmatch(name)
    return Lookalike(match[1] + (match[3] or ""), match[2]) if match else None


def denoted(tail: str, entries: Iterable[Entry]) -> Entry | None:
    """The entry that a suffixed name means, out of all of its directory with the real name."""
    return min((entry for entry in entries if entry.id.endswith(tail)), key=lambda entry: entry.id, default=None)


class NameStream:
    """Gives the entries of one directory their shown names while they stream by in order of name and id.

    ``folders`` are the names of the directory's directories, in NFC. Memory is bounded by :data:`GROUP`.
    """

    def __init__(self, folders: Container[str]) -> None:
        self._folders = folders
        self._name = ""
        self._held: Entry | None = None
        self._tails: set[str] | None = set()
        self._count = 0

    def feed(self, entries: Sequence[Entry], denoting: Container[str]) -> Iterator[tuple[str, Entry]]:
        """Names for some of the entries; the last may be held back until more are fed.

        ``denoting`` has those names among the entries' whose reading as a :class:`Lookalike` denotes an entry of this
        directory.
        """
        for entry in entries:
            name = name_key(entry.name)
            if name != self._name:
                yield from self.finish()
                self._name, self._tails, self._count = name, set(), 0
            self._count += 1
            plain = self._count == 1 and name not in self._folders and entry.name not in denoting
            if plain:
                self._held = entry
            else:
                yield from self._release()
                yield self._suffixed(entry)

    def finish(self) -> Iterator[tuple[str, Entry]]:
        """The entry held back, if any, under its plain name: nothing of that name follows."""
        if self._held is not None:
            yield self._held.name, self._held
            self._held = None

    def _release(self) -> Iterator[tuple[str, Entry]]:
        """The entry held back, now known to be one of several."""
        if self._held is not None:
            yield self._suffixed(self._held)
            self._held = None

    def _suffixed(self, entry: Entry) -> tuple[str, Entry]:
        tail = short_id(entry.id, SHORT)
        if self._tails is not None and len(self._tails) >= GROUP:
            self._tails = None
        if self._tails is None or tail in self._tails:
            tail = entry.id
        else:
            self._tails.add(tail)
        name = suffixed(entry.name, tail)
        # A tag may be called anything, also as a suffixed name.
        return (suffixed(entry.name, entry.id) if name_key(name) in self._folders else name), entry


def shown_names(entries: Iterable[Entry], folders: Container[str] = ()) -> list[tuple[str, Entry]]:
    """Shown names of all entries of one directory, in order of name and id."""
    ordered = sorted(entries, key=lambda entry: (name_key(entry.name), entry.id))
    present: dict[str, list[Entry]] = {}
    for entry in ordered:
        present.setdefault(name_key(entry.name), []).append(entry)
    stream = NameStream(folders)
    named = list(stream.feed(ordered, _denoting(ordered, present)))
    named.extend(stream.finish())
    return named


def _denoting(ordered: Sequence[Entry], present: dict[str, list[Entry]]) -> set[str]:
    denoting = set()
    for entry in ordered:
        reading = lookalike(entry.name)
        if reading and denoted(reading.tail, present.get(name_key(reading.name), ())):
            denoting.add(entry.name)
    return denoting
