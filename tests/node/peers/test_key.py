"""The cluster's key comes from a file of one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from tagfs.errors import StartError
from tagfs.node.peers.key import read_cluster_key


def test_what_the_command_makes_is_read(tmp_path: Path) -> None:
    """tagfs cluster-key and the node agree."""
    file = tmp_path / "key"
    subprocess.run([sys.executable, "-m", "tagfs.cli", "cluster-key", str(file)], check=True)
    assert read_cluster_key(file) == bytes.fromhex(file.read_text())


@pytest.mark.parametrize("text", ["ab" * 32, "AB" * 32 + "\r\n", " " + "0" * 64 + " \n", "01" * 2048])
def test_keys(tmp_path: Path, text: str) -> None:
    """64 hex digits and more, whatever the line's end."""
    file = tmp_path / "key"
    file.write_text(text)
    assert read_cluster_key(file).hex() == text.strip().lower()


@pytest.mark.parametrize(
    "text", ["", "ab" * 31, "a" * 65, "xy" * 32, "ab" * 32 + "\n" + "ab" * 32, "01" * 2049, "ä" * 64]
)
def test_no_keys(tmp_path: Path, text: str) -> None:
    """Anything else ends the start with one line."""
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(StartError, match="is no cluster key"):
        read_cluster_key(file)


def test_no_file(tmp_path: Path) -> None:
    """Nor can a key that is not there be read."""
    with pytest.raises(StartError, match=r"cannot be read from .*: No such file"):
        read_cluster_key(tmp_path / "key")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_key_that_others_can_read(tmp_path: Path, mode: int, warned: bool) -> None:
    """It is taken, with a warning."""
    said: list[LogEvent] = []
    file = tmp_path / "key"
    file.write_text("ab" * 32)
    file.chmod(mode)
    globalLogPublisher.addObserver(said.append)
    read_cluster_key(file)
    globalLogPublisher.removeObserver(said.append)
    assert bool(said) == warned
