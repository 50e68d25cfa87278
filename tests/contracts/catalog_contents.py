"""The contract of a catalog, last part: references to contents, the trash, figures, and copies."""

from __future__ import annotations

import time

from tagfs.model.entry import replacement
from tagfs.model.record import merge
from tests.contracts.writing import START_MS, Writer, content, ref

FAR = 1 << 52
"""A time (ms) far in the future."""


def now_ms():
    return time.time_ns() // 1_000_000


class ContentsContract:
    """What the methods about contents, the trash and statistics promise."""

    def test_unreferenced(self, catalog):
        """A content is referenced while any entry refers to it, live or in the trash; answers come in the order asked."""
        writer = Writer()
        one, two = writer.entry("a", text="shared"), writer.entry("b", text="shared")
        three = writer.entry("c", text="own")
        catalog.merge([one, two, three])
        shared, own, none = (content(text).digest for text in ("shared", "own", "none"))
        assert list(catalog.unreferenced([none, shared, own])) == [none]
        catalog.merge([writer.trash(three), writer.purge(one)])
        assert list(catalog.unreferenced([none, shared, own])) == [none]
        catalog.merge([writer.purge(two), writer.purge(three)])
        assert list(catalog.unreferenced([own, none, shared])) == [own, none, shared]
        assert list(catalog.unreferenced([])) == []

    def test_versions_are_references(self, catalog):
        """A replaced content is referenced by its version until that expires."""
        writer = Writer()
        made = writer.entry("a", text="old")
        catalog.merge([made])
        state = catalog.merge([replacement(made, writer.stamp(), content("new"))])[0]
        old, new = content("old").digest, content("new").digest
        assert list(catalog.unreferenced([old, new])) == []
        version = next(
            name for name, field in state.fields.items() if name.startswith("version:") and field.value[0] == old
        )
        catalog.merge([writer.set(state, **{version: None})])
        assert list(catalog.unreferenced([old, new])) == [old]
        assert list(catalog.orphans(FAR, 10)) == [old]

    def test_references_of_parts(self, catalog):
        """A record that cannot be shown yet holds its content all the same."""
        writer = Writer()
        made = writer.entry("a", text="early")
        part = made._replace(fields={"content": made.fields["content"]})
        catalog.merge([part], {})
        assert list(catalog.unreferenced([content("early").digest])) == []

    def test_orphans_since_their_last_reference_went(self, catalog):
        """A content becomes an orphan when its last reference goes, as of that moment."""
        writer = Writer()
        one, two = writer.entry("a", text="shared"), writer.entry("b", text="shared")
        catalog.merge([one, two])
        catalog.merge([writer.purge(one)])
        assert list(catalog.orphans(FAR, 10)) == []
        before = now_ms()
        catalog.merge([writer.purge(two)])
        after = now_ms()
        assert list(catalog.orphans(after + 1, 10)) == [content("shared").digest]
        assert list(catalog.orphans(before, 10)) == []

    def test_an_orphan_that_is_wanted_again(self, catalog):
        """A new reference takes a content off the list; losing it again counts anew."""
        writer = Writer()
        one = writer.entry("a", text="x")
        catalog.merge([one])
        catalog.merge([writer.purge(one)])
        two = writer.entry("b", text="x")
        catalog.merge([two])
        assert list(catalog.orphans(FAR, 10)) == []
        before = now_ms()
        catalog.merge([writer.purge(two)])
        assert list(catalog.orphans(before, 10)) == []
        assert list(catalog.orphans(FAR, 10)) == [content("x").digest]

    def test_a_reference_that_moves_within_one_batch(self, catalog):
        """A content whose reference goes and comes in one batch is no orphan."""
        writer = Writer()
        one = writer.entry("a", text="x")
        catalog.merge([one])
        catalog.merge([writer.purge(one), writer.entry("b", text="x")])
        assert list(catalog.orphans(FAR, 10)) == []
        assert list(catalog.unreferenced([content("x").digest])) == []

    def test_note_and_forget_orphans(self, catalog):
        """note_orphans lists what nothing refers to, keeping earlier times; forget_orphans takes off."""
        writer = Writer()
        catalog.merge([writer.entry("a", text="held")])
        held, first, second = (content(text).digest for text in ("held", "first", "second"))
        catalog.note_orphans([held, first], 1_000)
        catalog.note_orphans([first, second], 2_000)
        assert list(catalog.orphans(1_000, 10)) == []
        assert list(catalog.orphans(1_001, 10)) == [first]
        assert sorted(catalog.orphans(FAR, 10)) == sorted([first, second])
        assert len(catalog.orphans(FAR, 1)) == 1
        catalog.forget_orphans([first, held])
        assert list(catalog.orphans(FAR, 10)) == [second]
        catalog.note_orphans([], 1)
        catalog.forget_orphans([])

    def test_expiring(self, catalog):
        """expiring lists what went to the trash before a time; restored, purged and live entries are not in it."""
        writer = Writer()
        made = [writer.entry(f"f{number}") for number in range(5)]
        catalog.merge(made)
        trashed = [merge(record, writer.trash(record)) for record in made[:4]]
        times = [record.fields["trash"].stamp.milliseconds for record in trashed]
        catalog.merge(trashed)
        assert set(catalog.expiring(FAR, 10)) == {record.key for record in made[:4]}
        assert set(catalog.expiring(times[2], 10)) == {record.key for record in made[:2]}
        assert len(catalog.expiring(FAR, 3)) == 3
        catalog.merge([writer.set(trashed[0], trash=False), writer.purge(trashed[1])])
        assert set(catalog.expiring(FAR, 10)) == {made[2].key, made[3].key}

    def test_statistics(self, catalog):
        """Entries outside the trash and in it, tags that live entries carry, and the live entries' bytes."""
        writer = Writer()
        assert dict(catalog.statistics()) == {"entries": 0, "trash": 0, "tags": 0, "bytes": 0}
        made = [writer.entry(f"f{each}", ["all", f"t{each}"], size=10**each, modified=START_MS) for each in range(4)]
        catalog.merge(made)
        assert dict(catalog.statistics()) == {"entries": 4, "trash": 0, "tags": 5, "bytes": 1111}
        catalog.merge([writer.trash(made[0]), writer.purge(made[1]), writer.tag(made[2], absent=["t2"])])
        assert dict(catalog.statistics()) == {"entries": 2, "trash": 1, "tags": 2, "bytes": 1100}

    def test_checkpoint_changes_nothing(self, catalog):
        """Answers before and after a checkpoint are the same."""
        writer = Writer()
        made = writer.entry("a", ["x"])
        catalog.merge([made])
        before = catalog.vector(), catalog.leaves(3), catalog.statistics()
        catalog.checkpoint()
        assert (catalog.vector(), catalog.leaves(3), catalog.statistics()) == before
        assert list(catalog.get([ref(made)])) == [made]

    def test_copy_to(self, catalog, tmp_path):
        """copy_to writes something into the directory while the catalog is in use."""
        writer = Writer()
        catalog.merge([writer.entry("a")])
        target = tmp_path / "copy"
        target.mkdir()
        catalog.copy_to(str(target))
        assert any(each.stat().st_size for each in target.iterdir())
