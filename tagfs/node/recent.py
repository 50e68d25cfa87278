"""Entries that were read lately, kept in memory for who may not wait for the catalog. Layer: node.

Reactor thread only. What becomes durable here ends what is remembered of it before whoever wrote it is told, so nobody is given
an entry that is older than what has been acknowledged.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from attrs import define

from tagfs.model.entry import KIND, Entry
from tagfs.model.record import Record

MOST = 8_192
"""Entries that are remembered, at about a KiB each; those asked for last."""
MOST_PARTS = 64
"""Tags and versions of one; an entry with more is not remembered."""


@define(eq=False)
class Question:
    """A read of one entry that is under way; several may share it."""

    asked: int = 0
    fresh: bool = True
    """Whether nothing was written to the entry meanwhile."""


class Recent:
    """See above."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._questions: dict[str, Question] = {}

    def find(self, identifier: str) -> Entry | None:
        """The entry as it is now, with folded tags; None where it is not remembered."""
        found = self._entries.get(identifier)
        if found is not None:
            self._entries.move_to_end(identifier)
        return found

    def ask(self, identifier: str) -> Question:
        """Somebody is about to read that entry; :meth:`answer` follows."""
        question = self._questions.setdefault(identifier, Question())
        question.asked += 1
        return question

    def answer(self, identifier: str, question: Question, found: Entry | None) -> None:
        """It was read, or there was none."""
        question.asked -= 1
        if not question.fresh:
            return
        if not question.asked:
            del self._questions[identifier]
        if found is not None and len(found.tags) + len(found.versions) <= MOST_PARTS:
            self._entries[identifier] = found
            self._entries.move_to_end(identifier)
            if len(self._entries) > MOST:
                self._entries.popitem(last=False)

    def learn(self, states: Iterable[Record]) -> None:
        """Those records became durable."""
        for state in states:
            if state.kind == KIND:
                self._entries.pop(state.key, None)
                question = self._questions.pop(state.key, None)
                if question is not None:
                    question.fresh = False
