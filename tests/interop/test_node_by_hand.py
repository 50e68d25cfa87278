"""The node protocol typed by hand: netcat and telnet with TLS off, openssl with TLS, as docs/protocols/node.md shows it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread

from tagfs.cluster import founding
from tests.node.peers.cluster_world import ClusterWorld
from tests.node.peers.peer_world import KEY, World

PAGE = (Path(__file__).parents[2] / "docs/protocols/node.md").read_text(encoding="utf-8")
TYPED = dict(re.findall(r"^```typed as=(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
SHELL = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
HOLE = re.compile(r"\{(\w+)\}")
HAND = "00000000000000000000000000"
"""An id to claim where TLS is off."""


class Terminal(ProcessProtocol):
    """A client and what it shows."""

    transport: IProcessTransport

    def __init__(self) -> None:
        self.shown = b""
        self.over: Deferred[None] = Deferred()
        self._waiting: tuple[Callable[[], object], Deferred[None]] | None = None

    def outReceived(self, data: bytes) -> None:
        self.shown += data
        self._look()

    def errReceived(self, data: bytes) -> None:
        """What it has to say besides: openssl tells of the certificate there."""

    def processEnded(self, reason: object) -> None:
        self.over.callback(None)
        self._look()

    async def line(self) -> str:
        """The next line, without its end."""
        await self._until(lambda: b"\n" in self.shown)
        line, _, self.shown = self.shown.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")

    async def until(self, pattern: str) -> re.Match[str]:
        """The next line that fits, whatever comes before it."""
        while not (found := re.search(pattern, await self.line())):
            pass
        return found

    async def skip(self, size: int) -> None:
        """Drops so many bytes."""
        await self._until(lambda: len(self.shown) >= size)
        self.shown = self.shown[size:]

    async def _until(self, condition: Callable[[], object]) -> None:
        if not condition():
            assert not self.over.called, self.shown
            waiting: Deferred[None] = Deferred()
            self._waiting = (condition, waiting)
            await waiting

    def _look(self) -> None:
        if self._waiting is not None and (self._waiting[0]() or self.over.called):
            (_, waiting), self._waiting = self._waiting, None
            waiting.callback(None)


async def shell(directory: Path, command: str) -> str:
    """What a command prints, in a shell that has read the first lines of the page."""
    script = f"set -e\n{SHELL[0]}\n{command}"
    done = await deferToThread(
        subprocess.run, ["bash", "-c", script], cwd=directory, check=True, stdout=subprocess.PIPE, text=True
    )
    return str(done.stdout).strip()


async def replay(terminal: Terminal, directory: Path, block: str, known: dict[str, str]) -> None:
    """Types and checks a block of the page. The rows of an answer may come in any order."""
    lines = iter(block.splitlines())
    rows: list[str] = []
    for line in lines:
        if line.startswith("$ "):
            command = HOLE.sub(lambda hole: known[hole[1]], line[2:])
            known[next(lines).strip("{}")] = await shell(directory, command)
        elif line.startswith("C: "):
            terminal.transport.write(HOLE.sub(lambda hole: known[hole[1]], line[3:]).encode() + b"\n")
        elif " ROW " in line:
            rows.append(line[3:])
        else:
            while rows:
                said = await terminal.line()
                rows.remove(next(row for row in rows if fits(row, said, known)))
            said = await terminal.line()
            assert fits(line[3:], said, known), f"expected {line[3:]!r} with {known}, got {said!r}"
            if body := re.search(r" \{(\d+)\}$", said):
                await terminal.skip(int(body[1]))


def fits(text: str, said: str, known: dict[str, str]) -> bool:
    """Whether what was said is what the page says; what it said for the first time is known then."""
    pattern = ""
    for place, part in enumerate(HOLE.split(text)):
        if place % 2 == 0:
            pattern += ".*".join(map(re.escape, part.split("…")))
        else:
            pattern += re.escape(known[part]) if part in known else f"(?P<{part}>.+)"
    found = re.fullmatch(pattern, said)
    if found:
        known.update(found.groupdict())
    return found is not None


@pytest_twisted.async_yield_fixture
async def cluster(tls: bool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ClusterWorld]:
    """A node that founded a cluster without waiting for others."""
    from twisted.internet import reactor

    monkeypatch.setattr(founding, "WAIT_S", 0.0)
    made = ClusterWorld(World(reactor, tls))
    first = made.member(1)
    await made.world.until(lambda: first.cluster.view.cluster)
    yield made
    await made.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the person works, with the key at hand."""
    (tmp_path / "cluster.key").write_text(KEY.hex() + "\n")
    return tmp_path


def start(cluster: ClusterWorld, command: list[str]) -> Terminal:
    """A client that was started."""
    terminal = Terminal()
    cluster.world.reactor.spawnProcess(terminal, command[0], command, env=os.environ)
    return terminal


@pytest.mark.parametrize("tls", [False], ids=["plain"])
@pytest.mark.parametrize("who", TYPED)
@pytest.mark.parametrize("tool", ["nc.openbsd", "nc.traditional", "telnet"])
async def test_without_tls(
    cluster: ClusterWorld, directory: Path, require_tool: Callable[[str], str], tool: str, who: str
) -> None:
    """A query of the members and a join, with nothing but lines."""
    terminal = start(cluster, [require_tool(tool), *cluster.members[0].address.split(":")])
    known = {"binding": "-", "node": HAND}
    if tool == "telnet":
        await terminal.until("Escape character")
    await replay(terminal, directory, TYPED[who], known)
    terminal.transport.closeStdin()
    await terminal.over
    assert (HAND in cluster.members[0].cluster.view.members) == (who == "node")


@pytest.mark.parametrize("tls", [True], ids=["tls"])
@pytest.mark.parametrize("who", TYPED)
async def test_with_tls(cluster: ClusterWorld, directory: Path, require_tool: Callable[[str], str], who: str) -> None:
    """The same through openssl, with the binding that it shows, and for a join with a certificate made by hand."""
    require_tool("openssl")
    (by_person,) = SHELL[1].splitlines()
    make, read_id, rest, by_node = SHELL[2].splitlines()
    known = {}
    line = by_person
    if who == "node":
        known["node"] = await shell(directory, f"{make} 2>/dev/null\n{read_id}\n{rest}")
        line = by_node
    address = cluster.members[0].address
    command = ["bash", "-c", f"cd {directory} && exec {line.replace('127.0.0.1:4747', address)}"]
    terminal = start(cluster, command)
    known["binding"] = (await terminal.until(r"Keying material: ([0-9A-F]{64})$"))[1].lower()
    greeting = await terminal.until("^TAGFS .*")
    terminal.shown = greeting[0].encode() + b"\n" + terminal.shown
    await replay(terminal, directory, TYPED[who], known)
    await terminal.over
    assert len(cluster.members[0].cluster.view.members) == (2 if who == "node" else 1)


@pytest.mark.parametrize("tls", [False], ids=["plain"])
async def test_a_wrong_proof(cluster: ClusterWorld, require_tool: Callable[[str], str]) -> None:
    """Somebody without the key learns nothing, and the connection ends."""
    terminal = start(cluster, [require_tool("nc.openbsd"), "-N", *cluster.members[0].address.split(":")])
    await terminal.line()
    terminal.transport.write(b"- MEMBERS\n- AUTH node=- nonce=00 proof=" + b"0" * 64 + b"\n- MEMBERS\n")
    assert re.match("- NO auth ", await terminal.line())
    assert re.match("- NO auth the proof is wrong", await terminal.line())
    terminal.transport.closeStdin()
    await terminal.over
    assert terminal.shown == b""
