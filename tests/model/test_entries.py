"""Entries: ids, what a record says of one, versions, trash and purge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import BadRequest
from tagfs.model.entry import (
    ID_LENGTH,
    PARTITIONS,
    Content,
    change,
    check_entry_id,
    compact,
    creation,
    digests,
    entry,
    entry_id,
    entry_id_for_key,
    home_of,
    id_bytes,
    id_from_bytes,
    is_gone,
    is_whole,
    partition,
    replacement,
    stamp_text,
    tagging,
)
from tagfs.model.record import encode, merge, merge_all
from tagfs.model.stamp import Stamp

ID = "01hzx3abcdefghjkmnpqabc128"
OLD = Content(b"\1" * 32, 10, "text/plain", 1000)
NEW = Content(b"\2" * 32, 20, "text/plain", 2000)
OTHER = Content(b"\3" * 32, 30, "text/plain", 3000)


def at(time, node="a"):
    return Stamp(time << 16, node)


def made(time=1, tags=("a", "b"), home=None):
    return creation(ID, at(time), "x.txt", OLD, 5, tags, home)


# Ids


@given(st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))
def test_ids_hold_time_and_noise(now, noise):
    """An id is its bytes in letters; its last byte, which is random, is its partition."""
    identifier = entry_id(now, noise)
    assert len(identifier) == ID_LENGTH
    assert id_bytes(identifier) == now.to_bytes(6, "big") + noise
    assert partition(identifier) == noise[-1] < PARTITIONS
    assert check_entry_id(identifier.upper()) == identifier


@given(st.binary(min_size=16, max_size=16))
def test_ids_come_back(data):
    """Bytes to id and back."""
    assert id_bytes(id_from_bytes(data)) == data


@given(st.lists(st.tuples(st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10)), min_size=2))
def test_ids_sort_by_time(several):
    """The order of ids as text is that of their bytes, time first."""
    assert sorted(entry_id(*each) for each in several) == [entry_id(*each) for each in sorted(several)]


@pytest.mark.parametrize(
    "text", ["", ID[:-1], ID + "0", ID[:-1] + "1", "u" + ID[1:], ID[:-1] + "é", "ı" * 26, " " + ID]
)
def test_what_is_no_id(text):
    """Wrong length, letters that are not used, and bits beyond the last byte are refused."""
    with pytest.raises(BadRequest, match="no entry id"):
        check_entry_id(text)


def test_a_key_names_one_entry_per_user():
    """An idempotency key gives the same id everywhere, another one to another user."""
    assert entry_id_for_key("ann", "k") == entry_id_for_key("ann", "k")
    assert entry_id_for_key("ann", "k") != entry_id_for_key("bob", "k")
    assert entry_id_for_key("ann", "k") != entry_id_for_key("ann", "l")
    assert check_entry_id(entry_id_for_key("ann", "k"))


# What a record says


def test_a_new_entry():
    """What was given at creation is what is read."""
    found = entry(made())
    assert found == (ID, "x.txt", OLD, 5, ("a", "b"), None, None, ())


def test_tags_are_fields_of_their_own():
    """Two nodes that tag at the same time never undo each other; the later word on one tag counts."""
    one = tagging(ID, at(2), present=["c"], absent=["a"])
    other = tagging(ID, at(2, "b"), present=["d"])
    assert entry(merge_all([made(), one, other])).tags == ("b", "c", "d")
    assert entry(merge_all([other, made(), tagging(ID, at(3), present=["a"]), one])).tags == ("a", "b", "c", "d")


def test_a_change_alone_is_no_entry():
    """A record that has only seen a tagging is not shown until the rest comes."""
    alone = tagging(ID, at(2), present=["c"])
    assert not is_whole(alone)
    assert is_whole(merge(alone, made()))


@pytest.mark.parametrize(
    ("tags", "home", "expected"),
    [(("b", "a"), None, "a/b"), (("B", "a"), None, "a/b"), (("a",), "", ""), (("a",), "x/Y", "x/Y"), ((), None, "")],
)
def test_homes(tags, home, expected):
    """The home is what was chosen, else the tags, folded and in order."""
    assert home_of(entry(made())._replace(tags=tags, home=home)) == expected


def test_replacing_keeps_the_old_content_as_a_version():
    """The present content is no version of itself; the one before is."""
    first = made()
    after = merge(first, replacement(first, at(2), NEW))
    assert entry(after).content == NEW
    assert [version.content for version in entry(after).versions] == [OLD]
    assert digests(after) == {OLD.digest, NEW.digest}


def test_both_of_two_concurrent_replacements_survive():
    """One content wins; the loser is a version."""
    first = made()
    after = merge_all([first, replacement(first, at(2), NEW), replacement(first, at(2, "b"), OTHER)])
    assert entry(after).content == OTHER
    assert [version.content for version in entry(after).versions] == [OLD, NEW]


def test_touching_makes_no_version():
    """The same bytes with another time are no other content."""
    first = made()
    after = merge(first, replacement(first, at(2), OLD._replace(modified=9)))
    assert entry(after).content.modified == 9
    assert entry(after).versions == ()


def test_an_expired_version_is_gone():
    """A version that was taken away is neither shown nor kept."""
    first = made()
    after = merge(first, replacement(first, at(2), NEW))
    expired = merge(after, change(ID, at(3), **{f"version:{stamp_text(at(1))}": None}))
    assert entry(expired).versions == ()
    assert digests(expired) == {NEW.digest}


def test_trash_and_restore():
    """The trash tells since when; restoring takes it out."""
    trashed = merge(made(), change(ID, at(7), trash=True))
    assert entry(trashed).trashed == 7
    assert entry(merge(trashed, change(ID, at(8), trash=False))).trashed is None


# Purge


def test_an_explicit_purge_beats_everything():
    """Nothing that is written later brings a purged entry back."""
    purged = merge(made(), change(ID, at(2), purged=True))
    for later in (made(9), change(ID, at(9), trash=False), tagging(ID, at(9), present=["z"])):
        assert is_gone(merge(purged, later))
    assert not is_whole(purged)
    assert digests(purged) == set()


def test_a_restore_defeats_an_automatic_purge():
    """An automatic purge names the trash stamp that it ends, so that a restore elsewhere, before or after, wins."""
    trashed = merge(made(), change(ID, at(2), trash=True))
    expired = merge(trashed, change(ID, at(50), expired=stamp_text(at(2))))
    assert is_gone(expired)
    restored = merge(trashed, change(ID, at(3), trash=False))
    assert is_whole(merge(compact(expired), restored))
    assert entry(merge(compact(expired), restored)) == entry(restored)


_field_changes = st.one_of(
    st.builds(lambda time, tag: tagging(ID, at(time), present=[tag]), st.integers(1, 5), st.sampled_from("ab")),
    st.builds(lambda time, trash: change(ID, at(time), trash=trash), st.integers(1, 5), st.booleans()),
    st.builds(lambda time, node: change(ID, at(time, node), purged=True), st.integers(1, 5), st.sampled_from("ab")),
    st.builds(made, st.integers(1, 5)),
)
_histories = st.lists(_field_changes, min_size=1, max_size=5).map(merge_all)


@given(_histories, _histories)
def test_compacting_explicit_purges_changes_no_outcome(one, other):
    """Dropping what nobody can see again may be done at any time on either side: all end with the same bytes."""
    whole = encode(compact(merge(one, other)))
    assert encode(compact(merge(compact(one), other))) == whole
    assert encode(compact(merge(one, compact(other)))) == whole
    assert encode(compact(merge(compact(one), compact(other)))) == whole


@given(_histories)
def test_compacting_keeps_what_can_be_seen(record):
    """Compacting is idempotent, leaves what is not gone alone, and never makes or unmakes a tombstone."""
    less = compact(record)
    assert compact(less) == less
    assert is_gone(less) == is_gone(record)
    if not is_gone(record):
        assert less == record
    else:
        assert digests(less) == set()
