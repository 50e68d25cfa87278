"""A node as a process of its own, for campaigns and tests: started, asked where it listens, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

START_LIMIT_S = 60.0
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
"""The command ``twistd`` of the interpreter that runs the tests."""
ROOT = Path(__file__).resolve().parents[2]


class NodeProcess:
    """One ``twistd -n tagfs`` on free ports of the loopback interface, with its data in ``data``.

    ``program`` replaces ``twistd`` for nodes with a seeded bug, ``prefix`` are programs that it is started through, and that
    become it. What the node prints goes to ``log``.
    """

    prefix: Sequence[str] = ()

    def __init__(self, data: Path, options: Sequence[str] = (), program: Sequence[str] = ()) -> None:
        self.data = data
        self.log = data.with_name(data.name + ".log")
        self._command = [
            *(program or TWISTD),
            *("-n", "--pidfile=", "tagfs", "--data", str(data)),
            *("--ftp", "tcp:0:interface=127.0.0.1", "--web", "tcp:0:interface=127.0.0.1"),
            *("--node", "tcp:0:interface=127.0.0.1", *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, object] = {}

    def start(self) -> None:
        """Starts it and waits until ``run.json`` says that it listens."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, *self._command],
                cwd=self.data.parent,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        run = self.data / "run.json"
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            try:
                facts = json.loads(run.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                facts = {}
            if facts.get("pid") == self._process.pid:
                self.facts = facts
                return
            if self._process.poll() is not None:
                raise AssertionError(f"the node ended with {self._process.returncode}:\n{self._tail()}")
            time.sleep(0.01)
        raise AssertionError(f"the node does not listen after {START_LIMIT_S} s:\n{self._tail()}")

    def look_again(self) -> None:
        """Reads ``run.json`` again, where the node wrote another one since it was started."""
        try:
            self.facts = json.loads((self.data / "run.json").read_text())
        except FileNotFoundError:
            pass

    @property
    def running(self) -> bool:
        """Whether there is a process, stopped by SIGSTOP or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the tag protocol."""
        host, _, port = str(self.facts["ftp"]).rpartition(":")
        return host, int(port)

    def connect(self, timeout_s: float = 30.0) -> socket.socket:
        """A connection to the tag protocol, its greeting not yet read."""
        return socket.create_connection(self.address, timeout_s)

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, limit_s: float = 5.0) -> None:
        """SIGTERM, and waits for the end. twistd ends by the signal that stopped it; anything else, and one that does
        not stop in time, is an error."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(limit_s)
            assert code == -signal.SIGTERM, f"the node ended with {code}:\n{self._tail()}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the node did not stop within {limit_s} s:\n{self._tail()}") from None

    def resident_bytes(self) -> int:
        """Resident memory of the process now."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Processor time that the process has used, in seconds (to a hundredth)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]
