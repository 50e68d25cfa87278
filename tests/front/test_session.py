"""Sessions of the tag port: order, overlap, bounds, ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tagfs.errors import StorageFull
from tagfs.front.ftp.door import Limits
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb, table
from tagfs.front.ftp.verbs import TAG_VERBS
from tagfs.model.principal import Role
from tests.front.fake_node import FakeNode
from tests.front.wire_session import Gate, MemoryTransport, WireSession

WORDS = [
    *(f"{name.decode()} ".encode() for name in TAG_VERBS),
    *(b"\r\n", b"\n", b" | ", b'"', b"a", b"ADD 3 x t\r\n", b"ADD 99 x\r\n", b"ADD 999 a/b\r\n", b"\xff\xfa", b"Host:"),
]


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def session(node: FakeNode) -> WireSession:
    made = WireSession(node)
    made.lines()
    return made


def stored(session: WireSession, name: str, *tags: str, content: bytes = b"x") -> str:
    """The id of a new entry."""
    session.lines()
    session.send(f"ADD {len(content)} {name} {' '.join(tags)}\r\n".encode() + content)
    return session.lines()[-1].split()[1]


def test_many_tags_are_told_in_parts(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between parts other sessions have their turn; a client that leaves between two stops it."""
    monkeypatch.setattr("tagfs.front.ftp.tag_verbs_find.TAGS_AT_ONCE", 2)
    session = WireSession(node)
    stored(session, "file", "a", "b", "c", "d", "e")
    session.protocol.dataReceived(b"TAGS\r\n")
    assert len(session.lines()) == 3
    other = WireSession(node, factory=session.factory, clock=session.clock)
    other.protocol.dataReceived(b"NOOP\r\n")
    assert other.codes() == ["220 ", "200 "]
    session.settle()
    assert session.codes()[-4:] == [" 1\tc", " 1\td", " 1\te", "214 "]
    session.protocol.dataReceived(b"TAGS\r\n")
    assert any(call.getTime() <= session.clock.seconds() for call in session.clock.getDelayedCalls())
    session.protocol.connectionLost(Failure(ConnectionDone()))
    assert not any(call.getTime() <= session.clock.seconds() for call in session.clock.getDelayedCalls())


# Lines


def test_greets_and_answers(node: FakeNode) -> None:
    """A session greets, answers what it knows and what it does not, and ends by QUIT."""
    session = WireSession(node)
    session.send(b"noop\nXYZZY\r\nhelp quit\nQUIT\nNOOP\n")
    assert session.codes() == ["220 ", "200 ", "500 ", "214-", " end", "214 ", "221 "]
    assert session.closed


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("INFO x", "501 column 1: "),
        ("ADD-TAGS beach | a/b", "501 column 9: "),
        ("ADD-TAGS pipe | x | y", "501 column 10: "),
        ("DELETE-TAG a|b", "501 column 2: "),
        ("GET x | offset=1", "501 column 1: "),
        ("COUNT ä\x01", "501 column 2: a command line has no control characters"),
        ("UNSAVE", "501 column 1: something is missing, expected one name"),
        ("USER-ADD a:b read\r\npw", "501 column 1: "),
        ("HELP  frobnicate", "501 column 2: there is no command FROBNICATE"),
        ("HELP find x", "501 column 6: too many words, expected one command"),
        ("USERS x", "501 column 1: "),
    ],
)
def test_refusals_name_the_column(session: WireSession, line: str, answer: str) -> None:
    """A 501 for an argument says where in it."""
    assert session.ask(line)[-1].startswith(answer)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"NO\x00OP", "500 "),
        (b"NOOP \x00", "501 "),
        (b"COUNT a\rb", "501 "),
        (b"COUNT \xff\xff\xfe", "501 "),
        (b"COUNT \xc3\xa4\tb", "213 "),
        (b"\x16\x03\x01\x02", "500 "),
        (b"", "500 "),
        (b"   NOOP", "200 "),
        (b"x" * 70_000, "500 "),
        (b"ADD", "501 "),
        (b"FIND | limit=", "501 "),
        (b"FIND | sort=colour", "501 "),
        (b"FIND | after=xyz", "501 "),
        (b'FIND "a', "501 "),
        (b"INFO", "501 "),
        (b"INFO a b", "501 "),
        (b"RENAME 00000000000000000000000000", "501 "),
        (b"SYNC soon", "501 "),
        (b"USERS x", "501 "),
        (b"USER-REMOVE", "501 "),
        (b"USER-ROLE a b c", "501 "),
        (b"USER-ROLE a owner", "501 "),
        (b"HELP frobnicate", "501 "),
    ],
)
def test_refused_lines_keep_the_session(session: WireSession, line: bytes, code: str) -> None:
    """Whatever a line holds, it gets one reply, and the next one is in step (but for an ADD without a size)."""
    session.send(line + b"\r\nCOUNT\r\n")
    codes = session.codes()
    assert codes[0] == code
    assert codes[1] == ("421 " if line == b"ADD" else "213 ")


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b"POST /x HTTP/1.0",
        b"GET /",
        b"delete /x",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"GET http://127.0.0.1:2121/",
        b"PROPFIND / HTTP/2",
        b"Host: 127.0.0.1:2121",
        b"Origin:null",
        b"X-a_b: DELETE x",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1",
        b"FOO " + b"a" * 70_000 + b" HTTP/1.1",
    ],
)
@pytest.mark.parametrize("before", [b"", b"NOOP\r\n", b"ADD 3 y t\r\nabcCOUNT\r\n"])
def test_http_closes_at_once(node: FakeNode, session: WireSession, line: bytes, before: bytes) -> None:
    """A line that looks like HTTP ends the session, and nothing behind it runs, in the same segment or later."""
    stored(session, "a.txt", "beach")
    session.send(before + line + b"\r\nDELETE beach\r\n")
    assert session.closed
    session.send(b"DELETE beach\r\n")
    assert all(entry.trashed is None for entry in node.entries.values())


