"""Lanes: turns, slots, room; and how seldom things are said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tagfs.node.peers.lanes import Lanes
from tagfs.node.peers.seldom import EVERY_S, MOST, Seldom


def taken(lanes: Lanes[str]) -> list[str]:
    """All that can be taken now."""
    return [item[0] for item in iter(lanes.take, None)]


def test_lanes_take_turns() -> None:
    """One of each, in their order; urgent ones first."""
    lanes: Lanes[str] = Lanes(10, 100, 10)
    for name in ("PUT", "PUT", "PUT", "GET", "GET", "PING"):
        assert lanes.put(name, name, 1)
    assert taken(lanes) == ["PING", "PUT", "GET", "PUT", "GET", "PUT"]
    assert lanes.idle and not lanes.bytes


def test_slots_are_of_one_lane() -> None:
    """A full lane keeps no other from going on, and goes on when a slot is free."""
    lanes: Lanes[str] = Lanes(2, 100, 10)
    for number in range(4):
        assert lanes.put("SLOW", f"slow{number}", 1)
    assert lanes.put("GET", "get", 1)
    assert taken(lanes) == ["slow0", "get", "slow1"]
    lanes.free("SLOW", 1)
    assert not lanes.enter("SLOW", 1), "it would overtake"
    assert taken(lanes) == ["slow2"]
    lanes.free("SLOW", 1)
    assert lanes.clear() == ["slow3"] and lanes.enter("SLOW", 1)


def test_room() -> None:
    """Bytes count as well; one thing alone always goes."""
    lanes: Lanes[str] = Lanes(10, 100, 10)
    assert lanes.enter("PUT", 500)
    assert not lanes.enter("PUT", 1)
    lanes.free("PUT", 500)
    assert lanes.enter("PUT", 60) and not lanes.enter("PUT", 60)
    assert lanes.put("PUT", "a", 60) and lanes.put("PUT", "b", 60) and not lanes.put("PUT", "c", 60)
    assert taken(lanes) == []
    lanes.free("PUT", 60)
    assert taken(lanes) == ["a"]


@given(st.lists(st.tuples(st.sampled_from(["PING", "PUT", "GET"]), st.integers(0, 60), st.booleans())))
def test_nothing_is_lost(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever is put in comes out once, in the order of its lane, within slots and room."""
    lanes: Lanes[tuple[str, int]] = Lanes(3, 100, 5)
    put: list[tuple[str, int]] = []
    out: list[tuple[str, int]] = []
    under_way: list[tuple[str, int]] = []
    for number, (name, size, give_back) in enumerate(steps):
        if lanes.put(name, (name, number), size):
            put.append((name, number))
        if give_back and under_way:
            lanes.free(*under_way.pop(0))
        while (item := lanes.take()) is not None:
            thing, lane, bytes_ = item
            assert lane == thing[0]
            out.append(thing)
            under_way.append((lane, bytes_))
        for lane in ("PING", "PUT", "GET"):
            sizes = [bytes_ for name, bytes_ in under_way if name == lane]
            assert len(sizes) <= 3 and (len(sizes) == 1 or sum(sizes) <= 100)
    while under_way:
        lanes.free(*under_way.pop())
        while (item := lanes.take()) is not None:
            out.append(item[0])
            under_way.append(item[1:])
    assert sorted(out) == sorted(put)
    assert all(
        [thing for thing in out if thing[0] == lane] == [thing for thing in put if thing[0] == lane]
        for lane in ("PUT", "GET")
    )
    assert lanes.idle and not lanes.bytes


def test_seldom() -> None:
    """Each thing once in a while, and not too many things."""
    clock = Clock()
    seldom = Seldom(clock)
    assert seldom.may("a", 1) and seldom.may("a", 2) and not seldom.may("a", 1)
    clock.advance(EVERY_S + 1)
    assert seldom.may("a", 1)
    assert sum(seldom.may("b", number) for number in range(2 * MOST)) == MOST - 1
    clock.advance(EVERY_S + 1)
    assert seldom.may("b", 0)
