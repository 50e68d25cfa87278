"""Lines between nodes: what is written is read again, and nothing else gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.wire.node_lines import BadLine, Request, encode_line, encode_text, parse_request

VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b"- PING", Request("-", "PING", (), {}, None)),
        (b"a.1 ping", Request("a.1", "PING", (), {}, None)),
        (b"7 GET x y k=v", Request("7", "GET", ("x", "y"), {"k": "v"}, None)),
        (b"7 PUT k=a=b {12}", Request("7", "PUT", (), {"k": "a=b"}, 12)),
        (b"7 X a%20b k=%C3%A4", Request("7", "X", ("a b",), {"k": "\xe4"}, None)),
    ],
)
def test_requests_are_read(line: bytes, request_: Request) -> None:
    """Words, options, percent-encoding and an announced body."""
    assert parse_request(line) == request_


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        (b"", "-"),
        (b"   ", "-"),
        (b"x", "x"),
        (b"way-too-long-a-tag PING", "-"),
        (b"t/1 PING", "-"),
        (b"1 P\xffNG", "1"),
        (b"1 PING \x00", "1"),
        (b"\xff\xfe PING", "-"),
    ],
)
def test_other_lines_are_bad(line: bytes, tag: str) -> None:
    """The error carries the tag where there is one, so that the peer knows which request it was."""
    with pytest.raises(BadLine) as caught:
        parse_request(line)
    assert caught.value.tag == tag


@given(
    st.from_regex(r"[A-Z]{1,10}", fullmatch=True), st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES)
)
def test_what_is_written_is_read_again(verb: str, options: dict[str, str]) -> None:
    """Any value survives, whatever characters it has; the line stays printable ASCII."""
    line = encode_line("t", verb, **options)
    assert line.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])
    read = parse_request(line[:-1])
    assert (read.tag, read.verb, read.options) == ("t", verb, options)


@given(st.binary(max_size=200))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    """A request, or BadLine."""
    bad = None
    try:
        parse_request(line)
    except BadLine as found:
        bad = found
    assert bad is None or encode_text(bad.tag, "BAD", str(bad)).count(b"\n") == 1


def test_text_for_people_is_one_line() -> None:
    """Line ends in a text cannot begin a line of their own."""
    assert encode_text("t", "NO", "code one\r\nt OK") == b"t NO code one%0D%0At OK\n"
