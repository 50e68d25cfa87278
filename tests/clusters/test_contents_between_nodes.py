"""Contents between real nodes: copies appear by themselves, any node gives any range, a holder may die in the middle."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagfs.client import Body
from tagfs.client.errors import Missing
from tests.campaigns.cluster.nodes import Cluster, Member, all_see, until

pytestmark = pytest.mark.slow

SIZE = int(os.environ.get("TAGFS_TEST_CONTENT_MIB", "64")) << 20
PIECE = 1 << 20


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.end()


def start(cluster: Cluster, *names: str) -> list[Member]:
    """Nodes of a cluster that wants two copies."""
    first = cluster.node(names[0], "--copies", "2", discovery=False)
    first.start()
    members = [first]
    for name in names[1:]:
        members.append(cluster.node(name, join=[first], discovery=False))
        members[-1].start()
    until(lambda: all_see(members), "all see each other", 30)
    until(lambda: all(member.may_write() for member in members), "all take changes", 30)
    return members


def told(member: Member, entry: str) -> tuple[str, list[str]]:
    """``copies`` and ``nodes`` of INFO."""
    with member.client() as client:
        try:
            found = client.info(entry)
        except Missing:
            return "", []
    return found.get("copies"), found.get("nodes").split()


def figure(member: Member, name: str) -> float:
    """One figure of its monitoring."""
    with urllib.request.urlopen(f"{member.facts['web']}/metrics", timeout=30) as answer:
        found = re.search(rf"^{name} ([0-9.e+]+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


class Download:
    """GET over the tag protocol, as slow as its caller reads."""

    def __init__(self, member: Member, entry: str, offset: int) -> None:
        self.connection = member.connect(60)
        self.connection.sendall(f"GET {entry} | offset={offset}\r\n".encode())
        self.file = self.connection.makefile("rb", buffering=PIECE)
        while not (line := self.file.readline()).startswith(b"150"):
            assert line.startswith((b"220", b" ")), line
        self.size = int(line.split()[1])

    def read(self, size: int) -> bytes:
        return self.file.read(size)

    def end(self) -> bytes:
        """The final reply."""
        line = self.file.readline()
        self.file.close()
        self.connection.close()
        return line


def test_a_range_by_way_of_another_node_whose_holder_dies(cluster: Cluster, tmp_path: Path) -> None:
    """A content stored at one node is read from the middle on by way of one that lacks it; the holder that serves it is killed
    on the way, and every byte arrives."""
    members = start(cluster, "a", "b", "c", "d")
    by_id = {member.id: member for member in members}
    path = tmp_path / "content"
    with path.open("wb") as file:
        for _ in range(SIZE // PIECE):
            file.write(os.urandom(PIECE))
    with members[0].client() as client:
        entry = client.add("large", Body(lambda: path.open("rb"), SIZE, "content"), tags=["big"]).id
    until(lambda: all(told(member, entry)[0] == "2/2" for member in members), "all know of two copies", 60)
    until(lambda: not any(figure(member, "tagfs_owed_contents") for member in members), "nothing is owed", 60)
    # Who took it in has it, and who fetched it; the news of a copy may still be on its way.
    holders = sorted({members[0].id, *(m.id for m in members if figure(m, "tagfs_fetched_bytes_total") >= SIZE)})
    until(lambda: all(sorted(told(member, entry)[1]) == holders for member in members), "all know who has it", 5)
    reader = next(member for member in members if member.id not in holders)
    before = reader.resident_bytes()
    offset = SIZE // 4 + 12_345
    download = Download(reader, entry, offset)
    assert download.size == SIZE - offset
    with path.open("rb") as file:
        file.seek(offset)
        for _ in range(10):
            assert download.read(PIECE) == file.read(PIECE)
        serving = max((by_id[id] for id in holders), key=lambda member: figure(member, "tagfs_given_bytes_total"))
        serving.kill()
        while expected := file.read(PIECE):
            assert download.read(len(expected)) == expected
    assert download.end().startswith(b"226")
    assert reader.resident_bytes() - before < 48 << 20
    assert sorted(told(reader, entry)[1]) == holders  # nothing was stored there
