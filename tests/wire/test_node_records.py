"""Bodies of the messages about records: what is packed is read back, and anything else is refused with a word."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import BadRequest, Corrupt
from tagfs.model.record import Field, Record, Ref, encode
from tagfs.model.stamp import Stamp
from tagfs.storage.interfaces import MAX_BATCH, SMALL_CONTENT, Changes
from tagfs.wire.node_records import (
    PulledPage,
    Push,
    Pushed,
    pack_changes,
    pack_numbers,
    pack_push,
    pack_vector,
    read_record,
    unpack_changes,
    unpack_numbers,
    unpack_push,
    unpack_vector,
)

ORIGINS = st.text(min_size=1, max_size=20)
VECTORS = st.dictionaries(ORIGINS, st.integers(0, 2**60), max_size=10)


def record(key="x"):
    return Record("tag", key, {"spelling": Field("X", Stamp(7, "n1"))})


@given(st.lists(st.tuples(st.binary(), st.lists(st.binary(max_size=50), max_size=3), st.booleans()), max_size=20))
def test_push(changes):
    """A PUSH comes back as it was; rows without contents are short."""
    made = [Pushed(10 + at, data, tuple(contents), fetch) for at, (data, contents, fetch) in enumerate(changes)]
    assert unpack_push(pack_push(10, 40, made)) == Push(10, 40, made)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb([0, 2, []]),
        msgpack.packb([3, 2, []]),
        msgpack.packb([1, 2, {}]),
        msgpack.packb([1, 2, [[3, b""]]]),
        msgpack.packb([1, 2, [[1, "text"]]]),
        msgpack.packb([1, 2, [[1, b"", [b""], 1]]]),
        msgpack.packb([1, 2, [[1, b"", b"c", True]]]),
        msgpack.packb([1, 2, [[1, b"", [b"x" * (SMALL_CONTENT + 1)], False]]]),
        msgpack.packb([1, 2, [[1, b""], [1, b""], [2, b""]]]),
        msgpack.packb([1, 10**6, [[1 + at, b""] for at in range(MAX_BATCH + 1)]]),
    ],
)
def test_push_refuses(body):
    """What is no PUSH is a BadRequest, whatever it is."""
    with pytest.raises(BadRequest):
        unpack_push(body)


@given(st.binary())
def test_nothing_else_escapes(body):
    """Random bytes are read or refused by every reader; no other error comes out."""
    for reader in (unpack_push, unpack_changes, unpack_vector, unpack_numbers, read_record):
        try:
            reader(body)
        except (BadRequest, Corrupt):
            pass


@given(VECTORS)
def test_vectors(vector):
    """A vector comes back whole; whatever its order, it is packed the same."""
    assert unpack_vector(pack_vector(vector)) == vector
    assert pack_vector(dict(reversed(vector.items()))) == pack_vector(vector)


@given(VECTORS, VECTORS, VECTORS)
def test_changes(known, vector, covered):
    """A page comes back with everything that a merge takes."""
    made = [record("a"), record("b")]
    page = Changes(made, vector, False, {Ref("tag", "a"): known, Ref("tag", "b"): {}}, covered)
    rows = [encode(made[0])]
    read = unpack_changes(pack_changes(rows, [made[1].ref], page))
    assert read == PulledPage((rows[0],), [made[1].ref], page.origins, vector, covered)


def test_numbers():
    """Numbers come back; a list that is too long, or of something else, is refused."""
    assert list(unpack_numbers(pack_numbers([3, 1]))) == [3, 1]
    for body in (msgpack.packb(["a"]), msgpack.packb(list(range(MAX_BATCH + 1)))):
        with pytest.raises(BadRequest):
            unpack_numbers(body)


def test_records_of_entries_need_an_id():
    """A record that no catalog would take is refused before it gets near one."""
    assert read_record(encode(record())) == record()
    with pytest.raises(BadRequest):
        read_record(encode(Record("entry", "no id", {})))
