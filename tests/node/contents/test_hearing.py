"""Hearing: what a node is told of others' copies counts, whichever comes first, the record or the word of its copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tagfs.model.entry import Content, creation, entry_id
from tagfs.model.stamp import Stamp
from tagfs.node.contents.hearing import Hearing
from tagfs.storage.holdings import holding
from tagfs.storage.memory import MemoryCatalog

ID = entry_id(1_760_000_000_000, b"0123456789")
CONTENT = Content(b"d" * 32, 1, "text/plain", 0)
RECORD = creation(ID, Stamp(1, "other"), "f", CONTENT, 0, (), None)


class Slow:
    """An Offload whose calls have been made and answer when the test says so."""

    def __init__(self) -> None:
        self.answers: list[tuple[Deferred[Any], Any]] = []

    def run(self, call: Callable[[], Any]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.answers.append((answer, call()))
        return answer

    def answer(self) -> None:
        while self.answers:
            answer, result = self.answers.pop(0)
            answer.callback(result)

    def stop(self) -> None:
        """Nothing is left."""


def test_a_record_that_comes_while_its_holder_is_looked_for() -> None:
    """The catalog was asked before the record was there, and answers after: the holder is noted all the same."""
    catalog, readers = MemoryCatalog("me"), Slow()
    hearing = Hearing(catalog, readers, None, Clock())  # type: ignore[arg-type]
    Deferred.fromCoroutine(hearing.note("peer", [holding(ID, CONTENT.digest)], True))
    catalog.merge([RECORD], {RECORD.ref: {}})
    Deferred.fromCoroutine(hearing.changed([ID]))
    readers.answer()
    assert "peer" in catalog.holders(ID)
    assert not len(hearing.early)


def test_what_is_told_early_and_taken_back_does_not_count() -> None:
    """A copy that came and went before the record did is none."""
    catalog, readers = MemoryCatalog("me"), Slow()
    hearing = Hearing(catalog, readers, None, Clock())  # type: ignore[arg-type]
    for held in (True, False):
        Deferred.fromCoroutine(hearing.note("peer", [holding(ID, CONTENT.digest)], held))
        readers.answer()
    catalog.merge([RECORD], {RECORD.ref: {}})
    Deferred.fromCoroutine(hearing.changed([ID]))
    readers.answer()
    assert "peer" not in catalog.holders(ID)