def test_http_closes_though_something_runs(node: FakeNode, session: WireSession) -> None:
    """HTTP behind a command that waits does not wait for it."""
    node.listing_gate = Gate()
    session.send(b"FIND\r\nGET / HTTP/1.1\r\n")
    assert session.closed
    assert node.listings_closed == 1


def test_get_by_id_is_no_http(session: WireSession) -> None:
    """GET of an entry is told apart from GET of HTTP."""
    identifier = stored(session, "a.txt", content=b"abc")
    assert session.ask(f"GET {identifier.upper()}") == ["150 3", "abc226 sent"]


def test_telnet_options_are_refused(session: WireSession) -> None:
    """A telnet client's negotiation is answered, and its commands are read."""
    session.send(b"\xff\xfd\x03\xff\xfb\x18NO\xff\xf1OP\r\n")
    assert session.rest == b"200 OK\r\n\xff\xfc\x03\xff\xfe\x18"


# Order and overlap


def test_adds_overlap_and_answer_in_order(node: FakeNode, session: WireSession) -> None:
    """ADDs become durable together; replies keep the order of the commands, whichever is done first."""
    gate = node.gate = Gate()
    session.send(b"ADD 1 a\r\nAADD 1 b\r\nBADD 1 c\r\nCCOUNT\r\n")
    assert len(gate.waiting) == 3
    assert session.codes() == ["150 "]
    gate.open(2)
    gate.open(1)
    assert session.codes() == []
    gate.open(0)
    session.settle()
    assert session.codes() == ["250 ", "150 ", "250 ", "150 ", "250 ", "213 "]
    assert [entry.name for entry in node.entries.values()] == ["c", "b", "a"]


def test_reads_its_own_writes(node: FakeNode, session: WireSession) -> None:
    """A command behind ADDs sees what they stored, and an ADD behind it waits."""
    gate = node.gate = Gate()
    session.send(b"ADD 1 a\r\nACOUNT\r\nADD 1 b\r\nBCOUNT\r\n")
    assert len(gate.waiting) == 1
    gate.open()
    assert session.lines()[-2:] == ["213 1", "150 the content"]
    gate.open()
    assert session.lines()[-1] == "213 2"


def test_overlap_is_bounded(node: FakeNode) -> None:
    """No more ADDs run at once than the bounds on their number and their bytes allow; all come to their end."""
    for limits in (Limits(overlap=3), Limits(overlap_bytes=3000)):
        gate = node.gate = Gate()
        session = WireSession(node, limits=limits)
        session.send(b"".join(b"ADD 1000 n%d\r\n" % number + bytes(1000) for number in range(10)))
        assert len(gate.waiting) == 3
        for _ in range(10):
            assert len(gate.waiting) <= 3
            gate.open()
        session.settle()
        assert session.codes().count("250 ") == 10


def test_what_ends_together_is_said_together(node: FakeNode, session: WireSession) -> None:
    """ADDs that become durable in one commit are answered in one piece; one by itself is answered without a turn."""
    gate = node.gate = Gate()
    written: list[bytes] = []
    session.transport.write = written.append
    session.send(b"".join(b"ADD 1 n%d\r\nA" % number for number in range(10)))
    for ending in (6, 4):
        written.clear()
        for _ in range(ending):
            gate.open()
        session.settle()
        assert len(written) == 1 and written[0].count(b"250 ") == ending
    session.send(b"ADD 1 last\r\nA")
    written.clear()
    gate.open()
    assert len(written) == 1


