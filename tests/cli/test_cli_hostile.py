"""The command line against servers that are none, or lie: one clear line, and no harm."""

import os
import socket
from typing import BinaryIO

import pytest

from tests.cli.command_line import Tagfs
from tests.client.fake_server import Script

HOSTILE = {
    "another protocol": b"SSH-2.0-x\r\n",
    "garbage": os.urandom(3000).replace(b"\n", b"x") + b"\n",
    "an answer to nothing": b"220 hi\r\n999 what\r\n",
    "a cut list": b"220 hi\r\n213-x\r\n a\t1\tb\tc\td\r\n",
    "wrong rows": b"220 hi\r\n213-x\r\n only one column\r\n213 total=1 complete=yes\r\n",
    "a list without a total": b"220 hi\r\n213-x\r\n213 that was it\r\n",
    "a refusal": b"220 hi\r\n550 not for you\r\n",
    "an inner fault": b"220 hi\r\n451 sorry \x1b[2J\x07\r\n",
    "a greeting that says no": b"421 too many\r\n",
}


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("arguments", [["list"], ["info", "0" * 26], ["export", "t", "out"], ["count"]])
def test_servers_that_misbehave(said, arguments, tmp_path, monkeypatch):
    """Whatever a server says, there is one clear line, code 1 or 2, and nothing that controls the terminal."""

    monkeypatch.chdir(tmp_path)

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(said)
        lines.readline()

    with Script(play) as server:
        result = Tagfs(server.port)(*arguments, code=1)
    assert "\x1b" not in result.stdout
    assert result.stderr.startswith("tagfs: ")
    assert result.stderr.count("\n") == 1
    assert not set("\x1b\x07") & set(result.stderr)
