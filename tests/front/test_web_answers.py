"""Answers that are given again: only to the same one, only while nothing changed, and no longer than a moment."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection

from tagfs.errors import Corrupt
from tagfs.front.web import answers as module
from tagfs.front.web.answers import FRESH_S, Answers
from tagfs.front.web.reply import Reply, document
from tagfs.front.web.site import WebFactory
from tagfs.model.principal import OWNER, Principal, Role
from tests.front.test_web_uploads import until
from tests.front.web_world import API, Client, WebWorld, web

__all__ = ["web"]

KEY = (OWNER, "/x?q=a", False)


async def test_a_change_is_seen_by_the_next_question(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same question costs the node nothing as long as nothing changes; after any change it is asked again, by whatever
    door that came."""
    asked: list[Any] = []
    find = web.node.find

    async def counted(*args: Any, **more: Any) -> Any:
        asked.append(args)
        return await find(*args, **more)

    monkeypatch.setattr(web.node, "find", counted)
    monkeypatch.setattr(module, "FRESH_S", 3600.0)

    def total(client: Client, query: str = "q=t&limit=5", **headers: str) -> int:
        return int(client.get(f"{API}/entries?{query}", **headers).json()["total"])

    def work(client: Client) -> None:
        for number in range(5):
            client.put_entry(f"f{number}", "t")
            for _ in range(3):
                assert total(client) == number + 1
        assert len(asked) == 5
        identifier = client.get(f"{API}/entries?q=name:f0").json()["entries"][0]["id"]
        for change, left in (
            (("DELETE", f"{API}/entries/{identifier}", None), 4),
            (("POST", f"{API}/restore", {"query": "t"}), 5),
            (("PATCH", f"{API}/entries/{identifier}", {"delete_tags": ["t"]}), 4),
        ):
            client.ask(*change)
            assert total(client) == left
        assert [row["tag"] for row in client.get(f"{API}/tags").json()["tags"]] == ["t"]
        client.ask("POST", f"{API}/retag", {"query": "t", "add_tags": ["u"]})
        assert len(client.get(f"{API}/tags").json()["tags"]) == 2

    await web.session(work)
    before = len(asked)
    await web.session(lambda client: [total(client, "q=t"), total(client, "q=t"), total(client, "q=t&sort=name")])
    assert len(asked) == before + 2


async def test_many_who_ask_the_same_at_once_cost_one_question(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for the first one's answer; where that fails, or a change overtook it, for that of the next one."""
    gates: list[Deferred[None]] = []
    find = web.node.find

    async def slow(*args: Any, **more: Any) -> Any:
        gates.append(Deferred())
        await gates[-1]
        return await find(*args, **more)

    monkeypatch.setattr(web.node, "find", slow)

    def ask(client: Client) -> int:
        answer = client.get(f"{API}/entries?q=t")
        return int(answer.json()["total"]) if answer.status == 200 else -answer.status

    async def crowd() -> list[Deferred[int]]:
        asking = [web.session(ask) for _ in range(4)]
        await until(lambda: sum(map(len, web.factory.door.answers._asked.values())) == 3)
        return asking

    first = await crowd()
    assert len(gates) == 1
    gates[0].callback(None)
    assert await gatherResults(first) == [0, 0, 0, 0]
    await web.add("a", "t")
    second = await crowd()
    await web.add("b", "t")
    gates[1].callback(None)
    await until(lambda: len(gates) == 3)
    gates[2].callback(None)
    assert await gatherResults(second) == [2, 2, 2, 2]
    await web.add("c", "t")
    third = await crowd()
    gates[3].errback(Corrupt("broken"))
    await until(lambda: len(gates) == 5)
    gates[4].callback(None)
    assert sorted(await gatherResults(third)) == [-500, 3, 3, 3]
    assert not web.factory.door.answers._asked


async def test_packed_and_plain_are_two_answers(web: WebWorld) -> None:
    """Who takes no gzip gets none, whoever asked before; wrong parameters are refused each time."""
    for number in range(20):
        await web.add(f"f{number}", "some tag")

    def work(client: Client) -> None:
        for encoding in ("gzip", "identity", "gzip", "identity"):
            answer = client.get(f"{API}/entries", Accept_Encoding=encoding)
            assert (answer.headers["Content-Encoding"] == "gzip") is (encoding == "gzip")
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert client.get(f"{API}/entries?limitt=1").status == 400
        assert client.ask("HEAD", f"{API}/entries").body == b""
        assert len(client.get(f"{API}/entries").body) > 1000

    await web.session(work)


async def test_answers_belong_to_who_asked(web: WebWorld) -> None:
    """What one principal was told is not told to another, nor to the same one with other rights."""
    answers = Answers(web.node, Clock())
    answers.keep(KEY, web.node.generation, document({}))
    assert answers.find(KEY) is not None
    for other in (Principal("ann", Role.READ), OWNER._replace(role=Role.READ), OWNER._replace(confine="t")):
        assert answers.find((other, *KEY[1:])) is None


async def test_answers_end(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the next change, after a moment in any case; errors, and answers to a question that a change overtook, are not kept;
    all together are bounded."""
    clock = Clock()
    answers = Answers(web.node, clock)
    answers.keep(KEY, web.node.generation, document({}))
    clock.advance(FRESH_S)
    assert answers.find(KEY) is not None
    clock.advance(0.01)
    assert answers.find(KEY) is None
    before = web.node.generation
    answers.keep(KEY, before, document({}))
    await web.add("a")
    assert answers.find(KEY) is None
    answers.keep(KEY, before, document({}))
    answers.keep(KEY, web.node.generation, Reply(404))
    assert answers.find(KEY) is None
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    for number in range(10):
        answers.keep((OWNER, str(number), False), web.node.generation, Reply(200, b"x" * 300))
    held = [number for number in range(10) if answers.find((OWNER, str(number), False)) is not None]
    assert held == [7, 8, 9]
    for number in range(10):  # long questions with short answers count, too
        answers.keep((OWNER, f"{number}" * 900, False), web.node.generation, Reply(200, b"x"))
    assert len(answers._kept) == 2
    monkeypatch.setattr(module, "LARGEST", 600)
    answers.keep(KEY, web.node.generation, Reply(200, b"x" * 101))
    assert answers.find(KEY) is None


async def test_bytes_go_out_in_order_whatever_the_kernel_takes(web: WebWorld) -> None:
    """Handed over at once as far as there is room, else by the reactor; never past what waits, never after the end."""
    sent = bytearray()
    factory = WebFactory(web.node, Clock())

    class Transport(Connection):
        connected, disconnecting = True, False
        room = 0

        def __init__(self) -> None:
            self.dataBuffer = b""
            self._tempDataBuffer: list[bytes] = []

        def writeSomeData(self, data: bytes) -> int:
            part = bytes(data[: min(self.room, 4)])
            sent.extend(part)
            self.room -= len(part)
            return len(part)

        def write(self, data: bytes) -> None:
            self._tempDataBuffer.append(data)

    channel, transport = factory.buildProtocol(None), Transport()
    channel.transport = transport
    transport.room = 10
    channel.write(b"0123456")
    channel.write(b"789abc")
    assert (bytes(sent), transport._tempDataBuffer) == (b"0123456789", [b"abc"])
    transport.room = 10
    channel.writeSequence([b"d", b"ef"])
    assert (bytes(sent), transport._tempDataBuffer) == (b"0123456789", [b"abc", b"def"])
    transport._tempDataBuffer.clear()
    transport.disconnecting = True
    channel.write(b"late")
    assert len(sent) == 10