def test_what_was_not_said_yet_goes_out_at_the_end_or_nowhere(node: FakeNode) -> None:
    """A session that ends in between says it all before; a client that is gone leaves nothing behind."""
    for end in ("shut_down", "lose"):
        gate = node.gate = Gate()
        session = WireSession(node)
        session.send(b"ADD 1 a\r\nAADD 1 b\r\nB")
        gate.open()
        if end == "lose":
            session.lose()
        else:
            session.protocol.shut_down("stopping")
            gate.open()
            assert session.codes() == ["220 ", "150 ", "250 ", "150 ", "250 ", "421 "]
        session.lines()
        assert not [call for call in session.clock.getDelayedCalls() if call.getTime() <= session.clock.seconds()]


def test_pipeline_is_bounded(node: FakeNode) -> None:
    """While too many commands wait the session stops reading, and goes on when they are done."""
    gate = node.listing_gate = Gate()
    session = WireSession(node, limits=Limits(pipeline=10))
    session.send(b"FIND\r\n" + b"NOOP\r\n" * 50)
    assert session.transport.producerState == "paused"
    gate.open()
    assert session.transport.producerState == "producing"
    assert session.codes().count("200 ") == 50


def test_long_pipeline_behind_a_slow_command(node: FakeNode, session: WireSession) -> None:
    """A thousand commands that waited are run one after the other, however many there are."""
    gate = node.listing_gate = Gate()
    session.send(b"FIND\r\n" + b"NOOP\r\n" * 5000)
    gate.open()
    session.settle()
    assert session.codes().count("200 ") == 5000


def test_one_session_does_not_keep_the_others_waiting(node: FakeNode) -> None:
    """After a slice of its commands a session lets others run first."""
    session = WireSession(node, limits=Limits(slice=10))
    session.lines()
    session.protocol.dataReceived(b"NOOP\r\n" * 25)
    assert session.codes() == ["200 "] * 10
    assert session.transport.producerState == "paused"
    session.settle()
    assert session.codes() == ["200 "] * 15
    assert session.transport.producerState == "producing"


def test_pipelined_in_any_split(node: FakeNode) -> None:
    """Byte by byte or at once: the same replies."""
    stream = b"ADD 4 a t\r\nQUITCOUNT t\r\nFIND t | limit=0\r\nNOPE\r\nADD 2 b t\nxyCOUNT\r\n"
    whole, pieces = WireSession(FakeNode()), WireSession(FakeNode())
    whole.send(stream)
    for at in range(len(stream)):
        pieces.send(stream[at : at + 1])
    assert pieces.rest == whole.rest
    assert whole.lines()[-1] == "213 2"


# Contents


def test_refused_content_is_dropped(node: FakeNode, session: WireSession) -> None:
    """The bytes of an ADD that is refused are dropped, however it is wrong, so that none of them runs."""
    node.passwords["u"] = ("p", Role.READ)
    for line in (
        b"ADD 6 ok",  # not logged in
        b"\tADD\t6\tok\t-tag",
        b"ADD 6",
        b'ADD 6 "a/b"',
        b"ADD 6 a -tag",
        b'ADD 6 "a',
        b"ADD 6 a | folder=../x",
        b"ADD 6 a | modified=yesterday",
        b"ADD 6 a\x00",
        b"ADD 6 a\xff\xff\xfe",
        b"ADD 6 " + b"x" * 70_000,
    ):
        session.send(line + b"\r\nNOPE\r\nNOOP\r\n")
        codes = session.codes()
        assert len(codes) == 2, (line, codes)
        assert codes[0][0] == "5"
        assert codes[1] == "200 "
        node.passwords.clear()
    node.read_only = "the disk is sick"
    session.send(b"ADD 6 a\r\nNOPE\r\nNOOP\r\n")
    assert session.codes() == ["451 ", "200 "]
    assert not node.entries


def test_error_in_mid_content(node: FakeNode, session: WireSession) -> None:
    """A disk that fills up while the content comes is told at once; the rest of the content is dropped."""
    wait: Deferred[None] = Deferred()
    node.write_wait = lambda: wait
    session.send(b"ADD 10 a\r\n12345")
    assert session.codes() == ["150 "]
    wait.errback(StorageFull("the disk is full"))
    assert session.lines() == ["452 the disk is full"]
    session.send(b"NOOP\nNOOP\n")
    assert session.codes() == ["200 "]
    assert node.aborted == 1


@pytest.mark.parametrize(
    "size", [b"-1", b"five", b"1e3", b"99999999999999999999999", b"0x10", b"1_0", b"", b"\xd9\xa1"]
)
def test_unreadable_size_ends_the_session(node: FakeNode, session: WireSession, size: bytes) -> None:
    """Where the size cannot be read nothing behind the line runs: it could be content."""
    stored(session, "a", "beach")
    session.send(b"ADD " + size + b" name\r\nDELETE beach\r\n")
    assert session.codes() == ["501 ", "421 "]
    assert session.closed
    session.send(b"DELETE beach\r\n")
    assert node.entries.popitem()[1].trashed is None


