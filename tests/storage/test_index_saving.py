"""A saved index comes back as it was, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_index_queries import STEPS, apply, contents

from tagfs.model.entry import Entry
from tagfs.storage.index import Index, saving, snapshot

tmp_per_test = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


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


@tmp_per_test
@given(before=STEPS, changes=st.lists(STEPS, min_size=1, max_size=12))
def test_changes_while_saving(
    tmp_path: Path, before: list[tuple[int, Entry | None]], changes: list[list[tuple[int, Entry | None]]]
) -> None:
    """What is saved is the moment it was begun at, whatever changes between its steps."""
    path = str(tmp_path / "index")
    index, table = Index(), {}
    apply(index, table, before)
    expected = contents(index)
    copy = index.begin_save()
    left = list(changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "_LABELS", 2)
        while copy.step():
            if left:
                apply(index, table, left.pop())
    after = contents(index)
    copy.write(path, b"")
    loaded = Index.load(path)
    assert loaded is not None
    assert contents(loaded[0]) == expected
    assert contents(index) == after


def test_many_rows_while_saving(tmp_path: Path) -> None:
    """Rows that come in bulk while a copy is being made are not in it."""
    path = str(tmp_path / "index")
    index, table = Index(), {}
    apply(index, table, [(number, None) for number in range(3)])
    expected = contents(index)
    copy = index.begin_save()
    index.put_many([], [])
    while copy.step():
        pass
    copy.write(path, b"")
    loaded = Index.load(path)
    assert loaded is not None
    assert contents(loaded[0]) == expected


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


def test_absent_or_foreign_is_refused(saved: Path, tmp_path: Path) -> None:
    """A file that is not there, or that another node saved, is not loaded."""
    assert Index.load(str(tmp_path / "absent"), "here") is None
    assert Index.load(str(saved), "there") is None


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


def test_a_copy_given_up(saved: Path) -> None:
    """A copy that another one was begun after cannot be written."""
    index = Index("here")
    first = index.begin_save()
    index.begin_save()
    with pytest.raises(AssertionError):
        first.step()
