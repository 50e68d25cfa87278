"""Requests and answers between nodes, as bytes and back; the proof that both know the key."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import TooLarge
from tagfs.wire.node_answers import Answered, AnswerReader, BrokenStream, Greeted, Refused, encode_call
from tagfs.wire.node_lines import BadLine
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call
from tagfs.wire.node_proof import (
    CLIENT,
    SERVER,
    Introduction,
    encode_greeting,
    encode_introduction,
    parse_greeting,
    parse_introduction,
    proof,
    proof_key,
    with_proof,
)
from tagfs.wire.node_requests import Asked, Misread, RequestReader, encode_answer, encode_refusal

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = TEXTS.filter(bool)
CALLS = st.builds(
    Call, st.sampled_from(["GET", "PUT"]), st.lists(WORDS, max_size=4).map(tuple), st.dictionaries(WORDS, TEXTS, max_size=4),
    st.binary(max_size=100),
)  # fmt: skip
ANSWERS = st.builds(
    Answer, st.dictionaries(WORDS, TEXTS, max_size=4), st.lists(TEXTS, max_size=4).map(tuple), st.binary(max_size=100), st.booleans()
)  # fmt: skip


def requests(stream: bytes, *, trusted: bool = True) -> list[object]:
    reader = RequestReader()
    if trusted:
        reader.trust()
    reader.feed(stream)
    return list(iter(reader.next, None))


def answers(stream: bytes, *, trusted: bool = True) -> list[object]:
    reader = AnswerReader()
    if trusted:
        reader.trust()
    reader.feed(b"greeting\n" + stream)
    first, *rest = iter(reader.next, None)
    assert first == Greeted(b"greeting")
    return rest


@given(st.lists(CALLS, max_size=4))
def test_requests_arrive_as_they_were(calls: list[Call]) -> None:
    """One after the other, whatever is in them."""
    stream = b"".join(b"".join(encode_call(str(number), call)) for number, call in enumerate(calls))
    found = requests(stream)
    assert [(event.tag, event.call) for event in found if isinstance(event, Asked)] == [
        (str(number), call) for number, call in enumerate(calls)
    ]


@given(st.lists(ANSWERS, max_size=4))
def test_answers_arrive_as_they_were(given_: list[Answer]) -> None:
    """One after the other, whatever is in them."""
    stream = b"".join(b"".join(encode_answer(str(number), answer)) for number, answer in enumerate(given_))
    assert answers(stream) == [Answered(str(number), answer) for number, answer in enumerate(given_)]


@given(st.sampled_from(["NO", "BAD", "BUSY"]), TEXTS)
def test_refusals_arrive_as_they_were(kind: str, text: str) -> None:
    """With their texts, which are one line."""
    code = "missing" if kind == "NO" else ""
    line = encode_refusal("7", kind, text, code)
    assert line.count(b"\n") == 1
    assert answers(line) == [Refused("7", kind, code, text)]


def test_readable() -> None:
    """What travels can be read by eye."""
    call = Call("PUT", ("a b", "{3}"), {"k": "v=1", "name": "ä"}, b"xyz")
    assert encode_call("7", call) == [b"7 PUT a%20b %7B3} k=v=1 name=%C3%A4 {3}\n", b"xyz"]
    answer = Answer({"n": "2"}, ("a\tb 100 %", "ä"), b"xyz", True)
    assert encode_answer("7", answer) == [b"7 ROW a\tb 100 %25\n7 ROW \xc3\xa4\n7 PARTIAL n=2 {3}\n", b"xyz"]


def test_bounds_of_what_is_sent() -> None:
    """Over them nothing is written."""
    full = bytes(BODY_LIMIT)
    assert encode_call("1", Call("PUT", body=full)) and encode_answer("1", Answer(body=full))
    for call in (Call("PUT", body=full + b"x"), Call("PUT", ("x" * 8200,)), Call("PUT", facts={"x" * 8200: ""})):
        with pytest.raises(TooLarge):
            encode_call("1", call)
    for answer in (
        Answer(body=full + b"x"),
        Answer({"k": "x" * 8200}),
        Answer({}, ("x" * 8200,)),
        Answer({}, ("x" * 8000,) * 132),
    ):
        with pytest.raises(TooLarge):
            encode_answer("1", answer)


def test_bodies_of_strangers_end_it() -> None:
    """Nothing that follows is read."""
    assert requests(b"1 PING {3}\nabc\n2 PING\n", trusted=False) == [Misread("1", "PING has no body; closing", True)]
    assert requests(b"1 PING {1048577}\nabc\n2 PING\n") == [
        Misread("1", "a body has at most 1048576 bytes; closing", True)
    ]


def test_long_lines() -> None:
    """1 KiB for strangers, 8 KiB for members; longer ones are refused and the next is read."""
    for trusted, limit in ((False, 1024), (True, 8192)):
        line = b"1 PING " + b"x" * (limit - 7)
        first, second = requests(line + b"\r\n2 PING\n", trusted=trusted)
        assert isinstance(first, Asked) and isinstance(second, Asked)
        first, second = requests(line + b"x\n2 PING\n", trusted=trusted)
        assert first == Misread("-", f"a line has at most {limit} bytes", False) and isinstance(second, Asked)


@pytest.mark.parametrize(
    "stream",
    [
        b"\n", b"nonsense\n", b"1\n", b"1 WHAT\n", b"1 ok\n", b"1 OK {1048577}\n", b"1 OK k=\xff\n", b"x" * 9000 + b"\n",
        b"1 ROW a\n2 ROW b\n1 OK\n", b"1 ROW a\n2 OK\n", (b"1 ROW " + b"x" * 8000 + b"\n") * 140,
    ],
)  # fmt: skip
def test_other_answers_end_it(stream: bytes) -> None:
    """Whoever sends such things cannot be understood."""
    with pytest.raises(BrokenStream):
        answers(stream)


def test_bodies_before_the_proof_end_it() -> None:
    """Nobody is trusted to send much before he proved himself."""
    with pytest.raises(BrokenStream):
        answers(b"1 OK {3}\nabc", trusted=False)


def test_proof_by_hand() -> None:
    """The proof is what the page says, computed from the page's words."""
    key = hmac.digest(bytes(32), b"tagfs 1 proof", hashlib.sha256)
    assert proof_key(bytes(32)) == key
    greeting, line = b"TAGFS 1 node=a nonce=1", b"- AUTH node=- nonce=2"
    said = b"client\nTAGFS 1 node=a nonce=1\n- AUTH node=- nonce=2\n-\n"
    assert proof(key, CLIENT, greeting, line, "-") == hmac.new(key, said, hashlib.sha256).hexdigest()
    assert proof(key, SERVER, greeting, line, "-") != proof(key, CLIENT, greeting, line, "-")


