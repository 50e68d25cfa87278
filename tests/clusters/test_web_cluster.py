"""The web endpoint of a node in a cluster: contents that another node holds, news from elsewhere, figures of repair."""

from __future__ import annotations

import io
import json
import os
import re
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns.cluster.nodes import Cluster, all_see, until
from tests.campaigns.node_process import ROOT, NodeProcess

pytestmark = pytest.mark.slow
SIZE = 3 << 20


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.end()


def ask(node: NodeProcess, path: str, data: bytes | None = None, **headers: str) -> Any:
    request = urllib.request.Request(f"{node.facts['web']}{path}", data=data, headers=headers)
    return urllib.request.urlopen(request, timeout=20)


def text(node: NodeProcess, path: str) -> Any:
    with ask(node, path) as answer:
        return json.load(answer)


def ready(node: NodeProcess) -> bool:
    try:
        return bool(text(node, "/healthz")["ready"])
    except OSError:
        return False


def test_any_node_serves_everything(cluster: Cluster) -> None:
    """With one copy of each content, every node gives each of them, whole, in part and in a zip; it hears of what others store,
    shows all nodes, and tells Prometheus all that the dashboard asks for."""
    members = cluster.start("a", "b")
    until(lambda: all_see(members) and all(map(ready, members)), "both are there and ready")
    first, second = members
    with first.client() as client:
        client.set_cluster_settings(["copies=1"])
    listening = ask(second, "/api/v1/events")
    contents = {}
    for number in range(8):
        data = os.urandom(SIZE)
        with ask(first, f"/api/v1/entries?name=f{number}&tag=t", data) as answer:
            contents[json.load(answer)["id"]] = data
    heard: set[str] = set()
    while heard != set(contents):
        found = re.match(rb'data: {"id":"(\w+)","state":"live"', listening.readline())
        if found:
            heard.add(found[1].decode())
    listening.close()
    for node in members:
        for identifier, data in contents.items():
            path = f"/api/v1/entries/{identifier}/content"
            with ask(node, path) as answer:
                assert answer.read() == data
            with ask(node, path, Range="bytes=1000000-2999999") as answer:
                assert (answer.status, answer.read()) == (206, data[1_000_000:3_000_000])
        with ask(node, "/api/v1/archive?q=t") as answer:
            unpacked = zipfile.ZipFile(io.BytesIO(answer.read()))
            assert sorted(map(unpacked.read, unpacked.namelist())) == sorted(contents.values())
        assert {row["state"] for row in text(node, "/api/v1/nodes")["nodes"]} == {"alive"}
    with ask(second, "/metrics") as answer:
        figures = answer.read().decode()
    assert 'tagfs_members{state="alive"} 2.0' in figures
    there = set(re.findall(r"^(\w+)", figures, re.MULTILINE))
    dashboard = json.loads((ROOT / "docs/guides/grafana-dashboard.json").read_text())
    asked = {name for panel in dashboard["panels"] for target in panel["targets"]
             for name in re.findall(r"(?:tagfs|process)_\w+", target["expr"])}  # fmt: skip
    assert len(asked) >= 18 and asked <= there, asked - there
