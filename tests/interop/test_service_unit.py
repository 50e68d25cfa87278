"""The unit for a node without containers: systemd has nothing to say against it, and what it runs is a node that stops cleanly."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.interop.test_tac import run_json
from tests.unit_files import Unit, environment_file, verify

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/without-containers/tagfs.service"
PROGRAM = "/opt/tagfs/bin/twistd"


def wait_well(address: str) -> None:
    """Until the node serves: at first it looks for others."""
    deadline = time.monotonic() + 30
    host, _, port = address.rpartition(":")
    while True:
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
        connection.close()
        if status == 200:
            return
        assert status == 503 and time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.tool("systemd-analyze")
def test_systemd_reads_the_unit(require_tool, tmp_path: Path) -> None:
    """With the program in its place. A key that is not known would be told: so it is with one that is misspelt."""
    program = tmp_path / "twistd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    good, bad = tmp_path / "tagfs.service", tmp_path / "bad.service"
    good.write_text(UNIT.read_text().replace(PROGRAM, str(program)))
    bad.write_text(good.read_text().replace("DynamicUser", "DynamikUser"))
    verify(require_tool("systemd-analyze"), good)
    with pytest.raises(AssertionError, match="DynamikUser"):
        verify(require_tool("systemd-analyze"), bad)


def test_what_the_unit_runs(tmp_path: Path) -> None:
    """Its command in its environment and that of tagfs.env is a node with a key and an admin; SIGTERM ends it cleanly."""
    state, credentials = tmp_path / "state", tmp_path / "credentials"
    for folder in (state, credentials):
        folder.mkdir()
    unit = Unit.parse(UNIT.read_text())
    given = {each.partition(":")[0]: each.partition(":")[2] for each in unit.values("LoadCredential")}
    assert set(given) == {"cluster-key", "admin-password"}
    (credentials / "cluster-key").write_text("5e" * 32 + "\n")
    (credentials / "admin-password").write_text("open sesame\n")
    for name in given:
        (credentials / name).chmod(0o400)
    specifiers = {"S": str(state), "d": str(credentials)}
    (file,) = unit.values("EnvironmentFile")
    assert file == "/etc/tagfs.env" and unit.values("StateDirectory") == ["tagfs"]
    settings = environment_file(ROOT / "deploy/tagfs.env") | unit.environment(specifiers)
    # Not the ports of this machine, nor those of its neighbours.
    doors = {"TAGFS_FTP", "TAGFS_WEB", "TAGFS_NODE"}
    settings |= dict.fromkeys(doors, "tcp:0:interface=127.0.0.1") | {"TAGFS_DISCOVERY": "off"}
    program, *words = unit.command("ExecStart", specifiers)
    assert program == PROGRAM
    process = subprocess.Popen(
        [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *words],
        cwd="/",
        env={"PATH": os.environ["PATH"], **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        facts = run_json(process, state / "tagfs")
        wait_well(str(facts["web"]).removeprefix("http://").rstrip("/"))
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == -signal.SIGTERM, output  # after it closed all; systemd calls that a success
        assert "(TCP Port" in output and not (state / "tagfs/run.json").exists()
        assert time.monotonic() - began < 10
    finally:
        process.kill()
        process.communicate()