def test_too_much_to_drop(session: WireSession) -> None:
    """A refused content over the bound ends the session after its error."""
    session.send(b"ADD 100000000 a/b\r\nxxx")
    assert session.codes() == ["501 ", "421 "]
    assert session.closed


def test_refusal_out_of_turn_closes_in_turn(node: FakeNode) -> None:
    """An ADD that is refused with too much to drop ends the session only after those before it are answered."""
    gate = node.gate = Gate()
    session = WireSession(node, limits=Limits(drop=10))
    session.lines()
    session.send(b"ADD 1 a\r\nAADD 100 a/b\r\n")
    assert session.codes() == ["150 "]
    assert not session.closed
    gate.open()
    assert session.codes() == ["250 ", "501 ", "421 "]
    assert session.closed


def test_empty_content(node: FakeNode, session: WireSession) -> None:
    """Zero bytes are a content."""
    session.send(b"ADD 0 a\r\nADD 00 b\r\nCOUNT size:0\r\n")
    assert session.lines()[-1] == "213 2"


def test_content_looks_like_commands(node: FakeNode, session: WireSession) -> None:
    """Bytes of a content are never read as lines, telnet or HTTP."""
    content = b"GET / HTTP/1.1\r\nHost: x\r\n\xff\xfd\x03QUIT\r\n"
    stored(session, "a", content=content)
    assert [*node.blobs.values()] == [content]


def test_connection_lost_inside_add(node: FakeNode, session: WireSession) -> None:
    """An ADD that breaks off stores nothing, lost or ended."""
    session.send(b"ADD 5 a\r\nabc")
    session.lose()
    other = WireSession(node)
    other.send(b"ADD 5 a\r\nabc")
    other.end()
    assert other.closed
    assert not node.entries
    assert node.aborted == 2


def test_add_with_all_bytes_survives_the_client(node: FakeNode, session: WireSession) -> None:
    """A change that has all it needs comes to its end though nobody hears of it."""
    gate = node.gate = Gate()
    session.send(b"ADD 1 a\r\nA")
    session.lose()
    gate.open()
    assert len(node.entries) == 1


def test_contents_in_memory_are_bounded(node: FakeNode) -> None:
    """While the store does not take the bytes of a content the session stops reading."""
    waits: list[Deferred[None]] = []

    def wait() -> Deferred[None]:
        waits.append(Deferred())
        return waits[-1]

    node.write_wait = wait
    session = WireSession(node, limits=Limits(held=1000))
    session.send(b"ADD 5000 a\r\n")
    for _ in range(3):
        session.send(bytes(600))
    assert session.transport.producerState == "paused"
    waits.pop().callback(None)
    assert session.transport.producerState == "producing"
    node.write_wait = None
    waits.pop().callback(None)
    session.send(bytes(3200))
    assert session.codes()[-1] == "250 "


def test_same_key_twice(node: FakeNode, session: WireSession) -> None:
    """A repeat with the same key names the first entry and stores nothing."""
    session.send(b"ADD 1 a | key=k\r\nAADD 1 b | key=k\r\nB")
    first, second = (line for line in session.lines() if line.startswith("250"))
    assert first == second
    assert len(node.entries) == 1


# The client does not read


def test_find_waits_for_the_client(node: FakeNode, session: WireSession) -> None:
    """FIND makes no more rows than the client takes, and commands behind it wait."""
    session.send(b"".join(b"ADD 1 n%d t\r\nx" % number for number in range(2000)))
    session.lines()
    pages = 0

    def counted() -> Deferred[None]:
        nonlocal pages
        pages += 1
        session.protocol.pauseProducing()
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    node.listing_gate = counted
    session.send(b"FIND\r\nNOOP\r\n")
    for expected in range(1, 5):
        assert pages == expected
        session.protocol.resumeProducing()
    session.protocol.resumeProducing()
    assert session.lines()[-2:] == ["213 total=2000 complete=yes", "200 OK"]


def test_client_that_never_reads_is_dropped(node: FakeNode) -> None:
    """Output that nobody reads ends the session after the stall time-out, and its FIND with it."""
    session = WireSession(node, limits=Limits(stall_s=60))
    stored(session, "a")
    node.listing_gate = Gate()
    session.send(b"FIND\r\n")
    session.protocol.pauseProducing()
    node.listing_gate.open()
    session.clock.pump([10] * 5)
    assert not session.closed
    session.clock.pump([10] * 3)
    assert session.transport.aborted
    session.lose()
    assert node.listings_closed == 1


