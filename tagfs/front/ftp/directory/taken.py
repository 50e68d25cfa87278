"""Which names in a directory its directories have, so that no entry is shown under one of them. Layer: front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tagfs.front.ftp.directory.lookup import Lookup
from tagfs.model.entry import Entry
from tagfs.model.names import name_key, short_id, tag_fault
from tagfs.model.paths import SHORT, suffixed


class Names:
    """All of them, remembered while they go by. ``in`` asks about names in NFC."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def folders(self, names: Iterable[str]) -> None:
        """Those directories are there."""
        self._names.update(map(name_key, names))

    async def ask(self, entries: Sequence[Entry]) -> None:
        """From now on these entries' names are asked about, and those before them."""


class TagNames(Names):
    """The names of all tags, of which there may be too many to remember: those that some entries could be shown under are
    asked for, when it is their turn."""

    def __init__(self, lookup: Lookup) -> None:
        super().__init__()
        self._lookup = lookup
        self._views: set[str] = set()
        self._before: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._views or name in self._names or name in self._before

    def folders(self, names: Iterable[str]) -> None:
        """Tags are not remembered, the few views among them are."""
        self._views.update(name for name in names if tag_fault(name) is not None)

    async def ask(self, entries: Sequence[Entry]) -> None:
        """See :class:`Names`; the last of the entries before may be shown only now."""
        wanted = [name_key(entry.name) for entry in entries]
        wanted += [name_key(suffixed(entry.name, short_id(entry.id, SHORT))) for entry in entries]
        shown = await self._lookup.node.shown_tags(self._lookup.principal, wanted)
        self._before = self._names
        self._names = {
            name for name, tag in zip(wanted, shown, strict=True) if tag is not None and name_key(tag) == name
        }
