"""A cluster that runs in containers, as its users see it: clients of the nodes, and what they say of each other."""

from __future__ import annotations

import ftplib
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import define

from tagfs.client import Client, ClientError

USER = "admin"
Files = Mapping[str, bytes]
"""Path of a file, as in ``animals/birds/owl.svg``, and its content."""


def wait_until(holds: Callable[[], object], limit_s: float, what: str) -> float:
    """Waits for a condition; the seconds that it took. Fails with the last thing that it gave, or raised of the client's errors."""
    began = time.monotonic()
    last: object = None
    while time.monotonic() - began < limit_s:
        try:
            last = holds()
            if last is True:
                return time.monotonic() - began
        except (ClientError, OSError, ftplib.Error) as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {limit_s:g} s; last: {last!r}")


@define
class World:
    """The nodes' addresses by name, and the password of their admin. This machine reaches every network."""

    addresses: dict[str, str]
    password: str

    @contextmanager
    def client(self, node: str, timeout: float = 20) -> Iterator[Client]:
        with Client(self.addresses[node], 2121, USER, self.password, timeout=timeout) as client:
            yield client

    @contextmanager
    def ftp(self, node: str) -> Iterator[ftplib.FTP]:
        with ftplib.FTP() as session:
            session.connect(self.addresses[node], 2121, timeout=30)
            session.login(USER, self.password)
            yield session

    def states(self, node: str) -> dict[str, str]:
        """The state of each node, by name, as one of them sees it."""
        with self.client(node, timeout=5) as client:
            return {row.name: row.state for row in client.nodes()}

    def see(self, witnesses: Iterable[str], nodes: Iterable[str], state: str) -> bool | object:
        """Whether all witnesses see all nodes in a state; else what the first other one sees."""
        wanted = dict.fromkeys(nodes, state)
        for witness in witnesses:
            states = self.states(witness)
            if any(states.get(node) != state for node in wanted):
                return witness, states
        return True

    def all_see_all(self) -> bool | object:
        return self.see(self.addresses, self.addresses, "alive")

    def listing(self, node: str, query: str) -> list[tuple[str, str, tuple[str, ...]]]:
        """The entries of a query at one node: id, name and tags, in the order of ids."""
        with self.client(node) as client:
            return sorted((row.id, row.name, tuple(sorted(row.tags))) for row in client.find(query))

    def agree(self, query: str = "") -> bool | object:
        """Whether all nodes give the same entries, and each says that its answer is complete."""
        first, *others = self.addresses
        wanted = self.listing(first, query)
        for node in others:
            if (found := self.listing(node, query)) != wanted:
                return node, set(found) ^ set(wanted)
        for node in self.addresses:
            with self.client(node) as client:
                if "complete=yes" not in client.request(f"FIND {query} | limit=1").text:
                    return node, "not complete"
        return True

    def content(self, node: str, entry: str) -> bytes:
        parts: list[bytes] = []
        with self.client(node) as client:
            client.get(entry, parts.append)
        return b"".join(parts)

    def copies(self, query: str = "") -> dict[str, str]:
        """``copies`` of each entry of a query, by name, as the first node tells it."""
        with self.client(next(iter(self.addresses))) as client:
            return {row.name: str(client.info(row.id).get("copies")) for row in list(client.find(query))}

    def check_contents(self, expected: Mapping[str, bytes], nodes: Iterable[str] | None = None) -> None:
        """Every node gives every entry (by id) byte for byte."""
        for node in nodes or self.addresses:
            with self.client(node) as client:
                for entry, content in expected.items():
                    parts: list[bytes] = []
                    client.get(entry, parts.append)
                    assert b"".join(parts) == content, (node, entry)


def world_of(status: str, password: str) -> World:
    """From what ``status --json`` and ``password`` of tagfs-podman say."""
    nodes = [each for each in json.loads(status) if each["name"] != "router"]
    return World({each["name"]: each["address"] for each in nodes}, password.strip())


def part_of_corpus(root: Path, folders: Iterable[str], most: int) -> dict[str, bytes]:
    """The first drawings of some folders, by their paths below ``root``."""
    found: dict[str, bytes] = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*.svg")):
            if len(found) < most and path.is_file() and not path.is_symlink():
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def store_by_ftp(session: ftplib.FTP, files: Files) -> None:
    """Stores files where their paths say: each folder is a tag."""
    for path, content in files.items():
        session.storbinary(f"STOR /{path}", io.BytesIO(content))


def fetch_by_ftp(session: ftplib.FTP, path: str) -> bytes:
    parts: list[bytes] = []
    session.retrbinary(f"RETR /{path}", parts.append)
    return b"".join(parts)