def test_client_that_sends_no_content_is_dropped(node: FakeNode) -> None:
    """An announced content that does not come ends the session after the stall time-out."""
    session = WireSession(node, limits=Limits(stall_s=60))
    session.send(b"ADD 10 a\r\n")
    session.clock.pump([10] * 5)
    session.send(b"1")
    session.clock.pump([10] * 5)
    assert not session.closed
    session.clock.pump([10] * 3)
    assert session.transport.aborted
    session.lose()
    assert node.aborted == 1


def test_client_that_sends_no_password_is_dropped(node: FakeNode) -> None:
    """A second line that does not come ends the session after the stall time-out."""
    session = WireSession(node, limits=Limits(stall_s=60))
    session.send(b"USER-ADD a read\r\n")
    (exchange,) = session.protocol.session._schedule.begun
    session.clock.pump([10] * 7)
    assert session.transport.aborted
    session.lose()
    assert exchange.done


def test_idle_session_is_closed(node: FakeNode) -> None:
    """A session without commands is told 421; one that runs a long command is not idle."""
    session = WireSession(node, limits=Limits(idle_s=100, stall_s=1000))
    session.lines()
    session.clock.advance(60)
    session.send(b"NOOP\r\n")
    session.clock.pump([10] * 9)
    assert session.codes() == ["200 "]
    gate = node.listing_gate = Gate()
    session.send(b"FIND\r\n")
    session.clock.pump([50] * 10)
    assert not session.closed
    gate.open()
    session.lines()
    session.clock.pump([50] * 3)
    assert session.codes() == ["421 "]
    assert session.closed


def test_a_dripping_line_is_no_activity(node: FakeNode) -> None:
    """Bytes that never become a command, nor telnet commands, keep no session; the time-out counts from the line's
    beginning."""
    for drip in (b"x", b"\xff\xf1", b"\xff\xfd\x01", b"\xff", b"\xff\xfaa\xffb"):
        session = WireSession(node, limits=Limits(idle_s=100, stall_s=1000))
        for _ in range(21):
            session.clock.advance(10)
            if not session.closed:
                session.send(drip)
        assert session.closed, drip
        assert b"421 no command for 100 s" in session.rest


def test_a_line_typed_slowly_has_all_the_idle_time(node: FakeNode) -> None:
    """Who begins to type late is not cut off in the middle of the line, nor is who types line after line."""
    session = WireSession(node, limits=Limits(idle_s=100, stall_s=1000))
    session.lines()
    for _ in range(3):
        session.clock.advance(85)
        for character in b"COUNT x\r\n":
            session.send(bytes([character]))
            session.clock.advance(10)
        assert session.codes() == ["213 "]


def test_a_dripping_password_is_cut_off(node: FakeNode) -> None:
    """A second line must come as a whole within the stall time-out of its beginning."""
    session = WireSession(node, limits=Limits(stall_s=60))
    session.send(b"USER-ADD a read\r\n")
    for _ in range(13):
        session.clock.advance(10)
        if not session.closed:
            session.send(b"x")
    assert session.transport.aborted
    session.lose()


def test_a_content_that_comes_slowly_comes(node: FakeNode) -> None:
    """Bytes of an announced content count, however few."""
    session = WireSession(node, limits=Limits(idle_s=50, stall_s=20))
    session.send(b"ADD 30 a\r\n")
    for _ in range(30):
        session.clock.advance(15)
        session.send(b"x")
    assert session.codes() == ["220 ", "150 ", "250 "]


def test_last_replies_nobody_reads(node: FakeNode) -> None:
    """A session that ends is cut off where the client does not take the last replies."""
    session = WireSession(node, limits=Limits(stall_s=60))
    session.send(b"QUIT\r\n")
    session.clock.advance(59)
    assert not session.transport.aborted
    session.clock.advance(2)
    assert session.transport.aborted
    session.lose()


def test_client_that_waits_its_turn_is_not_dropped(node: FakeNode) -> None:
    """A content whose 150 has not been said yet, since something before it runs, is not overdue."""
    session = WireSession(node, limits=Limits(stall_s=60, idle_s=100))
    gate = node.listing_gate = Gate()
    session.send(b"FIND\r\nADD 1 a\r\n")
    session.clock.pump([50] * 10)
    assert not session.closed
    gate.open()
    session.send(b"x")
    assert session.codes()[-1] == "250 "


def test_lost_client_of_a_find_that_never_waits(node: FakeNode, session: WireSession) -> None:
    """When the client goes while FIND waits for it to read, no further page is made."""
    session.send(b"".join(b"ADD 1 n%d t\r\nx" % number for number in range(2000)))
    pages = 0

    def counted() -> Deferred[None]:
        nonlocal pages
        pages += 1
        session.protocol.pauseProducing()
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    node.listing_gate = counted
    session.send(b"FIND\r\n")
    session.lose()
    assert pages == 1
    assert node.listings_closed == 1


