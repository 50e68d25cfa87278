"""Cursors as text."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import BadRequest
from tagfs.model.entry import id_from_bytes
from tagfs.model.order import SORT_KEYS, Cursor, Sort
from tagfs.wire.cursor import MAX_LENGTH, decode_cursor, encode_cursor, read_sort, sort_text

SORTS = st.builds(Sort, st.sampled_from(SORT_KEYS), st.booleans())
IDS = st.binary(min_size=16, max_size=16).map(id_from_bytes)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=63)


@given(SORTS, IDS, NAMES, st.integers(-(1 << 63), (1 << 63) - 1))
def test_round_trip(sort: Sort, identifier: str, name: str, number: int) -> None:
    """A cursor comes back as it was, in characters that URLs and lines take as they are."""
    cursor = Cursor(name if sort.key == "name" else number, identifier)
    text = encode_cursor(cursor, sort)
    assert decode_cursor(text, sort) == cursor
    assert len(text) <= MAX_LENGTH
    assert text.replace("-", "").replace("_", "").isalnum() and text.isascii()
    assert read_sort(sort_text(sort)) == sort


@given(SORTS, SORTS, IDS)
def test_other_order(sort: Sort, other: Sort, identifier: str) -> None:
    """A cursor of another order is refused, and says which it belongs to."""
    text = encode_cursor(Cursor("x" if sort.key == "name" else 5, identifier), sort)
    if other != sort:
        with pytest.raises(BadRequest, match=f"sort={sort_text(sort)};"):
            decode_cursor(text, other)


def packed(*parts: object) -> str:
    return urlsafe_b64encode(msgpack.packb(parts)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "äöü",
        "!" * 10,
        "A" * 2000,
        packed(),
        packed(2, 0, False, "a", bytes(16)),
        packed(1, 9, False, "a", bytes(16)),
        packed(1, -1, False, 5, bytes(16)),
        packed(1, 0, False, 5, bytes(16)),
        packed(1, 1, False, "a", bytes(16)),
        packed(1, 1, False, True, bytes(16)),
        packed(1, 0, False, "a", bytes(15)),
        packed(1, 0, False, "a", "x" * 16),
        packed(1, 0, False, "a", 16),
        packed(1, [], False, "a", bytes(16)),
    ],
)
def test_no_cursor(text: str) -> None:
    """Texts of others are refused, never half understood."""
    with pytest.raises(BadRequest, match="is no cursor"):
        decode_cursor(text, Sort("name"))


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """Whatever is handed in, it is a cursor or refused."""
    text = urlsafe_b64encode(data).decode()
    for sort in (Sort("name"), Sort("size", True)):
        try:
            decode_cursor(text, sort)
        except BadRequest:
            pass


@pytest.mark.parametrize("text", ["", "-", "colour", "Name", "--name", "+name"])
def test_no_order(text: str) -> None:
    """Only the four keys are orders."""
    with pytest.raises(BadRequest, match="sort by name, size, added, modified"):
        read_sort(text)
