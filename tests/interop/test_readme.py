"""Every command in README.md and in the tutorial does what the page says."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.documents import Step, missing_line, run_steps, steps_of

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory that looks like a checkout in which ./run was called."""
    bin_directory = tmp_path / ".venv/bin"
    bin_directory.mkdir(parents=True)
    (bin_directory / "tagfs").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tagfs.cli "$@"\n')
    (bin_directory / "tagfs").chmod(0o755)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


@pytest.fixture
def node(checkout: Path) -> Iterator[dict[str, str]]:
    """The run.json of a node that the first command of README.md has started, as far as tests can tell."""
    endpoint = "tcp:0:interface=127.0.0.1"
    process = subprocess.Popen(
        [sys.executable, "-m", "tagfs.quickstart", "--ftp", endpoint, "--web", endpoint, "--node", endpoint],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Stop with Ctrl-C" in line:
            break
    try:
        assert "Stop with Ctrl-C" in said, said
        yield json.loads((checkout / "tagfs-data/run.json").read_text())
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@pytest.mark.parametrize("page", ["README.md", "docs/guides/tutorial.md"])
def test_a_page_for_newcomers(
    checkout: Path, node: dict[str, str], require_tool: Callable[[str], str], page: str
) -> None:
    """The commands run from top to bottom, as a newcomer pastes them, and say what is shown."""
    for tool in ("curl", "nc.openbsd"):
        require_tool(tool)
    text, _, _ = (ROOT / page).read_text(encoding="utf-8").partition("## A second node")
    first, *steps = steps_of(text)
    assert first.commands == "./run\n"
    assert len(steps) >= 3
    host, _, port = node["ftp"].rpartition(":")

    def here(text: str) -> str:
        return text.replace("127.0.0.1:2121", node["ftp"]).replace("nc 127.0.0.1 2121", f"nc {host} {port}")

    steps = [Step(here(step.commands), step.expected) for step in steps]
    run_steps(steps, checkout, {"TAGFS_SERVER": node["ftp"]})


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/guides/cluster.md"])
def test_a_second_node_by_copy_and_paste(checkout: Path, page: str) -> None:
    """The commands make a cluster of two, whose second node knows what was stored at the first."""
    text = (ROOT / page).read_text(encoding="utf-8")
    _, heading, rest = text.partition("## A second node")
    steps = steps_of(rest if heading else text)
    assert steps
    shown = ("2121", "8080", "4747", "2122", "8082", "4748")
    ports = dict(zip(shown, map(str, free_ports(len(shown))), strict=True))

    def here(text: str) -> str:
        return re.sub("|".join(shown), lambda found: ports[found[0]], text)

    twistd = checkout / ".venv/bin/twistd"
    twistd.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -c "from twisted.scripts.twistd import run; run()" "$@"\n'
    )
    twistd.chmod(0o755)
    environ = {
        "PATH": f"{checkout}/.venv/bin:{os.environ['PATH']}",
        "TAGFS_SERVER": f"127.0.0.1:{ports['2121']}",
        "TAGFS_BEACON_PORT": ports["4747"],
        "TAGFS_FTP": f"tcp:{ports['2121']}:interface=127.0.0.1",
        "TAGFS_WEB": f"tcp:{ports['8080']}:interface=127.0.0.1",
        "TAGFS_NODE": f"tcp:{ports['4747']}:interface=127.0.0.1",
    }
    try:
        run_steps([Step(here(step.commands), step.expected) for step in steps], checkout, environ)
    finally:
        for run in checkout.glob("*/run.json"):
            pid = json.loads(run.read_text())["pid"]
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 10
            while run.exists():
                assert time.monotonic() < deadline, "a node does not stop"
                time.sleep(0.05)


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    """README.md fits on some screens, and names files that are there."""
    assert len(README.splitlines()) <= 120
    assert [link for link in re.findall(r"\]\(([^):]+)\)", README) if not (ROOT / link).exists()] == []


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    """A missing line, a wrong order and a failing command are each noticed."""
    assert missing_line("a\nb\n", ("a", "…")) is None
    assert missing_line("a\nb\n", ("b", "a")) == "a"
    assert missing_line("250 x copies=1/1\n", ("250 … copies=2/2",)) == "250 … copies=2/2"
    assert steps_of("```sh\necho a\n```\n\n```text\na\n```\n") == [Step("echo a\n", ("a",))]
    run_steps([Step("echo a\n", ("a",))], tmp_path, {})
    with pytest.raises(AssertionError, match="is not where it should be"):
        run_steps([Step("echo a\n", ("b",))], tmp_path, {})
    with pytest.raises(AssertionError, match="failed: false"):
        run_steps([Step("true\n", ()), Step("false\n", ())], tmp_path, {})