# Ends


def test_answers_after_half_close(node: FakeNode, session: WireSession) -> None:
    """After the client's end of stream all pending answers go out, and then the session ends."""
    gate = node.gate = Gate()
    session.send(b"ADD 1 a\r\nACOUNT\r\n")
    session.end()
    assert not session.closed
    gate.open()
    assert session.codes() == ["150 ", "250 ", "213 "]
    assert session.closed


def test_unended_line_is_not_run(node: FakeNode, session: WireSession) -> None:
    """Half a command at the end of the stream is refused, not run."""
    stored(session, "a", "x")
    session.send(b"COUNT\r\nDELETE x")
    session.end()
    assert session.codes() == ["213 ", "500 "]
    assert session.closed
    assert node.entries.popitem()[1].trashed is None


def test_half_close_of_a_silent_client(session: WireSession) -> None:
    """A client that only ends its stream is closed."""
    session.end()
    assert session.closed
    assert session.rest == b""


def test_half_close_with_commands_not_yet_read(node: FakeNode) -> None:
    """The end of the stream counts only when all before it was read and answered."""
    gate = node.listing_gate = Gate()
    session = WireSession(node, limits=Limits(pipeline=2, slice=3))
    session.lines()
    session.send(b"FIND\r\n" + b"NOOP\r\n" * 10)
    session.end()
    gate.open()
    session.settle()
    assert session.codes().count("200 ") == 10
    assert session.closed


def test_lost_connection_stops_questions(node: FakeNode, session: WireSession) -> None:
    """A FIND whose client is gone closes its listing."""
    node.listing_gate = Gate()
    session.send(b"FIND\r\n")
    session.lose()
    assert node.listings_closed == 1


def test_internal_error_keeps_the_session(node: FakeNode, session: WireSession, flush_logged_errors) -> None:
    """A bug in one command is told under a number, logged, and the session goes on."""

    async def broken(*_: object) -> int:
        raise ZeroDivisionError

    node.count = broken  # type: ignore[method-assign]
    session.send(b"COUNT\r\nCOUNT\r\nNOOP\r\n")
    assert session.lines() == [
        "451 internal error (logged as #1)",
        "451 internal error (logged as #2)",
        "200 OK",
    ]
    assert len(flush_logged_errors(ZeroDivisionError)) == 2


def test_answer_that_breaks_off_is_not_taken_for_whole(node: FakeNode, session: WireSession) -> None:
    """A FIND that fails in the middle ends the session without a last line of 213."""
    stored(session, "a")
    gate = node.listing_gate = Gate()
    session.send(b"FIND\r\nNOOP\r\n")
    gate.open()
    assert session.codes() == ["213-", f" {next(iter(node.entries))}"[:4]]
    gate.waiting.pop().errback(StorageFull("broken"))
    assert session.lines() == ["421 broken; the answer above is not whole"]
    assert session.closed


def test_content_that_breaks_off_is_not_taken_for_whole(node: FakeNode, session: WireSession) -> None:
    """A GET that fails in the middle cuts the connection: any word would be taken for content."""
    identifier = stored(session, "a", content=b"abc")
    digest = node.entries[identifier].content.digest
    entry = node.entries[identifier]
    node.entries[identifier] = entry._replace(content=entry.content._replace(size=10))
    node.blobs[digest] = b"ab"

    async def short(*_: object) -> object:
        reading = await FakeNode.read(node, node.anonymous(), identifier)
        reading.length = 10
        return reading

    node.read = short  # type: ignore[method-assign,assignment]
    session.lines()
    session.send(f"GET {identifier}\r\nNOOP\r\n".encode())
    assert session.rest == b"150 10\r\nab"
    assert session.transport.aborted


def test_session_ended_by_its_own_command(node: FakeNode) -> None:
    """A verb may end the session it runs in, also after it has waited; what runs beside it is stopped."""
    gate = Gate()

    async def leave(exchange: Exchange) -> None:
        await gate()
        exchange.reply(200, "going")
        exchange.session.close()
        await gate()
        exchange.reply(200, "gone")

    session = WireSession(node, verbs=table([Verb("LEAVE", leave)]))
    session.lines()
    session.send(b"LEAVE\r\nLEAVE\r\n")
    gate.open()
    assert session.lines() == ["200 going"]
    assert session.closed
    session.lose()
    gate.open()
    assert session.lines() == []


