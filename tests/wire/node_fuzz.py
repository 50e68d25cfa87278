"""Feeds the codec of the node protocol with sessions that were broken on purpose; one seed, one outcome.

``python -m tests.wire.node_fuzz [--seed N] [--rounds N] [--bug NAME]`` ends with 1 and the seed of the round that went wrong.
What must hold, whatever comes: nothing is raised but what the docstrings say; the events are the same however the stream
is cut into pieces; what is held is bounded; after the end nothing more is given; what was encoded is read as it was.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable

from tagfs.errors import TooLarge
from tagfs.wire import framing, node_answers, node_lines, node_requests
from tagfs.wire.node_answers import Answered, AnswerReader, BrokenStream, Greeted, Refused, encode_call
from tagfs.wire.node_lines import MEMBER_LINE_LIMIT, STRANGER_LINE_LIMIT, BadLine, encode_text
from tagfs.wire.node_messages import BODY_LIMIT, Answer, Call
from tagfs.wire.node_proof import (
    CLIENT,
    Introduction,
    encode_greeting,
    encode_introduction,
    parse_greeting,
    parse_introduction,
    proof,
    proof_key,
    same,
    with_proof,
)
from tagfs.wire.node_requests import Asked, Misread, RequestReader, encode_answer, encode_refusal

ROUNDS = 1500
TOKENS = [
    *(
        b"- ",
        b"a1 ",
        b"PING",
        b"AUTH ",
        b"OK",
        b"PARTIAL",
        b"NO ",
        b"BAD ",
        b"BUSY",
        b"ROW ",
        b"{0}",
        b"{7}",
        b" {1048576}",
    ),
    *(
        b"{1048577}",
        b"{999999999999}",
        b" k=v",
        b" =",
        b"%",
        b"%41",
        b"%zz",
        b"\n",
        b"\r\n",
        b"\r",
        b"\x00",
        b"\xff",
        b" ",
    ),
    *(
        b"TAGFS 1 ",
        b"node=-",
        b" nonce=00",
        b" proof=00",
        b"cluster=-",
        b"boot=-",
        b"version=",
        b"name=",
        b"\xc3\xa4",
        b"x" * 1100,
    ),
]
PIECES = ["a", "b c", "k=v", "{7}", "%", "ä", "\t", "\n", "\0", "\udcff", "-", "x" * 100]


def text(dice: random.Random, least: int = 0) -> str:
    """A text of strange pieces."""
    return "".join(dice.choices(PIECES, k=dice.randint(least, 4)))


def a_call(dice: random.Random) -> Call:
    """Any request; seldom over a bound."""
    words = tuple(text(dice, 1) for _ in range(dice.choice([0, 0, 1, 3, 3, 120])))
    facts = {text(dice, 1): text(dice) for _ in range(dice.randint(0, 3))}
    return Call(dice.choice(["PING", "PUT", "x"]).upper(), words, facts, a_body(dice))


def an_answer(dice: random.Random) -> Answer:
    """Any answer; seldom over a bound."""
    rows = tuple(text(dice) for _ in range(dice.choice([0, 0, 1, 3])))
    if dice.random() < 0.02:
        rows = ("x" * 8000,) * dice.choice([1, 140])
    if dice.random() < 0.02:
        rows = ("x" * 9000,)
    facts = {text(dice, 1): text(dice) for _ in range(dice.randint(0, 3))}
    return Answer(facts, rows, a_body(dice), dice.random() < 0.3)


def a_body(dice: random.Random) -> bytes:
    """Bytes that look like lines, mostly few."""
    size = dice.choice([0, 0, 0, 1, 10, 3000])
    if dice.random() < 0.01:
        size = BODY_LIMIT + dice.randint(-1, 1)
    return (b"- PING {3}\nab" * (size // 13 + 1))[:size]


def an_introduction(dice: random.Random) -> Introduction:
    """What a node might say of itself."""
    some = ["".join(dice.choices("abc019._-", k=dice.randint(2, 26))) for _ in range(4)]
    name = "".join(dice.choices(["a", "b c", "k=v", "{7}", "%", "ä", "🌳" * 20], k=dice.randint(0, 4)))
    address = dice.choice(["", "192.0.2.7:4747", "[2001:db8::7]:4747"])
    return Introduction(dice.randint(0, 3), some[0], name, dice.choice(["", some[1]]), some[2], some[3], address)


def broken(dice: random.Random, stream: bytes) -> bytes:
    """The stream with some places changed."""
    data = bytearray(stream)
    for _ in range(dice.choice([0, 1, 1, 2, 5, 30])):
        at = dice.randint(0, len(data))
        match dice.randint(0, 5):
            case 0:
                data[at:at] = dice.choice(TOKENS)
            case 1:
                del data[at : at + dice.choice([1, 1, 2, 10, 1000])]
            case 2 if at < len(data):
                data[at] ^= 1 << dice.randint(0, 7)
            case 3:
                data[at:at] = data[at : at + dice.randint(1, 100)]
            case 4:
                data[at : at + dice.randint(0, 5)] = dice.choice(TOKENS)
            case 5:
                data[at:at] = b"".join(dice.choices(TOKENS, k=dice.randint(1, 8)))
    return bytes(data)


def pieces_of(dice: random.Random, stream: bytes) -> list[bytes]:
    """The stream cut somewhere."""
    if len(stream) < 400 and dice.random() < 0.3:
        return [stream[at : at + 1] for at in range(len(stream))]
    cuts = sorted(dice.randint(0, len(stream)) for _ in range(dice.randint(0, 6)))
    return [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def requests_in(pieces: list[bytes], trusted: bool) -> list[object]:
    """The events that the answering side gets, and what must hold of them."""
    reader = RequestReader()
    if trusted:
        reader.trust()
    events: list[object] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next()) is not None:
            assert not events or not isinstance(events[-1], Misread) or not events[-1].fatal, "it goes on after the end"
            events.append(event)
            if isinstance(event, Asked):
                assert len(event.call.body) <= (BODY_LIMIT if trusted else 0), "too long a body"
                assert len(event.line) <= (MEMBER_LINE_LIMIT if trusted else STRANGER_LINE_LIMIT), "too long a line"
            else:
                assert encode_refusal(event.tag, "BAD", event.text).count(b"\n") == 1
        held = len(reader._framing._line) + sum(map(len, reader._pieces))
        assert held <= (BODY_LIMIT + MEMBER_LINE_LIMIT if trusted else STRANGER_LINE_LIMIT) + 2, (
            f"{held} bytes are held"
        )
    return events


def answers_in(pieces: list[bytes], trusted: bool) -> list[object]:
    """The events that the asking side gets; last, why it could not go on."""
    reader = AnswerReader()
    if trusted:
        reader.trust()
    events: list[object] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (event := reader.next()) is not None:
                assert events or isinstance(event, Greeted), "the greeting is not the first"
                events.append(event)
                if isinstance(event, Answered):
                    assert len(event.answer.body) <= (BODY_LIMIT if trusted else 0), "too long a body"
                assert sum(map(len, reader._rows)) <= node_requests.ROWS_LIMIT, "too many rows are held"
            held = len(reader._framing._line) + sum(map(len, reader._pieces))
            assert held <= BODY_LIMIT + MEMBER_LINE_LIMIT + 2, f"{held} bytes are held"
            assert sum(map(len, reader._rows)) <= node_requests.ROWS_LIMIT, "too many rows are held"
    except BrokenStream as error:
        events.append(str(error))
    return events


def fuzz_requests(dice: random.Random) -> None:
    """The stream of an asking side, whole and broken."""
    calls, stream = [], b""
    for number in range(dice.randint(1, 4)):
        call = a_call(dice)
        try:
            pieces = encode_call(f"t{number}", call)
        except TooLarge:
            continue
        stream += b"".join(pieces)
        calls.append(call)
    found = requests_in(pieces_of(dice, stream), True)
    assert [event.call for event in found if isinstance(event, Asked)] == calls, "what was asked is not what is read"
    hurt, trusted = broken(dice, stream), dice.random() < 0.6
    assert requests_in(pieces_of(dice, hurt), trusted) == requests_in([hurt], trusted), "it matters how it is cut"


def fuzz_answers(dice: random.Random) -> None:
    """The stream of an answering side, whole and broken."""
    expected: list[object] = [Greeted(b"hello")]
    stream = b"hello\n"
    for number in range(dice.randint(1, 4)):
        tag = f"t{number}"
        if dice.random() < 0.3:
            kind, words = dice.choice(["NO", "BAD", "BUSY"]), text(dice)
            code = "conflict" if kind == "NO" else ""
            stream += encode_refusal(tag, kind, words, code)
            expected.append(Refused(tag, kind, code, words))
            continue
        answer = an_answer(dice)
        try:
            stream += b"".join(encode_answer(tag, answer))
        except TooLarge:
            continue
        expected.append(Answered(tag, answer))
    found = answers_in(pieces_of(dice, stream), True)
    assert found == expected, "what was answered is not what is read"
    if dice.random() < 0.02:
        stream += encode_text("t", "ROW", "x" * 8000) * 140
    hurt, trusted = broken(dice, stream), dice.random() < 0.7
    assert answers_in(pieces_of(dice, hurt), trusted) == answers_in([hurt], trusted), "it matters how it is cut"


def fuzz_introductions(dice: random.Random) -> None:
    """Greeting and introduction, whole and broken: a changed line never has the same proof."""
    key = proof_key(dice.randbytes(32))
    own = an_introduction(dice)
    greeting = encode_greeting(own)
    assert parse_greeting(greeting) == own._replace(name=own.name[:32], address="")
    line = encode_introduction("auth", own)
    value = proof(key, CLIENT, greeting, line, "-")
    said, covered, given = parse_introduction(with_proof(line, value)[:-1])
    assert (said, covered, given) == (own._replace(name=own.name[:32]), line, value)
    try:
        parse_greeting(hurt := broken(dice, greeting))
        assert hurt == greeting or not same(value, proof(key, CLIENT, hurt, line, "-"))
    except BadLine:
        pass
    try:
        hurt = broken(dice, with_proof(line, value)[:-1])
        _, covered, given = parse_introduction(hurt)
        assert covered == line or not same(given, proof(key, CLIENT, greeting, covered, "-"))
    except BadLine:
        pass


def _forget_bodies() -> None:
    framing.Framing.expect = lambda self, size: None  # type: ignore[method-assign]


def _take_first_piece() -> None:
    framing.Framing.missing = property(lambda self: 0)  # type: ignore[assignment]


def _trust_everybody() -> None:
    node_requests.RequestReader.trusted = property(lambda self: True, lambda self, value: None)  # type: ignore[assignment,misc]


def _decode_strictly() -> None:
    node_lines._decoded = lambda text: node_lines.unquote_to_bytes(text).decode()


def _take_any_rows() -> None:
    node_answers.AnswerReader._row = lambda self, tag, text: self._rows.append(node_lines.decode_text(text))  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "bodies-read-as-lines": _forget_bodies,
    "first-piece-is-the-body": _take_first_piece,
    "strangers-send-bodies": _trust_everybody,
    "utf-8-or-nothing": _decode_strictly,
    "rows-without-bound": _take_any_rows,
}
"""Mistakes that the fuzz must find."""


def run(seed: int, rounds: int) -> None:
    """All checks of so many rounds; each round has a seed of its own, which is told where one fails."""
    for number in range(seed, seed + rounds):
        dice = random.Random(number)
        try:
            for check in (fuzz_requests, fuzz_answers, fuzz_introductions):
                check(dice)
        except Exception as error:
            error.add_note(f"found in the round with --seed {number} --rounds 1")
            raise


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.node_fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--bug", choices=BUGS)
    options = parser.parse_args()
    if options.bug:
        BUGS[options.bug]()
    run(options.seed, options.rounds)
    print(f"{options.rounds} rounds from seed {options.seed}: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
