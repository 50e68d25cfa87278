"""A saved index comes back as it was, or not at all."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_samples import SAMPLE, entries
from test_index_queries import STEPS, apply, contents, row_at

from tagfs.model.entry import Entry
from tagfs.storage.index import Index, saving, snapshot

tmp_per_test = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)


@tmp_per_test
@given(before=STEPS, after=STEPS)
def test_round_trip(
    tmp_path: Path, before: list[tuple[int, Entry | None]], after: list[tuple[int, Entry | None]]
) -> None:
    """What is loaded equals what was saved, with its position, and goes on from there as if nothing had been."""
    path = str(tmp_path / "index")
    index, table = Index("here"), {}
    apply(index, table, before)
    index.save(path, b"up to here")
    loaded = Index.load(path, "here")
    assert loaded is not None
    again, position = loaded
    assert position == b"up to here"
    assert contents(again) == contents(index)
    apply(again, dict(table), after)
    apply(index, table, after)
    assert contents(again) == contents(index)


class BusyLock:
    """A lock that is let go: others change the index before it is taken again."""

    def __init__(self, index: Index, table: dict[int, Entry], changes: list[list[tuple[int, Entry | None]]]) -> None:
        self.index, self.table, self.changes = index, table, list(changes)

    def __enter__(self) -> None:
        if self.changes:
            apply(self.index, self.table, self.changes.pop())

    def __exit__(self, *about: object) -> None:
        pass


@tmp_per_test
@given(before=STEPS, changes=st.lists(STEPS, min_size=1, max_size=12))
def test_changes_while_saving(
    tmp_path: Path, before: list[tuple[int, Entry | None]], changes: list[list[tuple[int, Entry | None]]]
) -> None:
    """What is saved is the moment it was begun at, whatever changes meanwhile; and the changes are all made."""
    path = str(tmp_path / "index")
    index, table = Index(), {}
    apply(index, table, before)
    expected = contents(index)
    begun = index.begin_save()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "_LABELS", 2)
        begun.write(path, b"", BusyLock(index, table, changes))
    loaded = Index.load(path)
    assert loaded is not None
    assert contents(loaded[0]) == expected
    fresh = Index()
    fresh.put_many(sorted(table), [table[row] for row in sorted(table)])
    assert contents(index) == contents(fresh)


@tmp_per_test
@given(before=st.lists(entries(), max_size=20), after=st.lists(entries(), max_size=20))
def test_many_rows_while_saving(tmp_path: Path, before: list[Entry], after: list[Entry]) -> None:
    """Rows that come in bulk after the moment that is saved are not in it, also where they come between its rows."""
    path = str(tmp_path / "index")
    index = Index()
    index.put_many([row_at(2 * number) for number in range(len(before))], before)
    expected = contents(index)
    begun = index.begin_save()
    index.put_many([row_at(2 * number + 1) for number in range(len(after))], after)
    begun.write(path, b"", nullcontext())
    loaded = Index.load(path)
    assert loaded is not None
    assert contents(loaded[0]) == expected


@pytest.mark.parametrize("changed", [
    SAMPLE._replace(tags=("other",)),
    SAMPLE._replace(tags=()),
    SAMPLE._replace(trashed=9),
    SAMPLE._replace(content=SAMPLE.content._replace(type="image/png")),
    SAMPLE._replace(content=SAMPLE.content._replace(size=99, modified=99)),
    None,
])  # fmt: skip
def test_one_change_while_saving(tmp_path: Path, changed: Entry | None) -> None:
    """What is saved is the entry as it was before it changed in any of the ways there are."""
    path = str(tmp_path / "index")
    index = Index()
    index.put(row_at(0), SAMPLE)
    expected = contents(index)
    begun = index.begin_save()
    apply(index, {row_at(0): SAMPLE}, [(0, changed)])
    assert contents(index) != expected
    begun.write(path, b"", nullcontext())
    loaded = Index.load(path)
    assert loaded is not None
    assert contents(loaded[0]) == expected


def test_holders_are_not_saved(tmp_path: Path) -> None:
    """After a load, as after any start, this node holds everything and others nothing until it is told otherwise."""
    path = str(tmp_path / "index")
    index, table = Index("here"), {}
    apply(index, table, [(1, SAMPLE)])
    index.set_held("here", table, False)
    index.set_held("there", table, True)
    index.save(path, b"")
    loaded = Index.load(path, "here")
    assert loaded is not None
    assert [index.holders(row) for row in table] == [(["there"], 0)]
    assert [loaded[0].holders(row) for row in table] == [(["here"], 1)]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A small saved index."""
    path = tmp_path / "index"
    Index("here").save(str(path), b"position")
    return path


def test_every_damaged_byte_is_noticed(saved: Path) -> None:
    """A file with any one byte changed, cut off or added is refused."""
    whole = saved.read_bytes()
    for at in range(len(whole)):
        saved.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert Index.load(str(saved), "here") is None
        saved.write_bytes(whole[:at])
        assert Index.load(str(saved), "here") is None
    saved.write_bytes(whole + b"\0")
    assert Index.load(str(saved), "here") is None
    saved.write_bytes(whole)
    assert Index.load(str(saved), "here") is not None


def test_absent_is_none(tmp_path: Path) -> None:
    """Where nothing was saved, nothing is loaded."""
    assert Index.load(str(tmp_path / "absent"), "here") is None


def test_a_failed_save_leaves_the_old_one(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing fails, what was saved before is still there, and nothing else is left behind."""

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        Index("here").save(str(saved), b"later")
    loaded = Index.load(str(saved), "here")
    assert loaded is not None
    assert loaded[1] == b"position"
    assert list(saved.parent.iterdir()) == [saved]


def test_a_save_given_up(saved: Path) -> None:
    """What another was begun after, or was written already, cannot be written."""
    index = Index("here")
    first, second = index.begin_save(), index.begin_save()
    with pytest.raises(AssertionError):
        first.write(str(saved), b"", nullcontext())
    second.write(str(saved), b"", nullcontext())
    with pytest.raises(AssertionError):
        second.write(str(saved), b"", nullcontext())
