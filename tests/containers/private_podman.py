"""A Podman of the tests' own: its storage, its service and its socket in a directory, away from what the machine has.

Needs root. Networks are those of the machine all the same, so everything is removed at the end, also after a failure. It may be
a user's instead of root's: then its networks are in a namespace of that user.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.containers.users_podman import User

ROOT = Path(__file__).parents[2]
START_S = 30.0
STOP_S = 20.0


def limits() -> tuple[int, int]:
    """Open files and processes that containers get: root may lack the right to raise its own limits."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = int(Path("/proc/sys/kernel/pid_max").read_text())
    return (
        1_048_576 if files == resource.RLIM_INFINITY else files,
        most if processes == resource.RLIM_INFINITY else min(processes, most),
    )


def configuration() -> str:
    """containers.conf for any machine: with hybrid control groups (which crun refuses), without systemd and its journal."""
    files, processes = limits()
    return f"""[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
exit_command_delay = 5
events_logger = "file"
[network]
network_backend = "netavark"
"""


class PrivatePodman:
    """A running ``podman system service`` in ``folder`` (a short path: sockets have at most 107 characters)."""

    def __init__(self, podman: str, folder: Path, user: User | None = None) -> None:
        self.folder = folder
        self.user = user
        self.socket = folder / "podman.sock"
        self._log = folder / "service.log"
        (folder / "containers.conf").write_text(configuration())
        self._environ = {
            **{name: value for name, value in os.environ.items() if name != "CONTAINER_HOST"},
            **(user.environ if user else {}),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "DISABLE_HC_SYSTEMD": "true",  # there may be no systemd, and then containers with health checks do not start
        }
        self._command = [
            *(user.prefix if user else []),
            podman,
            *(("--storage-driver", "overlay") if user else ()),  # where the kernel can: the default copies every layer
            *("--root", str(folder / "root"), "--runroot", str(folder / "run")),
            *("--network-config-dir", str(folder / "networks"), "--tmpdir", str(folder / "tmp")),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, "system", "service", "--time=0", self.url],
                env=self._environ,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while not self.socket.exists():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def call(self, *words: str, **environ: str) -> str:
        """What a ``podman`` command says on this storage; it must succeed."""
        done = subprocess.run(
            [*self._command, *words],
            env={**self._environ, **environ},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """Removes all containers and networks, ends the service, and removes the storage with its mounts."""
        try:
            self.call("rm", "--all", "--force", "--time", "0", "--volumes")
            self.call("network", "prune", "--force")
        finally:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self.user:
                self.user.remove()
            self._wait_for_stragglers()
            for mount in reversed(self.mounts()):
                subprocess.run(["umount", "--lazy", mount], check=False)
            shutil.rmtree(self.folder)

    def _wait_for_stragglers(self) -> None:
        """Podman cleans up after commands in containers some seconds later, in processes that would write here again."""
        deadline = time.monotonic() + STOP_S
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.2)

    def mounts(self) -> list[str]:
        """Where something is mounted inside the folder."""
        places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [place for place in places if place.startswith(f"{self.folder}/")]

    def processes(self) -> list[str]:
        """The processes that belong to it, the service itself left out."""
        found = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.folder) in words and int(place.parent.name) not in (self._process.pid, os.getpid()):
                found.append(words)
        return found
