"""Records: the laws of merge, and their canonical bytes."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import Corrupt
from tagfs.model.record import FORMAT, Field, Record, Ref, decode, decode_canonical, encode, merge, merge_all
from tagfs.model.stamp import ZERO, Stamp

scalars = st.one_of(
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.text(max_size=5).filter(lambda text: text.isascii() or text.encode(errors="ignore").decode() == text),
    st.binary(max_size=5),
    st.none(),
)
contents = st.one_of(scalars, st.tuples(scalars, scalars))
# Few times, nodes and names, so that states meet in all of them, also in equal stamps with different values.
stamps = st.builds(Stamp, st.integers(0, 3), st.sampled_from(["", "a", "b"]))
states = st.dictionaries(
    st.sampled_from(["name", "home", "tag:x", "tag:y", "é"]), st.builds(Field, contents, stamps), max_size=5
).map(lambda fields: Record("entry", "k", fields))


@given(states, states)
def test_merge_is_commutative(one, other):
    """Which state came first does not matter."""
    assert encode(merge(one, other)) == encode(merge(other, one))


@given(states, states, states)
def test_merge_is_associative(one, two, three):
    """How states are grouped on their way does not matter."""
    assert encode(merge(merge(one, two), three)) == encode(merge(one, merge(two, three)))


@given(states, states)
def test_merge_is_idempotent(one, other):
    """Repeating a state, or a part of what was merged, changes nothing."""
    merged = merge(one, other)
    assert merge(one, one) == one
    assert encode(merge(merged, other)) == encode(merged)
    assert encode(merge(merged, one)) == encode(merged)


@given(states, states)
def test_merge_keeps_the_greater_stamp_of_every_field(one, other):
    """No field is lost, and none goes back."""
    merged = merge(one, other)
    assert merged.fields.keys() == one.fields.keys() | other.fields.keys()
    for name, field in merged.fields.items():
        assert field.stamp == max(state.fields[name].stamp for state in (one, other) if name in state.fields)
    assert merged.greatest() == max(one.greatest(), other.greatest())


@given(states, states)
def test_merge_changes_neither_state(one, other):
    """States are values."""
    before = encode(one), encode(other)
    merge(one, other)
    assert (encode(one), encode(other)) == before


@given(st.lists(states, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_any_order_of_delivery_gives_one_state(several, random):
    """Lost, doubled and reordered deliveries converge."""
    shuffled = several + random.sample(several, len(several) // 2)
    random.shuffle(shuffled)
    assert encode(merge_all(shuffled)) == encode(merge_all(several))


def test_two_records_are_never_merged():
    """Merging states of two refs is a bug of the caller, and says so."""
    with pytest.raises(AssertionError):
        merge(Record("entry", "a", {}), Record("entry", "b", {}))


@given(states)
def test_bytes_come_back(record):
    """Decoding gives what was encoded, to the type of each value."""
    decoded = decode(encode(record))
    assert decoded == record
    assert {name: type(field.value) for name, field in decoded.fields.items()} == {
        name: type(field.value) for name, field in record.fields.items()
    }


@given(states, st.randoms(use_true_random=False))
def test_bytes_are_canonical(record, random):
    """Equal states have equal bytes, in whatever order their fields were written."""
    names = list(record.fields)
    random.shuffle(names)
    shuffled = record._replace(fields={name: record.fields[name] for name in names})
    assert encode(shuffled) == encode(record)


@given(states, states)
def test_what_came_canonical_is_not_encoded_again(one, other):
    """A record read with its bytes gives them back; what is merged or replaced from it is encoded anew."""
    data = encode(one)
    read = decode_canonical(data)
    assert read == one
    assert encode(read) is data
    assert encode(merge(read, other)) == encode(merge(one, other))
    assert encode(read._replace(fields={})) == encode(one._replace(fields={}))


@pytest.mark.parametrize(
    ("stamps", "names", "values", "numbers"),
    [
        ([(1, "a")], ["name", "home"], ["x", "y"], [0, 0]),
        ([(1, "a")], ["name", "name"], ["x", "y"], [0, 0]),
        ([(2, "a"), (1, "a")], ["home", "name"], ["x", "y"], [0, 1]),
        ([(1, "a"), (1, "a")], ["home", "name"], ["x", "y"], [0, 1]),
        ([(1, "a"), (2, "a")], ["home", "name"], ["x", "y"], [0, 0]),
    ],
)
def test_what_did_not_come_canonical_is_encoded_again(stamps, names, values, numbers):
    """Bytes in another order than ours are read, and not kept."""
    data = msgpack.packb((FORMAT, "entry", "k", stamps, names, values, numbers))
    read = decode_canonical(data)
    assert read == decode(data)
    assert encode(read) == encode(decode(data)) != data


@given(
    st.one_of(
        st.binary(), states.map(encode).flatmap(lambda data: st.integers(0, len(data) - 1).map(lambda n: data[:n]))
    )
)
def test_other_bytes_are_refused(data):
    """What encode did not write, torn or made up, raises Corrupt and nothing else."""
    with pytest.raises(Corrupt):
        decode(data)


@pytest.mark.parametrize(
    "packed",
    [
        (FORMAT, 1, "k", [], [], [], []),
        (FORMAT, "entry", b"k", [], [], [], []),
        (FORMAT, "entry", "k", [(1, "a")], [b"name"], ["x"], [0]),
        (FORMAT, "entry", "k", [("1", "a")], ["name"], ["x"], [0]),
        (FORMAT, "entry", "k", [(1, 2)], ["name"], ["x"], [0]),
        (FORMAT, "entry", "k", [(1, "a", "b")], ["name"], ["x"], [0]),
        (FORMAT, "entry", "k", [(1, "a")], ["name"], [1.5], [0]),
        (FORMAT, "entry", "k", [(1, "a")], ["name"], [{"a": 1}], [0]),
        (FORMAT, "entry", "k", [(1, "a")], ["name"], [("a", (1.5,))], [0]),
        (FORMAT, "entry", "k", [(1, "a")], ["name"], ["x"], [1]),
        (FORMAT, "entry", "k", [(1, "a")], ["name"], ["x"], ["0"]),
        (FORMAT, "entry", "k", [(1, "a")], ["name", "home"], ["x"], [0]),
        (FORMAT, "entry", "k", [(1, "a")], 5, ["x"], [0]),
        (FORMAT, "entry", "k"),
    ],
)
def test_wrong_types_are_refused(packed):
    """A peer cannot bring in a record that breaks whoever reads it."""
    with pytest.raises(Corrupt):
        decode(msgpack.packb(packed))


def test_endless_nesting_is_refused():
    """Values inside each other without end are Corrupt, not a crash."""
    data = msgpack.packb((FORMAT, "entry", "k", [(1, "a")], ["name"], [None], [0]))
    assert data.count(b"\xc0") == 1
    for depth in (500, 100_000):
        with pytest.raises(Corrupt):
            decode(data.replace(b"\xc0", b"\x91" * depth + b"\xcb" + bytes(8)))


def test_a_newer_format_is_told_apart():
    """Bytes of a later version of tagfs are refused with advice, not misread."""
    newer = msgpack.packb((FORMAT + 1, "entry", "k", [], [], [], []))
    with pytest.raises(Corrupt, match="upgrade"):
        decode(newer)


def test_reading_fields():
    """A field that was never written has the default, and a record without fields no stamp."""
    record = Record("tag", "x", {"spelling": Field("X", Stamp(1, "a"))})
    assert record.ref == Ref("tag", "x")
    assert record.value("spelling") == "X"
    assert record.value("declared", False) is False
    assert record.greatest() == Stamp(1, "a")
    assert Record("tag", "x", {}).greatest() == ZERO
