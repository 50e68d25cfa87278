"""Nodes of a cluster as processes: started, asked what they see, frozen, killed."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path

from tagfs.client import Client
from tagfs.client.errors import ConnectionFailed, ConnectionLost, TryLater
from tagfs.client.rows import NodeRow
from tests.campaigns.cluster.network import IP, inside
from tests.campaigns.node_process import NodeProcess

NOTICED_S = 10.0
"""Seconds within which a node that comes, goes or returns is noticed by all (DESIGN section 7)."""


def free_udp_port() -> int:
    """A port for beacons that no other run uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], what: str, limit_s: float = NOTICED_S) -> float:
    """Waits until something is true; returns how long that took in seconds."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < limit_s, f"not within {limit_s} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begin


class Member(NodeProcess):
    """One node of a cluster under test. ``clock_offset`` (``+2h``) makes its next start wrong about the time, by libfaketime."""

    def __init__(self, data: Path, options: Sequence[str], namespace: str = "") -> None:
        super().__init__(data, options)
        self.namespace = namespace
        self.clock_offset = ""

    @property
    def prefix(self) -> Sequence[str]:
        """The programs that the node is started through."""
        namespace = (IP, "netns", "exec", self.namespace) if self.namespace else ()
        if not self.clock_offset:
            return namespace
        # Not by the command faketime, which stays as a parent of the node. The monotonic clock is left alone, as a real
        # clock that is wrong leaves it.
        (library,) = glob("/usr/lib/*/faketime/libfaketime.so.1")
        return (*namespace, "env", f"LD_PRELOAD={library}", f"FAKETIME={self.clock_offset}", "DONT_FAKE_MONOTONIC=1")

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    @property
    def seed(self) -> str:
        """Where others reach it."""
        return str(self.facts["node"])

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client of its tag protocol, from inside its namespace."""
        with inside(self.namespace):
            made = Client(*self.address)
        try:
            yield made
        finally:
            made.close()

    def nodes(self) -> Mapping[str, NodeRow]:
        """What NODES says there, by node id; empty while it does not answer."""
        try:
            with self.client() as client:
                return {row.id: row for row in client.nodes()}
        except (OSError, ConnectionFailed, ConnectionLost):
            return {}

    def sees(self, others: Iterable[Member], state: str = "alive") -> bool:
        """Whether it sees all those in that state."""
        seen = self.nodes()
        return all(other.id in seen and seen[other.id].state == state for other in others)

    def may_write(self) -> bool:
        """Whether it takes changes: a node that is in no cluster yet does not."""
        with self.client() as client:
            try:
                client.request("SAVE probe | probe")
            except TryLater:
                return False
        return True

    def said(self, pattern: str) -> bool:
        """Whether its log has a line with that in it."""
        return re.search(pattern, self.log.read_text(errors="replace")) is not None

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class Cluster:
    """Nodes with one key, in one directory; all are stopped at the end, whatever state they are in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = directory / "cluster.key"
        self.key.write_text(secrets.token_hex(32) + "\n")
        self.key.chmod(0o600)
        self.beacon_port = free_udp_port()
        self.members: list[Member] = []

    def node(
        self,
        name: str,
        *options: str,
        join: Sequence[Member] = (),
        key: Path | None = None,
        namespace: str = "",
        discovery: bool = True,
        within: str = "",
    ) -> Member:
        """A node that is not started yet; ``within`` is a directory below this cluster's for its data."""
        made = Member(
            self.directory / within / name,
            [
                *("--name", name, "--cluster-key", str(key or self.key), "--beacon-port", str(self.beacon_port)),
                *(() if discovery else ("--discovery", "off")),
                *(word for member in join for word in ("--join", member.seed)),
                *options,
            ],
            namespace,
        )
        self.members.append(made)
        return made

    def start(self, *names: str, join: Sequence[Member] = (), discovery: bool = True) -> list[Member]:
        """Starts nodes of these names on loopback, one after the other."""
        made = [self.node(name, join=join, discovery=discovery) for name in names]
        for member in made:
            member.start()
        return made

    def end(self) -> None:
        """Ends all processes."""
        for member in self.members:
            if member.running:
                member.thaw()
                member.kill()


def all_see(members: Sequence[Member], others: Sequence[Member] | None = None, state: str = "alive") -> bool:
    """Whether each of ``members`` sees all ``others`` (itself left out) in that state."""
    return all(
        member.sees([other for other in (others or members) if other is not member], state) for member in members
    )