def test_content_that_breaks_off_later(node: FakeNode, session: WireSession) -> None:
    """A GET that fails after it has waited cuts the connection."""
    identifier = stored(session, "a", content=b"abc")
    gate = Gate()

    class Broken:
        length = 3

        async def read(self, limit: int) -> bytes:
            await gate()
            raise StorageFull("broken")

        def close(self) -> None:
            pass

    async def read(*_: object) -> object:
        return Broken()

    node.read = read  # type: ignore[method-assign,assignment]
    session.send(f"GET {identifier}\r\nNOOP\r\n".encode())
    gate.open()
    assert session.rest == b"150 3\r\n"
    assert session.transport.aborted
    session.lose()


def test_a_long_line_whose_size_is_not_seen(node: FakeNode, session: WireSession) -> None:
    """It is told that the line is too long, not that the size is wrong, and then the session ends."""
    session.send(b"ADD " + b" " * 70_000 + b"5 x\r\nNOOP\n")
    assert [line[:29] for line in session.lines()] == ["500 a line has at most 65536 ", "421 closing, since what follo"]
    assert session.closed


def test_saved_names_are_whole_fields(session: WireSession) -> None:
    """A name stands in its row as it is, as in rows of entries."""
    session.ask('SAVE "a | \\"b" | x y')
    assert session.ask("SAVED") == ["214-name, query", ' a | "b\tx y', "214 total=1"]


def test_nothing_counts_behind_an_unreadable_size(node: FakeNode, session: WireSession) -> None:
    """Also while something before it still runs, nothing behind an ADD without a size is read."""
    gate = node.listing_gate = Gate()
    session.send(b"FIND\r\nADD x y\r\nGET / HTTP/1.1\r\nADD 1 a\r\n")
    session.send(b"xDELETE b\r\n")
    assert not session.closed
    gate.open()
    assert session.codes() == ["213-", "213 ", "501 ", "421 "]
    assert session.closed
    assert not node.entries


def test_clear_text_behind_tls_is_thrown_away(node: FakeNode) -> None:
    """What was pipelined in the clear behind AUTH TLS never runs, half a content of it neither."""
    secured: list[object] = []

    def auth(exchange: Exchange) -> None:
        exchange.reply(234, "TLS begins")
        exchange.session.start_tls(None)  # type: ignore[arg-type]

    session = WireSession(node, verbs={**TAG_VERBS, **table([Verb("AUTH", auth)])}, limits=Limits(stall_s=60))

    def channel(context: object) -> MemoryTransport:
        secured.append(context)
        return session.transport

    assert session.protocol.session is not None
    session.protocol.session._secured = channel
    session.lines()
    session.send(b"AUTH TLS\r\nCOUNT\r\nADD 10 a\r\nabc")
    assert session.codes() == ["234 "]
    assert secured == [None]
    session.clock.pump([30] * 5)
    session.send(b"ADD 1 b\r\nxCOUNT\r\n")
    assert session.codes() == ["150 ", "250 ", "213 "]
    assert [entry.name for entry in node.entries.values()] == ["b"]


# Who asks


def test_login_is_needed_where_there_are_users(node: FakeNode, session: WireSession) -> None:
    """Users who appear count for open sessions at once; greeting commands go on."""
    assert session.ask("COUNT") == ["213 0"]
    node.passwords["u"] = ("p", Role.READ)
    assert [line[:3] for line in session.ask("COUNT")] == ["530"]
    assert [line[:3] for line in session.ask("NOOP")] == ["200"]
    assert [line[:3] for line in session.ask("USER-ADD x read")] == ["331"]
    assert [line[:3] for line in session.ask("secret")] == ["530"]
    del node.passwords["u"]
    assert session.ask("COUNT") == ["213 0"]


@pytest.mark.parametrize("rest", [b"", b"secr"])
def test_password_line_never_runs(node: FakeNode, session: WireSession, rest: bytes) -> None:
    """The line behind USER-ADD belongs to it whatever it looks like; at the end of the stream it may be missing, or not
    ended: one answer."""
    session.send(b"USER-ADD a read\r\nHost: DELETE x\r\nUSER-PASSWD a\r\n" + b"x" * 70_000 + b"\r\nNOOP\r\n")
    assert session.codes() == ["331 ", "250 ", "331 ", "530 ", "200 "]
    node.passwords.clear()
    session.send(b"USER-PASSWD a\r\n" + rest)
    session.end()
    assert session.codes() == ["331 ", "501 "]
    assert session.closed


# Transfers: what FTP's verbs rely on


async def transfer(exchange: Exchange) -> None:
    exchange.begin_transfer()
    exchange.reply(150, "here it comes")
    try:
        await Deferred()
    except CancelledError:
        exchange.reply(426, "stopped")


async def abor(exchange: Exchange) -> None:
    running = exchange.session.transfer
    if running is not None:
        running.cancel()
        await running.finished()
    exchange.reply(226, "done")