def test_introductions() -> None:
    """What both sides say of themselves is read as it was; a long name is cut, and the lines stay short."""
    own = Introduction(1, "n" * 26, "\U0001f333" * 64, "c" * 26, "b" * 16, "0" * 32, "h" * 253 + ":65535")
    greeting = encode_greeting(own)
    assert parse_greeting(greeting) == own._replace(name=own.name[:32], address="")
    line = with_proof(encode_introduction("auth", own), "a" * 64)
    assert len(greeting) <= 1024 and len(line) <= 1024
    said, covered, given_ = parse_introduction(line[:-1])
    assert (said, given_) == (own._replace(name=own.name[:32]), "a" * 64)
    assert covered + b" proof=" + b"a" * 64 == line[:-1]
    assert parse_introduction(b"- auth node=- nonce=0 proof=AB \t")[::2] == (Introduction(1, "", "", "", "", "0"), "ab")


@pytest.mark.parametrize(
    "line",
    [
        b"", b"-", b"- AUTH", b"- AUTH node=- proof=00", b"- AUTH nonce=0 proof=00", b"- AUTH node=- nonce=0",
        b"- AUTH node=- nonce=0 proof=00 x=y", b"- AUTH node=- nonce=0 proof=00 {3}", b"- AUTH version=x node=- nonce=0 proof=00",
        b"- AUTH node=a%0Ab nonce=0 proof=00", b"- AUTH node=a/b nonce=0 proof=00", b"- AUTH node=- nonce= proof=00",
        b"- AUTH node=- nonce=0 name=%1B proof=00", b"- AUTH node=- nonce=0 address=%0A proof=00",
    ],
)  # fmt: skip
def test_other_introductions_are_bad(line: bytes) -> None:
    """They are refused as what they are."""
    with pytest.raises(BadLine):
        parse_introduction(line)


@pytest.mark.parametrize(
    "line", [b"", b"220 FTP", b"TAGFS", b"TAGFS x node=a", b"TAGFS 1 node=a", b"HTTP/1.1 400 Bad Request"]
)
def test_other_greetings_are_bad(line: bytes) -> None:
    """Another protocol is told as such."""
    with pytest.raises(BadLine, match="no greeting of tagfs"):
        parse_greeting(line)
