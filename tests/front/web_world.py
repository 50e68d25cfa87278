"""The web endpoint on loopback over a node in memory, and clients for it: http.client and bare sockets in other threads."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
import pytest_twisted
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.threads import deferToThread

from tagfs.front.web.site import WebFactory
from tagfs.model.entry import Entry
from tagfs.model.principal import OWNER
from tagfs.model.query import EVERYTHING, parse
from tagfs.node import accounts, passwords
from tagfs.node.accounts import Accounts
from tagfs.node.core import Core
from tagfs.node.node import Node
from tagfs.node.offload import Inline
from tagfs.storage.memory import MemoryCatalog
from tagfs.storage.memory_blobs import MemoryBlobStore

T = TypeVar("T")
API = "/api/v1"


@define
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client(http.client.HTTPConnection):
    """A connection that stays open, with what tests say often. Its methods block."""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; a body that is a dict goes as JSON, and ``_`` in names of headers stands for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body = json.dumps(body)
            named.setdefault("Content-Type", "application/json")
        self.request(method, path, body, named)
        answer = self.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def put_entry(self, name: str, *tags: str, data: Any = b"content", **headers: str) -> Any:
        """Stores an entry by HTTP; what the answer says of it."""
        query = "&".join([f"name={name}", *(f"tag={tag}" for tag in tags)])
        answer = self.ask("POST", f"{API}/entries?{query}", data, **headers)
        assert answer.status == 201, answer.body
        return answer.json()


@define
class WebWorld:
    """The server: its node, its factory, and where it listens."""

    node: Node
    core: Core
    factory: WebFactory
    host: str
    port: int

    def session(self, work: Callable[[Client], T]) -> Deferred[T]:
        """Runs a blocking function with a client."""

        def run() -> T:
            client = Client(self.host, self.port, timeout=10)
            try:
                return work(client)
            finally:
                client.close()

        return deferToThread(run)

    def wire(self, work: Callable[[socket.socket], T]) -> Deferred[T]:
        """Runs a blocking function with a bare connection."""

        def run() -> T:
            with socket.create_connection((self.host, self.port), timeout=10) as sock:
                return work(sock)

        return deferToThread(run)

    def exchange(self, data: bytes) -> Deferred[bytes]:
        """Sends bytes; all that comes back until the server closes."""

        def work(sock: socket.socket) -> bytes:
            sock.sendall(data)
            return b"".join(iter(lambda: sock.recv(65536), b""))

        return self.wire(work)

    async def add(self, name: str, *tags: str, data: bytes = b"content", type: str | None = None) -> str:
        """Stores an entry past HTTP; its id."""
        receiving = await self.node.receive(OWNER, len(data))
        receiving.write(data)
        return str((await receiving.add(name, tags, type=type)).id)

    async def found(self, query: str = "") -> list[Entry]:
        """The entries that match, by name."""
        tree = parse(query) if query else EVERYTHING
        return sorted((await self.node.find(OWNER, tree)).entries, key=lambda entry: entry.name)

    async def content(self, identifier: str) -> bytes:
        """The content of an entry."""
        reading = await self.node.read(OWNER, identifier)
        try:
            return await reading.read(1 << 30)
        finally:
            reading.close()


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of who may log in, not of how long that takes."""
    monkeypatch.setattr(passwords, "_LOG_N", 4)
    monkeypatch.setattr(accounts, "NEVER", passwords.NEVER.replace("$15$", "$4$"))


@pytest_twisted.async_yield_fixture
async def web() -> AsyncIterator[WebWorld]:
    from twisted.internet import reactor

    inline = Inline()
    core = Core(
        "testnode",
        MemoryCatalog("testnode"),
        MemoryBlobStore(),
        writer=inline,
        readers=inline,
        transfers=inline,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    node = Node(core, "test", "", "", Accounts(core, inline, reactor, OWNER))
    factory = WebFactory(node, reactor, names=["files.example"])
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    address = listening.getHost()
    yield WebWorld(node, core, factory, address.host, address.port)
    await listening.stopListening()
    await factory.close()