TRANSFERS = {
    **TAG_VERBS,
    **table(
        [
            Verb("RETR", transfer, any_bytes=True),
            Verb("STOR", transfer, any_bytes=True, ends_with_input=True),
            Verb("ABOR", abor, in_transfer=True),
        ]
    ),
}


def test_noop_and_abor_in_a_transfer(node: FakeNode) -> None:
    """While a transfer goes on NOOP is answered, other commands wait, and ABOR stops it."""
    session = WireSession(node, verbs=TRANSFERS)
    session.lines()
    session.send(b"RETR \xff\xffx\r\nNOOP\r\n")
    assert session.codes() == ["150 ", "200 "]
    session.send(b"ABOR\r\nCOUNT\r\n")
    assert session.codes() == ["426 ", "226 ", "213 "]
    session.send(b"ABOR\r\n")
    assert session.codes() == ["226 "]
    session.send(b"RETR x\r\nCOUNT\r\nNOOP\r\n")
    assert session.codes() == ["150 "]
    session.lose()


def test_upload_ends_with_the_control_connection(node: FakeNode) -> None:
    """An upload is stopped by the end of the client's stream, a download is not; uploads behind it do not begin."""
    session = WireSession(node, verbs=TRANSFERS)
    session.lines()
    session.send(b"STOR x\r\nSTOR y\r\n")
    session.end()
    assert session.codes() == ["150 ", "426 ", "426 "]
    assert session.closed
    session = WireSession(node, verbs=TRANSFERS)
    session.send(b"RETR x\r\n")
    session.end()
    assert not session.closed
    session.lose()


# Any bytes


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(WORDS)), max_size=40), st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_bytes(parts: list[bytes], ended: bool) -> None:
    """Whatever a client sends: no internal error, one final reply for each line, in step or closed."""
    node = FakeNode()
    session = WireSession(node, limits=Limits(pipeline=7, overlap=3, held=50, drop=100, slice=5))
    for part in parts:
        session.send(part)
    if ended:
        session.end()
        assert session.closed
    elif not session.closed:
        session.send(b"\xff\xf0\r\n" + bytes(200) + b"\nNOOP\r\nNOOP\r\n")
        assert session.closed or session.rest.endswith(b"\r\n200 OK\r\n")
    assert b"internal" not in session.rest
    session.lose()
    assert not session.clock.getDelayedCalls()


# Listeners


def test_sessions_are_bounded(node: FakeNode) -> None:
    """One session too many is told so and closed; when another ends there is room again."""
    first = WireSession(node, limits=Limits(sessions=2, sessions_per_host=2))
    second, third = (WireSession(node, factory=first.factory, clock=first.clock) for _ in range(2))
    assert second.codes() == ["220 "]
    assert third.codes() == ["421 "]
    assert third.closed
    third.lose()
    first.lose()
    assert WireSession(node, factory=first.factory, clock=first.clock).codes() == ["220 "]


def test_sessions_of_one_address_are_bounded(node: FakeNode) -> None:
    """One address cannot take all sessions."""
    first = WireSession(node, limits=Limits(sessions=20, sessions_per_host=1))
    assert WireSession(node, factory=first.factory, clock=first.clock).codes() == ["421 "]


def test_closing_the_door(node: FakeNode) -> None:
    """A node that stops tells its sessions, lets changes come to their end, and stops questions."""
    idle = WireSession(node)
    asking = WireSession(node, factory=idle.factory, clock=idle.clock)
    storing = WireSession(node, factory=idle.factory, clock=idle.clock)
    sessions = [idle, asking, storing]
    for session in sessions:
        session.lines()
    node.listing_gate, node.gate = Gate(), Gate()
    asking.send(b"FIND\r\n")
    storing.send(b"ADD 1 a\r\nACOUNT\r\n")
    done: list[object] = []
    Deferred.fromCoroutine(idle.factory.close()).addCallback(done.append)
    assert idle.codes() == ["421 "]
    assert asking.codes() == ["426 ", "421 "]
    assert storing.codes() == ["150 "]
    node.gate.open()
    assert storing.codes() == ["250 ", "421 "]
    assert not done
    for session in sessions:
        assert session.closed
        session.lose()
    assert done
    late = WireSession(node, factory=idle.factory, clock=idle.clock)
    assert late.codes() == ["421 "]
    late.lose()
    assert not idle.clock.getDelayedCalls()


def test_closing_the_door_does_not_wait_for_ever(node: FakeNode) -> None:
    """Sessions that do not end are cut off after some seconds."""
    session = WireSession(node)
    node.gate = Gate()
    session.send(b"ADD 1 a\r\nA")
    done: list[object] = []
    Deferred.fromCoroutine(session.factory.close()).addCallback(done.append)
    session.clock.advance(4)
    assert session.transport.aborted
    session.lose()
    assert done
    node.gate.open()
