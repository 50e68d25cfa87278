"""The catalog and the contents of one node, compared page by page."""

from __future__ import annotations

import pytest

from tagfs.node.contents import copies
from tagfs.node.contents.copies import Copies
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.contracts.writing import Writer, content


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(copies, "PAGE", 3)


def filled() -> tuple[MemoryCatalog, MemoryBlobStore, dict[str, bool]]:
    """Thirty entries, some with one content, every third content missing."""
    writer, catalog, blobs = Writer(), MemoryCatalog("n1"), MemoryBlobStore()
    there = {}
    for number in range(30):
        text = f"text {number // 2}"
        made = writer.entry(f"f{number}", text=text)
        catalog.merge([made])
        there[made.key] = number // 2 % 3 != 0
        if there[made.key]:
            assert blobs.put(text.encode()).digest == content(text).digest
    blobs.put(b"nobody refers to this")
    return catalog, blobs, there


def look_through(found: Copies) -> tuple[list[str], list[str]]:
    place, here, lacking = b"", [], []
    while place is not None:
        page = found.scan(place)
        here += [each.id for each in page.here]
        lacking += [each.id for each in page.lacking]
        place = page.next
    return here, lacking


def test_a_scan_finds_and_notes_everything(small_pages):
    """Each reference once, here or lacking, as the store has it; what was believed before does not matter."""
    catalog, blobs, there = filled()
    for _ in range(2):
        here, lacking = look_through(Copies(catalog, blobs))
        assert sorted(here) == sorted(id for id in there if there[id])
        assert sorted(lacking) == sorted(id for id in there if not there[id])
        assert {id: bool(catalog.holders(id)) for id in there} == there
        for partition in range(256):
            for held in (True, False):
                catalog.note_holders("n1", catalog.holdings("n1", partition), not held)


def test_what_is_lost_during_a_scan_does_not_count(small_pages):
    """A content that went after the scan saw it is not noted as held with the rest."""
    catalog, blobs, _ = filled()
    found = Copies(catalog, blobs)
    page = found.scan(b"")
    while not page.here:
        page = found.scan(page.next)
    digest = page.here[0].digest
    blobs._pins.clear()
    assert blobs.drop(digest)
    found.losses += 1
    found.note(digest, False)
    while page.next is not None:
        page = found.scan(page.next)
    assert not any(catalog.holders(each.id) for each in found.references(digest))


def test_all_references_of_a_content(small_pages):
    """Of a content with more references than a page has, all are noted, and no other's."""
    writer, catalog, blobs = Writer(), MemoryCatalog("n1"), MemoryBlobStore()
    shared = [writer.entry(f"s{number}", text="shared") for number in range(10)]
    others = [writer.entry(f"o{number}", text=f"other {number}") for number in range(10)]
    catalog.merge([*shared, *others])
    found = Copies(catalog, blobs)
    digest = content("shared").digest
    assert {each.id for each in found.references(digest)} == {each.key for each in shared}
    found.note(digest, False)
    assert not any(catalog.holders(each.key) for each in shared)
    assert all(catalog.holders(each.key) for each in others)
    assert found.partitions(digest) == {copies.partition(each.key) for each in shared}
