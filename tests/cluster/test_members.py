"""Member and settings records: in and out of records, all of them in memory, what operators may order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.cluster.members import (
    SETTINGS,
    Roll,
    check_member,
    check_settings,
    member_fields,
    member_of,
    member_ref,
    pack,
    settings_fields,
    settings_of,
    unpack,
)
from tagfs.cluster.orders import find_member, order, settings_change
from tagfs.cluster.placement import Layout, Place
from tagfs.cluster.view import ClusterSettings, Member, View
from tagfs.errors import BadRequest, Conflict, Corrupt, NotFound, Unavailable
from tagfs.model.record import Field, Record, merge_all
from tagfs.model.stamp import Stamp

NAMES = st.text("abcäöü-", min_size=1, max_size=20)
MEMBERS = st.builds(
    Member,
    st.text("0123456789abcdef", min_size=26, max_size=26),
    NAMES,
    st.lists(st.sampled_from(["a:1", "b:2", "[::1]:3"]), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["", "east", "west"]),
    st.sampled_from(["", "h1"]),
    st.integers(1, 1000),
    st.sampled_from(["joined", "draining", "left", "forgotten"]),
    st.booleans(),
)
SETTINGS_VALUES = st.builds(
    ClusterSettings,
    st.integers(1, 16),
    st.integers(0, 16),
    st.integers(10, 31_536_000),
    st.integers(1, 36_500),
    st.booleans(),
)


def record_of(member: Member, time: int = 1, node: str = "w") -> Record:
    stamp = Stamp(time << 16, node)
    ref = member_ref(member.id)
    return Record(ref.kind, ref.key, {key: Field(value, stamp) for key, value in member_fields(member).items()})


def settings_record(settings: ClusterSettings, time: int = 1) -> Record:
    fields = {key: Field(value, Stamp(time << 16, "w")) for key, value in settings_fields(settings).items()}
    return Record(SETTINGS.kind, SETTINGS.key, fields)


@given(MEMBERS, SETTINGS_VALUES)
def test_records_carry_everything(member, settings):
    """A member and the settings come out of their records as they went in, also by way of a message."""
    assert member_of(record_of(member)) == member
    assert settings_of(settings_record(settings)) == settings
    assert check_member(member) == member
    records = (record_of(member), settings_record(settings))
    assert unpack(pack(records)) == records


def test_nonsense_is_no_member():
    """What makes no sense in a record is left out, setting by setting; a member without sense is none."""
    stamp = Stamp(1 << 16, "w")
    assert member_of(Record("member", "x", {"name": Field(3, stamp)})) is None
    assert member_of(record_of(Member("x", "n", ("a:1",)))._replace(fields={})) is None
    odd = Record(*SETTINGS, {"copies": Field(99, stamp), "trash_days": Field(7, stamp), "node_tls": Field(1, stamp)})
    assert settings_of(odd) == ClusterSettings(trash_days=7)
    assert settings_of(None) == ClusterSettings()


@pytest.mark.parametrize("body", [b"x", b"\x93\x01\x02\x03", pack([Record("entry", "x", {})]), b"\x91\xc4\x01x"])
def test_bodies_that_cannot_be_read(body):
    """A body that is no list of member and settings records is Corrupt."""
    with pytest.raises(Corrupt):
        unpack(body)


@pytest.mark.parametrize(
    "member",
    [
        Member("x", "", ("a:1",)),
        Member("x", "n", ()),
        Member("x", "n", ("a:1",) * 9),
        Member("x", "n" * 500, ("a:1",)),
        Member("x", "n\n", ("a:1",)),
        Member("x", "n", ("a:1",), capacity=0),
    ],
)
def test_members_are_bounded(member):
    """What could not be kept, or would swell, is no member."""
    with pytest.raises(BadRequest):
        check_member(member)


@given(
    st.lists(st.tuples(MEMBERS, st.integers(1, 5), st.sampled_from("abc")), max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_order_of_news_does_not_matter(news, rng):
    """Two rolls that learnt the same in any order have the same hash, members and layout; what one lacks brings it there."""
    records = [record_of(member._replace(id=member.id[0]), time, node) for member, time, node in news]
    shuffled = list(records)
    rng.shuffle(shuffled)
    one, other, late = Roll(), Roll(), Roll()
    one.learn(records)
    for record in shuffled:
        other.learn([record])
    assert (one.hash, one.members, one.layout) == (other.hash, other.members, other.layout)
    late.learn(records[: len(records) // 2])
    lacking = one.lacking(late.records.values())
    late.learn(lacking)
    assert late.hash == one.hash
    assert one.lacking(late.records.values()) == ()


def test_a_roll_knows_what_is_news():
    """A state that is known, or older, is no news; learning it changes nothing."""
    roll = Roll()
    first = record_of(Member("x", "n", ("a:1",)), 2)
    assert roll.learn([first])
    assert not roll.learn([first])
    older = record_of(Member("x", "old", ("a:1",)), 1)
    assert roll.news([first, older]) == ()
    newer = record_of(Member("x", "new", ("a:1",)), 3)
    assert roll.news([newer]) == (newer,)
    roll.learn([newer])
    assert roll.members["x"].name == "new"
    assert merge_all([first, newer]) == roll.records[member_ref("x")]


def test_who_is_in_the_layout():
    """Joined ones that are not out; draining ones belong to the cluster all the same."""
    roll = Roll()
    states = [("a", "joined", False), ("b", "draining", False), ("c", "left", False), ("d", "joined", True)]
    roll.learn([record_of(Member(id, id, ("a:1",), state=state, out=out)) for id, state, out in states])
    assert [place.node for place in roll.layout.places] == ["a"]
    assert roll.present() == ["a", "b", "d"]


def view_of(*members: Member, dead: str = "", me: str = "a") -> View:
    states = {member.id: "dead" if member.id in dead else "alive" for member in members}
    layout = Layout.of([Place(member.id) for member in members if member.in_layout], 3)
    alive = frozenset(id for id, state in states.items() if state == "alive")
    return View(me, "c", {member.id: member for member in members}, states, alive, layout)


A, B = Member("a", "ann", ("a:1",)), Member("bbbbb", "bob", ("b:1",))


def test_orders_write_states():
    """leave, drain and forget; a repeat writes nothing."""
    assert order(view_of(A, B), "leave", B) == {"state": "left"}
    assert order(view_of(A, B), "drain", B) == {"state": "draining"}
    assert order(view_of(A, B, dead="bbbbb"), "forget", B) == {"state": "forgotten"}
    drained = B._replace(state="draining")
    assert order(view_of(A, drained), "drain", drained) == {}
    left = B._replace(state="left")
    assert order(view_of(A, left), "forget", left) == {"state": "forgotten"}
    gone = B._replace(state="forgotten")
    assert order(view_of(A, gone), "leave", gone) == {}


@pytest.mark.parametrize(
    ("view", "what", "member", "words"),
    [
        (view_of(A, B), "forget", B, "alive"),
        (view_of(A, B, dead="bbbbb"), "leave", B, "forget it"),
        (view_of(A), "leave", A, "last one"),
        (view_of(A), "drain", A, "last one"),
        (view_of(A, B._replace(state="left")), "drain", B._replace(state="left"), "any more"),
    ],
)
def test_orders_that_make_no_sense(view, what, member, words):
    """What would harm is refused, and the answer says what to do."""
    with pytest.raises(Conflict, match=words):
        order(view, what, member)


def test_a_node_that_left_gives_no_orders():
    """Nor does one that is in no cluster yet."""
    left = A._replace(state="left")
    with pytest.raises(Unavailable):
        order(view_of(left, B), "leave", B)
    with pytest.raises(Unavailable):
        order(view_of(A, B)._replace(cluster=""), "leave", B)
    with pytest.raises(Unavailable):
        settings_change(view_of(A)._replace(cluster=""), {"copies": 2})


def test_nodes_are_found_by_id_name_or_beginning():
    """As people type them."""
    twin = Member("bbbbc", "eve", ("c:1",))
    view = view_of(A, B, twin)
    assert find_member(view, "a") == A
    assert find_member(view, "bob") == B
    assert find_member(view, "bbbbc") == twin
    with pytest.raises(Conflict):
        find_member(view, "bbbb")
    for text in ("bbb", "nobody"):
        with pytest.raises(NotFound):
            find_member(view, text)


def test_settings_are_checked():
    """Bounds, names, and what does not go together."""
    view = view_of(A)
    assert settings_change(view, {"copies": 3, "out_after": 60}) == {"out_after": 60}
    for wrong in ({"copies": 0}, {"copies": 17}, {"color": 1}, {"out_after": 9}, {"node_tls": 1}, {"copies": "3"}):
        with pytest.raises(BadRequest):
            check_settings(wrong)
    with pytest.raises(Conflict):
        settings_change(view, {"copies": 2, "write_copies": 3})
