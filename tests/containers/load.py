"""Users at work while nodes come and go: each knows all addresses, and goes on at the next one where one is away."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

from attrs import Factory, define

from tagfs.client import Client, Closing, ConnectionFailed, ConnectionLost, NoGreeting, TryLater
from tests.containers.world import USER, World

AWAY = (ConnectionFailed, ConnectionLost, Closing, NoGreeting, TryLater, OSError)
"""What a node says, or does not say, that stops or starts. Everything else is a failure at once."""
SETTLED_S = 2.0
"""What is acknowledged is durable on a majority of its copies. The other nodes are told at once but not waited for, and one that
was restarting meanwhile asks for it within a second (docs/architecture/cluster.md): a read there may come a moment too early."""
PATIENCE_S = 3.0
"""An operation that no node takes within this time has failed: one of five nodes is away at a time, not all."""


@define
class Load:
    """Writers and readers in threads of their own. ``stop`` ends them; then the lists tell what was done."""

    world: World
    written: dict[str, bytes] = Factory(dict)
    """Id of each acknowledged entry, and its content."""
    reads: int = 0
    slowest_s: float = 0.0
    failures: list[str] = Factory(list)
    _acknowledged: list[tuple[float, str]] = Factory(list)
    """When each entry was acknowledged, and its id."""
    _over: threading.Event = Factory(threading.Event)
    _threads: list[threading.Thread] = Factory(list)
    _lock: threading.Lock = Factory(threading.Lock)

    def start(self, writers: int, readers: int) -> None:
        roles = [(self._write, number) for number in range(writers)] + [
            (self._read, number) for number in range(readers)
        ]
        for role, number in roles:
            thread = threading.Thread(target=self._work, args=(role, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _work(self, role: Callable[[int, int], Callable[[Client], None]], number: int) -> None:
        """One user: an operation after the other, over one connection as long as that lasts."""
        nodes = itertools.cycle([*self.world.addresses][number:] + [*self.world.addresses][:number])
        client: Client | None = None
        for turn in itertools.count():
            if self._over.is_set():
                break
            client = self._do(role(number, turn), client, nodes)
            self._over.wait(0.02)
        if client is not None:
            client.close()

    def _do(
        self, operation: Callable[[Client], None], client: Client | None, nodes: itertools.cycle[str]
    ) -> Client | None:
        """One operation, tried at one node after the other."""
        began = time.monotonic()
        tried = []
        while True:
            try:
                if client is None:
                    node = next(nodes)
                    client = Client(self.world.addresses[node], 2121, USER, self.world.password, timeout=PATIENCE_S)
                operation(client)
            except AWAY as error:
                tried.append(repr(error))
                client = client and client.close()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must tell it
                where = client and client.address.host
                self.failures.append(f"{time.strftime('%H:%M:%S')} {where}: {operation.__qualname__}: {error!r}")
                return client
            else:
                with self._lock:
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                return client
            if time.monotonic() - began > PATIENCE_S:
                self.failures.append(f"no node took it: {tried}")
                return client

    def _write(self, number: int, turn: int) -> Callable[[Client], None]:
        """Stores a file. The key makes a repeat at another node the same entry."""
        name = f"load-{number}-{turn}.txt"
        content = f"{name} ".encode() * 50

        def operation(client: Client) -> None:
            stored = client.add(name, content, tags=["load", f"writer={number}"], key=name)
            with self._lock:
                self.written[stored.id] = content
                self._acknowledged.append((time.monotonic(), stored.id))

        return operation

    def _read(self, number: int, turn: int) -> Callable[[Client], None]:
        """Fetches something that was acknowledged a moment ago, and counts what has its tag."""

        def operation(client: Client) -> None:
            with self._lock:
                known = [entry for since, entry in self._acknowledged if since < time.monotonic() - SETTLED_S]
                if not known:
                    return
                entry = known[(turn * 7 + number) % len(known)]
                content = self.written[entry]
            parts: list[bytes] = []
            client.get(entry, parts.append)
            assert b"".join(parts) == content, entry
            assert client.count("load") > 0
            with self._lock:
                self.reads += 1

        return operation
