"""Entries in memory: what was read lately is read again without the catalog or a thread, and never as it was before a write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tagfs.errors import BadRequest, NotFound
from tagfs.model.principal import OWNER
from tagfs.model.query import Text
from tagfs.node import recent
from tagfs.node.nearby import Nearby
from tagfs.node.offload import Inline
from tagfs.node.recent import Recent
from tests.node.conftest import World, now


class Busy(Inline):
    """Threads that answer later: what was called ran at once, but nobody hears of it before :meth:`answer`."""

    def __init__(self) -> None:
        self.calls = 0
        self._waiting: list[Callable[[], None]] = []

    def run(self, call: Callable[[], Any]) -> Deferred[Any]:
        self.calls += 1
        answer: Deferred[Any] = Deferred()
        ran = super().run(call)
        self._waiting.append(lambda: ran.chainDeferred(answer))
        return answer

    def answer(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()


class Far(Nearby):
    """Nothing is quick."""

    async def run(self, offload: Any, call: Callable[[], Any]) -> Any:
        return await offload.run(call)


@pytest.fixture
def busy(world: World) -> Busy:
    """The threads of the node, which do whatever is not remembered."""
    world.core.nearby = Far()
    world.core.readers = world.core.transfers = Busy()
    return world.core.readers


def read(world: World, identifier: str) -> Deferred[bytes]:
    async def content() -> bytes:
        reading = await world.node.read(OWNER, identifier)
        return await reading.read(100)

    return Deferred.fromCoroutine(content())


def result(asked: Deferred[Any]) -> Any:
    assert asked.called, "it waits for something"
    return asked.result


def test_what_was_read_lately_needs_no_thread(world: World, busy: Busy) -> None:
    """Not the first time; then at once, also what INFO looks up, and with the same errors."""
    identifier = world.store("a.txt", data=b"0123456789")
    first = read(world, identifier)
    assert not first.called
    busy.answer()
    assert result(first) == b"0123456789"
    assert busy.calls == 1
    assert result(read(world, identifier)) == b"0123456789"
    assert world.content(identifier, offset=3, length=4) == b"3456"
    with pytest.raises(BadRequest, match="beyond"):
        world.content(identifier, offset=11)
    with pytest.raises(NotFound, match="version"):
        world.content(identifier, version="x")
    assert busy.calls == 1


def test_bytes_that_are_not_in_memory_are_read_by_a_thread(
    world: World, busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry may be known and its content not at hand."""
    monkeypatch.setattr(world.blobs, "open_now", lambda digest: None)
    identifier = world.store("a.txt", data=b"0123456789")
    for _ in range(2):
        asked = read(world, identifier)
        assert not asked.called
        busy.answer()
        assert result(asked) == b"0123456789"


def test_a_write_is_seen_at_once(world: World) -> None:
    """Whatever is remembered ends with the write that changes it."""
    identifier = world.store("a.txt", data=b"one")
    assert world.content(identifier) == b"one"
    receiving = now(world.node.receive(OWNER, 3))
    receiving.write(b"two")
    now(receiving.replace(identifier))
    assert world.content(identifier) == b"two"
    now(world.node.rename(OWNER, identifier, "b.txt"))
    assert now(world.node.read(OWNER, identifier)).entry.name == "b.txt"
    now(world.node.delete(OWNER, Text("id", identifier, False)))
    assert now(world.node.read(OWNER, identifier)).entry.trashed is not None
    now(world.node.purge(OWNER, Text("id", identifier, False)))
    with pytest.raises(NotFound):
        world.content(identifier)


def test_an_answer_that_a_write_overtook_is_not_remembered(world: World, busy: Busy) -> None:
    """It was right when it was asked for; the next one asks again."""
    identifier = world.store("a.txt")
    asked = read(world, identifier)
    now(world.node.rename(OWNER, identifier, "b.txt"))
    busy.answer()
    assert result(asked) == b"content"
    assert world.core.recent.find(identifier) is None
    again = Deferred.fromCoroutine(world.node.read(OWNER, identifier))
    busy.answer()
    assert result(again).entry.name == "b.txt"
    found = world.core.recent.find(identifier)
    assert found is not None and found.name == "b.txt"


def test_nothing_is_kept_of_who_asked_in_vain(world: World) -> None:
    """Questions end with their answers, bad ones too."""
    identifier = world.store("a.txt")
    questions = world.core.recent._questions
    with pytest.raises(NotFound):
        world.content("0" * 26)
    with pytest.raises(BadRequest):
        world.content(identifier, offset=100)
    assert not questions


def test_what_is_remembered_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those asked for last stay, and none that takes much room."""
    monkeypatch.setattr(recent, "MOST", 2)
    monkeypatch.setattr(recent, "MOST_PARTS", 3)
    names = [world.store(name) for name in "abc"]
    for identifier in (names[0], names[1], names[0], names[2]):
        world.content(identifier)
    assert [world.core.recent.find(each) is not None for each in names] == [True, False, True]
    many = world.store("d", "1", "2", "3", "4")
    world.content(many)
    assert world.core.recent.find(many) is None


def test_several_ask_for_one(world: World) -> None:
    """They share the question; a write in between makes all of their answers old, not that of who asks afterwards."""
    identifier = world.store("a.txt")
    entry = now(world.node.read(OWNER, identifier)).entry
    memory = Recent()
    early, later = memory.ask(identifier), memory.ask(identifier)
    memory.answer(identifier, early, entry)
    assert memory.find(identifier) == entry
    memory.learn(world.catalog.records("entry", "", 1))
    assert memory.find(identifier) is None
    fresh = memory.ask(identifier)
    memory.answer(identifier, later, entry)
    assert memory.find(identifier) is None
    memory.answer(identifier, fresh, entry)
    assert memory.find(identifier) == entry
    assert not memory._questions
