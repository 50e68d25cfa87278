"""Tags as people spelled them, and which are declared as directories. Layer: model.

A tag is the record ``tag``/<folded tag> with these fields:

============  =============================================================================================
``spelling``  str, as first used; what is shown wherever the tag is. None once the tag was deleted
``declared``  bool: it is a directory though nothing carries it
============  =============================================================================================
"""

from __future__ import annotations

from bisect import bisect_right

from tagfs.model.entry import Entry
from tagfs.model.names import fold
from tagfs.model.record import Field, Record
from tagfs.model.stamp import Stamp

KIND = "tag"


def definition(tag: str, stamp: Stamp) -> Record:
    """A change that fixes how a tag is shown: as spelled here. Meant for a tag without a definition, or to respell one."""
    return Record(KIND, fold(tag), {"spelling": Field(tag, stamp)})


def declaration(tag: str, declared: bool, stamp: Stamp) -> Record:
    """A change that makes the tag, shown as spelled here, a directory, or takes that away."""
    return Record(KIND, fold(tag), {"spelling": Field(tag, stamp), "declared": Field(declared, stamp)})


def forgotten(tag: str, stamp: Stamp) -> Record:
    """A change that takes the definition away: whoever uses the tag next decides how it is shown."""
    return Record(KIND, fold(tag), {"spelling": Field(None, stamp), "declared": Field(False, stamp)})


class Vocabulary:
    """All defined tags, in memory. Learns whole states, in any order of their keys; safe to read from
    any thread while one learns. Costs one dictionary slot per tag, and a spelling only where it is not the folded form."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._declared: set[str] = set()
        self._spellings: dict[str, str] = {}

    def learn(self, record: Record) -> None:
        """Takes note of the present state of a tag's record."""
        tag = record.key
        spelling = record.value("spelling")
        if isinstance(spelling, str):
            self._known.add(tag)
        else:
            self._known.discard(tag)
        if isinstance(spelling, str) and spelling != tag:
            self._spellings[tag] = spelling
        else:
            self._spellings.pop(tag, None)
        if record.value("declared"):
            self._declared.add(tag)
        else:
            self._declared.discard(tag)

    def is_known(self, folded: str) -> bool:
        """Whether the tag has a definition."""
        return folded in self._known

    def is_declared(self, folded: str) -> bool:
        """Whether the tag is a directory of its own right."""
        return folded in self._declared

    def show(self, folded: str) -> str:
        """The tag as it was first spelled; as given where it has no definition."""
        return self._spellings.get(folded, folded)

    def show_entry(self, entry: Entry) -> Entry:
        """The entry with its tags as they are shown, in the same order."""
        spellings = self._spellings
        if not spellings or spellings.keys().isdisjoint(entry.tags):
            return entry
        return entry._replace(tags=tuple([spellings.get(tag, tag) for tag in entry.tags]))

    def declared(self, after: str = "", limit: int | None = None) -> list[str]:
        """The declared tags behind ``after`` (folded), or the first ``limit`` of them, as they are shown, in order of their
        folded forms."""
        ordered = sorted(self._declared)
        start = bisect_right(ordered, after)
        return [self.show(tag) for tag in ordered[start : None if limit is None else start + limit]]
