"""Lines and bodies cut out of a byte stream."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.wire.framing import HEAD, LINE_LIMIT, Framing, Line, Negotiation, Piece, TooLong


def read(chunks: list[bytes], bodies: dict[bytes, int] | None = None, **options: object) -> list[object]:
    """All events of a stream given in these chunks; pieces and negotiations joined, as splits may cut them anywhere."""
    framing = Framing(**options)  # type: ignore[arg-type]
    events: list[object] = []
    for chunk in chunks:
        framing.feed(chunk)
        while (event := framing.next()) is not None:
            last = events[-1] if events else None
            if isinstance(event, Piece) and isinstance(last, Piece):
                events[-1] = Piece(last.data + event.data)
            else:
                events.append(event)
            if isinstance(event, Line) and bodies:
                framing.expect(bodies.get(event.text, 0))
    answers = b"".join(event.answer for event in events if isinstance(event, Negotiation))
    kept = [event for event in events if not isinstance(event, Negotiation)]
    return [*kept, Negotiation(answers)] if answers else kept


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(marks)]


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b"a\r\nb\nc\r\n", [b"a", b"b", b"c"]),
        (b"\n\r\n", [b"", b""]),
        (b"a\rb\r\r\n", [b"a\rb\r"]),
        (b"not ended", []),
        (b"\xff\xf4\xff\xf2ABOR\r\n", [b"ABOR"]),
        (b"a\xff\xffb\xffc\n", [b"a\xffb\xffc"]),
        (b"a\xff\xfa\x18\n\r\n\xff\xf0b\n", [b"ab"]),
        (b"a\xff\xfa\x18\xff\xff\xf0b\n", [b"ab"]),
        (b"FIND \xff\xfe\r\nx\xff\xfd\n\xff\xfb\n", [b"FIND \xff\xfe", b"x\xff\xfd", b"\xff\xfb"]),
        (b"\xff\xf1" * 5000 + b"x\n", [b"x"]),
    ],
)
def test_lines(stream: bytes, lines: list[bytes]) -> None:
    """Both line ends count, telnet commands vanish, and feeding byte by byte changes nothing."""
    assert read([stream]) == [Line(line) for line in lines]
    assert read([stream[at : at + 1] for at in range(len(stream))]) == [Line(line) for line in lines]


def test_refuses_telnet_options() -> None:
    """DO is answered WONT, WILL is answered DONT, their opposites not at all (no loops)."""
    stream = b"\xff\xfd\x03\xff\xfb\x18\xff\xfc\x01\xff\xfe\x01NOOP\r\n"
    assert read([stream]) == [Line(b"NOOP"), Negotiation(b"\xff\xfc\x03\xff\xfe\x18")]


def test_answers_options_without_a_line() -> None:
    """A telnet client that only negotiates gets its answer before any line ends."""
    framing = Framing()
    framing.feed(b"\xff\xfd\x03\xff")
    assert framing.next() == Negotiation(b"\xff\xfc\x03")
    assert framing.next() is None
    framing.feed(b"\xf1OK\n")
    assert framing.next() == Line(b"OK")


def test_byte_255_without_telnet() -> None:
    """With telnet off byte 255 is data."""
    assert read([b"\xff\xfd\x03\n"], telnet=False) == [Line(b"\xff\xfd\x03")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_longest_line(end: bytes) -> None:
    """A line of the limit is read, one byte more is not, in one piece or many, and the next line is in step."""
    exact, over = b"x" * LINE_LIMIT, b"y" * (LINE_LIMIT + 1)
    stream = exact + end + over + end + b"next" + end
    expected = [Line(exact), TooLong(over[:HEAD], over[-HEAD:]), Line(b"next")]
    assert read([stream]) == expected
    assert read([stream[at : at + 1000] for at in range(0, len(stream), 1000)]) == expected
    assert read([stream[at : at + 1] for at in range(len(stream))]) == expected


def test_endless_line_is_bounded() -> None:
    """A line that never ends does not grow memory, and shows its two ends if it ends after all."""
    framing = Framing()
    framing.feed(b"ADD 5 ")
    for _ in range(100):
        assert framing.next() is None
        framing.feed(b"z" * 65536)
        assert len(framing._line) + len(framing._buffer) < 3 * LINE_LIMIT
    framing.feed(b" HTTP/1.1\r\n")
    event = framing.next()
    assert isinstance(event, TooLong)
    assert event.head.startswith(b"ADD 5 zzz")
    assert event.tail.endswith(b"zzz HTTP/1.1")


def test_endless_subnegotiation_is_bounded() -> None:
    """A telnet subnegotiation without an end holds nothing back in memory."""
    framing = Framing()
    framing.feed(b"\xff\xfa")
    for _ in range(50):
        framing.feed(b"\n" * 65536)
        assert framing.next() is None
        assert len(framing._buffer) - framing._at <= 1
    framing.feed(b"\xff\xf0ok\n")
    assert framing.next() == Line(b"ok")


def test_body() -> None:
    """Bytes of an announced body are no lines, whatever they look like, and what follows is in step."""
    stream = b"ADD\nNOOP\r\n\xff\xfd\x03\nNOOP\n"
    expected = [Line(b"ADD"), Piece(b"NOOP\r\n\xff\xfd\x03\n"), Line(b"NOOP")]
    assert read([stream], {b"ADD": 10}) == expected
    assert read([stream[at : at + 1] for at in range(len(stream))], {b"ADD": 10}) == expected


def test_body_is_not_copied() -> None:
    """What the socket gave is handed on as the same object, where all of it is body."""
    framing = Framing()
    framing.expect(1000)
    data = bytes(600)
    framing.feed(data)
    event = framing.next()
    assert isinstance(event, Piece)
    assert event.data is data
    assert framing.missing == 400
    assert not framing.partial


def test_partial_and_clear() -> None:
    """The end of the stream in mid-line can be told; cleared, nothing is left."""
    framing = Framing()
    assert not framing.partial
    framing.feed(b"NOOP\nCOU")
    assert framing.next() == Line(b"NOOP")
    assert framing.partial
    assert framing.next() is None
    assert framing.partial
    framing.clear()
    assert not framing.partial
    framing.feed(b"NT\n")
    assert framing.next() == Line(b"NT")


STREAM = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"\n", b"\r\n", b"\xff", b"\xff\xfd", b"\xff\xfa", b"\xff\xf0", b"BODY\n", b"x" * 40]),
    ),
    max_size=30,
).map(b"".join)


@given(STREAM, st.lists(st.integers(0, 4000), max_size=20), st.booleans())
def test_splits_do_not_matter(stream: bytes, places: list[int], telnet: bool) -> None:
    """The same stream gives the same events however the network cuts it."""
    bodies = {b"BODY": 7, b"": 1}
    assert read(cut(stream, places), bodies, limit=32, telnet=telnet) == read([stream], bodies, limit=32, telnet=telnet)
