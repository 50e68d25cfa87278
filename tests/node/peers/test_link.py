"""The way to one node, without sockets: when it dials, when it pauses, and what becomes of questions meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tagfs.errors import Unavailable
from tagfs.node.peers import limits
from tagfs.node.peers.asking import Question
from tagfs.node.peers.link import Link
from tagfs.wire.node_messages import Answer, Call


class Line:
    """A connection that answers nothing by itself."""

    def __init__(self) -> None:
        self.ended: Deferred[str] = Deferred()
        self.lost = False
        self.deaf = False
        self.heard_s = 0.0
        self.asked: list[Question] = []

    def ask(self, question: Question) -> None:
        question.line = self  # type: ignore[assignment]
        self.asked.append(question)

    def forget(self, question: Question) -> None:
        self.asked.remove(question)

    def give_up(self, error: Exception) -> None:
        if not self.lost:
            self.lost = True
            self.ended.callback(str(error))


class Dialled:
    """A link whose dialling the test answers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.calls: list[tuple[float, str, Deferred[Line]]] = []
        self.told: list[bool] = []
        self.link = Link("n", self.dial, self.clock, lambda node, up: self.told.append(up))  # type: ignore[arg-type]

    async def dial(self, address: str, node: str) -> Line:
        assert node == "n"
        answer: Deferred[Line] = Deferred()
        self.calls.append((self.clock.seconds(), address, answer))
        return await answer

    def fail(self, error: Exception | None = None) -> None:
        """The dialling under way fails."""
        self.calls[-1][2].errback(error or Unavailable("nobody"))

    def succeed(self) -> Line:
        """The dialling under way gives a connection."""
        line = Line()
        self.calls[-1][2].callback(line)
        return line

    def run(self, seconds: float) -> None:
        """Time passes."""
        self.clock.pump([0.01] * round(seconds * 100))


@pytest.fixture
def dialled() -> Any:
    made = Dialled()
    yield made
    made.link.stop()
    assert made.clock.getDelayedCalls() == []


def test_how_long_pauses_are(dialled: Dialled) -> None:
    """They double up to 4 s and vary by a fourth; each round dials all addresses in turn."""
    dialled.link.keep(["a", "b"])
    for expected_s in (0.2, 0.4, 0.8, 1.6, 3.2, 4.0, 4.0):
        dialled.fail()
        failed = dialled.clock.seconds()
        count = len(dialled.calls)
        dialled.fail()
        while len(dialled.calls) == count:
            dialled.run(0.01)
        pause_s = dialled.clock.seconds() - failed
        assert [address for _, address, _ in dialled.calls[-3:]] == ["a", "b", "a"]
        assert 0.75 * expected_s - 0.02 <= pause_s <= 1.25 * expected_s + 0.02


def test_a_connection_that_lasted_is_dialled_again_soon(dialled: Dialled) -> None:
    """One that breaks at once, again and again, is not."""
    dialled.link.keep(["a"])
    for _ in range(5):
        dialled.succeed().give_up(Unavailable("broken"))
        dialled.run(6)
    assert len(dialled.calls) == 6
    line = dialled.succeed()
    dialled.run(limits.SETTLED_S + 1)
    line.give_up(Unavailable("broken"))
    dialled.run(0.2)
    assert len(dialled.calls) == 7
    assert dialled.told == [True, False] * 6


def test_whoever_dials_in_is_dialled(dialled: Dialled) -> None:
    """At once in a pause; after the round that is under way, without a pause; each time once."""
    dialled.link.keep(["a"])
    dialled.fail()
    dialled.link.hurry()
    assert len(dialled.calls) == 2
    dialled.link.hurry()
    dialled.fail()
    assert len(dialled.calls) == 3
    dialled.fail()
    assert len(dialled.calls) == 3
    dialled.link.keep(["b"])
    assert [address for _, address, _ in dialled.calls] == ["a", "a", "a", "b"]
    line = dialled.succeed()
    dialled.link.hurry()
    line.give_up(Unavailable("broken"))
    assert len(dialled.calls) == 4, "a broken connection is not dialled without a pause"


def test_a_bug_does_not_end_the_dialling(dialled: Dialled, flush_logged_errors: Any) -> None:
    """It is logged, and the next address is dialled."""
    dialled.link.keep(["a", "b"])
    dialled.fail(ZeroDivisionError())
    assert [address for _, address, _ in dialled.calls] == ["a", "b"]
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_questions_wait_for_a_connection_in_the_making(dialled: Dialled) -> None:
    """And are asked, fail with it, time out, or are given up."""
    dialled.link.keep(["a"])
    asked = dialled.link.ask(Call("A"), 10)
    late = dialled.link.ask(Call("B"), 1)
    given_up = dialled.link.ask(Call("C"), 10)
    given_up.cancel()
    given_up.addErrback(lambda failure: failure.trap(CancelledError) and None)
    dialled.run(1.1)
    assert "did not answer B in time" in str(late.result)  # type: ignore[attr-defined]
    late.addErrback(lambda failure: None)
    line = dialled.succeed()
    assert [question.call.verb for question in line.asked] == ["A"]
    line.asked[0].settle(Answer({"k": "v"}))
    assert asked.result == Answer({"k": "v"})


def test_questions_fail_with_the_dialling(dialled: Dialled) -> None:
    """Those that wait, and at once those that come while it is known to be in vain; not any more once it is lost anew."""
    dialled.link.keep(["a"])
    waiting = dialled.link.ask(Call("A"), 10)
    dialled.fail()
    later = dialled.link.ask(Call("B"), 10)
    for failed in (waiting, later):
        assert "n cannot be reached: nobody" in str(failed.result)  # type: ignore[attr-defined]
        failed.addErrback(lambda failure: None)
    dialled.link.hurry()
    dialled.succeed().give_up(Unavailable("broken"))
    hopeful = dialled.link.ask(Call("C"), 10)
    assert not hopeful.called
    dialled.run(1)
    assert [question.call.verb for question in dialled.succeed().asked] == ["C"]
    hopeful.addErrback(lambda failure: None)
    hopeful.cancel()


def test_one_connection_is_enough(dialled: Dialled) -> None:
    """Another one, or one that comes after the end, is ended."""
    dialled.link.keep(["a"])
    line, more = dialled.succeed(), Line()
    dialled.link.adopt(more)  # type: ignore[arg-type]
    assert more.lost and dialled.link.line is line
    gone = dialled.link.stop()
    assert line.lost and gone is not None and gone.called
    after = Line()
    dialled.link.adopt(after)  # type: ignore[arg-type]
    assert after.lost
