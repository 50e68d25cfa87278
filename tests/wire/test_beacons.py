"""Beacons: what one node encodes the others read, and nobody without the key makes one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.wire.beacons import LIMIT, Beacon, beacon_key, decode_beacon, encode_beacon

KEY = beacon_key(bytes(range(32)))
BEACON = Beacon("0123456789abcdefghjkmnpqrs", "b00t", "c1", "192.0.2.7:4747", 1_760_000_000_000)


@pytest.mark.parametrize(
    "beacon", [BEACON, BEACON._replace(cluster="", founding=True), BEACON._replace(address="[::1]:4747")]
)
def test_round_trip(beacon: Beacon) -> None:
    """A beacon is one printable line that fits a datagram, and is read as it was written."""
    datagram = encode_beacon(beacon, KEY)
    assert len(datagram) < LIMIT
    assert datagram.decode("ascii").rstrip("\n").isprintable()
    assert decode_beacon(datagram, KEY) == beacon


def test_another_key_makes_no_beacon() -> None:
    """A beacon of another cluster's key says nothing here."""
    assert decode_beacon(encode_beacon(BEACON, beacon_key(bytes(32))), KEY) is None


@given(st.data())
def test_no_changed_byte_is_taken(data: st.DataObject) -> None:
    """Whatever is changed in a beacon, it is none any more."""
    datagram = bytearray(encode_beacon(BEACON, KEY).rstrip(b"\n"))
    at = data.draw(st.integers(0, len(datagram) - 1))
    datagram[at] ^= data.draw(st.integers(1, 255))
    assert decode_beacon(bytes(datagram), KEY) in (None, BEACON if bytes(datagram).rstrip() == datagram else None)


@given(st.binary(max_size=600))
def test_anything_is_taken_calmly(junk: bytes) -> None:
    """Any bytes, with and without a beacon's beginning, are no beacon and no error."""
    assert decode_beacon(junk, KEY) is None
    assert decode_beacon(b"TAGFS-BEACON 1 " + junk, KEY) is None


@pytest.mark.parametrize("line", ["TAGFS-BEACON 1 node=n", "TAGFS-BEACON 1 node=n boot=b cluster=- address=a number=x"])
def test_who_has_the_key_may_still_be_of_another_version(line: str) -> None:
    """A line made with the key that lacks something, or has something odd, is ignored."""
    from tagfs.wire.beacons import _mac

    assert decode_beacon(line.encode() + b" mac=" + _mac(line.encode(), KEY), KEY) is None
