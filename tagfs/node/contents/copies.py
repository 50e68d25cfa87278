"""Which entries refer to a content, and whether this node has a copy: noted in the catalog as contents come and go. Layer: node.

Everything here blocks and is called in other threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tagfs.model.entry import KIND, Content, entry, is_whole, partition
from tagfs.model.record import Ref
from tagfs.storage.holdings import ID, holding, joined
from tagfs.storage.interfaces import DIGEST, MAX_PAGE, IBlobStore, ICatalog, Reference

PAGE = 4_000
"""References looked at in one turn of a thread."""
NOTED_TOGETHER = 100_000
"""Holdings found by a scan that are noted at once."""


class Look(NamedTuple):
    """One content of one entry, as it was found: the current one or a version, here or not."""

    id: str
    content: Content
    current: bool
    here: bool


class Scanned(NamedTuple):
    """One page of all references: those to contents that are not here, by whom they are to be held is decided elsewhere; and
    those to contents that are here. ``next`` is the place to go on from, None at the end."""

    lacking: Sequence[Reference]
    here: Sequence[Reference]
    next: bytes | None


class Copies:
    """The catalog and the contents of one node, compared."""

    def __init__(self, catalog: ICatalog, blobs: IBlobStore) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self.losses = 0
        """Grows with every content that was lost: what was seen before is not sure any more."""
        self._losses_before = 0
        self._found: list[tuple[bool, bytes]] = []

    def references(self, digest: bytes) -> Iterator[Reference]:
        """All references to one content."""
        place: bytes | None = digest
        while place is not None:
            page = self._catalog.references(place, PAGE)
            for reference in page.items:
                if reference.digest != digest:
                    return
                yield reference
            place = page.next

    def partitions(self, digest: bytes) -> set[int]:
        """The partitions of all entries that refer to a content."""
        return {partition(reference.id) for reference in self.references(digest)}

    def note(self, digest: bytes, held: bool) -> None:
        """This node has the content (durably), or has it no more: noted for all entries whose content it is."""
        items = []
        for reference in self.references(digest):
            if reference.current:
                items.append(holding(reference.id, digest))
            if len(items) == MAX_PAGE:
                self._catalog.note_holders(self._catalog.node, joined(items), held)
                items = []
        self._catalog.note_holders(self._catalog.node, joined(items), held)

    def look(self, ids: Sequence[str]) -> list[Look]:
        """Looks whether the contents of these entries, and their versions, are here, notes it, and returns all that is found."""
        refs = [Ref(KIND, identifier) for identifier in ids]
        found = []
        for record in self._catalog.get(refs):
            if record is not None and is_whole(record):
                whole = entry(record)
                versions = [version.content for version in whole.versions]
                found += [
                    Look(whole.id, content, content is whole.content, self._blobs.stat(content.digest) is not None)
                    for content in (whole.content, *versions)
                ]
        here = joined(holding(each.id, each.content.digest) for each in found if each.current and each.here)
        if here:
            self._catalog.note_holders(self._catalog.node, here, True)
        return found

    def scan(self, place: bytes) -> Scanned:
        """One page of all references behind a place; this node's copies are noted as they were found, at the latest with the last
        page. Scans follow one another."""
        page = self._catalog.references(place, PAGE)
        stored = self._stored(page.items[0].digest, page.items[-1].digest) if page.items else set()
        here = [each for each in page.items if each.digest in stored]
        lacking = [each for each in page.items if each.digest not in stored]
        if not self._found:
            self._losses_before = self.losses
        for held, references in ((True, here), (False, lacking)):
            self._found += [(held, holding(each.id, each.digest)) for each in references if each.current]
        if len(self._found) >= NOTED_TOGETHER or page.next is None:
            self._note_found()
        return Scanned(lacking, here, page.next)

    def _note_found(self) -> None:
        """By partition, since the catalog takes in many of one partition quickest."""
        found, self._found = self._found, []
        by_partition: dict[tuple[bool, int], list[bytes]] = {}
        for held, each in found:
            by_partition.setdefault((held, each[ID - 1]), []).append(each)
        for (held, _), holdings in by_partition.items():
            # What was lost meanwhile must not count as held; what only seems to be lacking is looked at once more anyway.
            if not held or self.losses == self._losses_before:
                for start in range(0, len(holdings), MAX_PAGE):
                    self._catalog.note_holders(self._catalog.node, joined(holdings[start : start + MAX_PAGE]), held)

    def _stored(self, first: bytes, last: bytes) -> set[bytes]:
        """The contents here from one digest to another."""
        number = int.from_bytes(first, "big")
        after = (number - 1).to_bytes(DIGEST, "big") if number else b""
        found: set[bytes] = set()
        while page := self._blobs.digests(after, PAGE):
            found.update(page)
            after = page[-1]
            if after >= last:
                break
        return found

    def contents_of(self, references: Sequence[Reference]) -> list[tuple[Reference, Content]]:
        """The sizes and more of contents referred to; without those that are not referred to any more."""
        records = self._catalog.get([Ref(KIND, each.id) for each in references])
        found = []
        for reference, record in zip(references, records, strict=True):
            if record is not None and is_whole(record):
                whole = entry(record)
                for content in (whole.content, *(version.content for version in whole.versions)):
                    if content.digest == reference.digest:
                        found.append((reference, content))
                        break
        return found
