"""A fresh minimal Debian in a directory, made from this machine's own package sources, and processes inside it.

Needs root. Nothing of this machine is written down here: sources, proxies, the index of pip and certificates are asked
for when the machine is made.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from podman_utils.this_machine import apt_options, apt_sources, certificates, codename, pip_settings

ROOT = Path(__file__).resolve().parent.parent.parent
BUNDLE = "/etc/tagfs-test-certificates.crt"
# Inside: what a fresh machine has and mmdebstrap's directory lacks. The mounts end with the process.
ENTER = """
set -e
mount --rbind /dev "$0/dev"
mount -t proc proc "$0/proc" 2>/dev/null || mount --rbind /proc "$0/proc"
exec chroot --userspec="$1" "$0" /bin/sh -c 'cd "$0" && exec "$@"' "$2" "${@:3}"
"""


def make_debian(mmdebstrap: str, directory: Path) -> None:
    """Makes a minimal Debian in a directory."""
    options = directory.with_suffix(".apt")
    options.write_text(apt_options())
    command = [mmdebstrap, "--quiet", "--variant=minbase", "--format=directory", f"--aptopt={options}"]
    command += ["--dpkgopt=force-unsafe-io", codename(), str(directory)]  # no fsync: it lives for minutes only
    subprocess.run([*command, *map(str, apt_sources())], check=True, timeout=300, stdin=subprocess.DEVNULL)


def pip_environment() -> dict[str, str]:
    """What pip needs inside to reach the index that it reaches here."""
    names = {"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    environ = {name: value for name, value in os.environ.items() if name in names}
    return environ | {"PIP_" + key.upper().replace("-", "_"): value for key, value in pip_settings().items()}


def source_files() -> list[str]:
    """The files of this checkout that git has or would take; without git, all but what runs leave behind."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
        return [name for name in names if os.path.lexists(ROOT / name)]
    unwanted = re.compile(r"(^|/)(\.(venv|mypy|ruff|pytest|hypothesis)|__pycache__|tagfs-data|[^/]*\.egg-info)")
    places = (path for path in ROOT.rglob("*") if path.is_symlink() or path.is_file())
    return [name for path in places if not unwanted.search(name := str(path.relative_to(ROOT)))]


class Running:
    """A process group inside a machine, and what it has said so far (standard output and error together)."""

    def __init__(self, command: Sequence[str | Path], environ: Mapping[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._output.read_text(errors="replace")

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_for(self, text: str, limit_s: float) -> None:
        """Waits until it has said the text. Fails where it ends or the time is over before."""
        deadline = time.monotonic() + limit_s
        while text not in self.said:
            assert not self.has_ended(), self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def wait(self, limit_s: float) -> int:
        """The exit code."""
        return self._process.wait(limit_s)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the whole group, as a terminal does for Ctrl-C."""
        os.killpg(self._process.pid, number)

    def stop(self, number: signal.Signals = signal.SIGINT, limit_s: float = 20) -> int:
        """Sends a signal and waits; the exit code."""
        self.send(number)
        return self.wait(limit_s)


class Machine:
    """A minimal Debian. Processes inside share the network of this machine, and are ended with it."""

    def __init__(self, mmdebstrap: str, directory: Path) -> None:
        self.directory = directory
        make_debian(mmdebstrap, directory)
        self._environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        self._environ |= pip_environment()
        if bundle := certificates():
            shutil.copy(bundle, self.inside(BUNDLE))
            self._environ |= {"PIP_CERT": BUNDLE, "SSL_CERT_FILE": BUNDLE}
        self._running: list[Running] = []

    def inside(self, path: str) -> Path:
        """Where a path of the machine is on this one."""
        return self.directory / path.lstrip("/")

    def copy_tree(self, target: str, owner: str) -> None:
        """Puts the files of this checkout into a directory of the machine."""
        for name in source_files():
            place = self.inside(target) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place, follow_symlinks=False)
        self.call("/", "chown", "-R", f"{owner}:{owner}", target)

    def start(self, directory: str, *command: str, user: str = "root") -> Running:
        """Starts a command in a directory of the machine."""
        home = "/root" if user == "root" else f"/home/{user}"
        words = ["unshare", "--mount", "bash", "-c", ENTER, self.directory, user, directory, *command]
        output = self.directory.with_name(f"{self.directory.name}.output{len(self._running)}")
        running = Running(words, self._environ | {"HOME": home, "USER": user}, output)
        self._running.append(running)
        return running

    def run(self, directory: str, *command: str, user: str = "root", limit_s: float = 300) -> tuple[int, str]:
        """Runs a command to its end; gives exit code and output."""
        running = self.start(directory, *command, user=user)
        return running.wait(limit_s), running.said

    def call(self, directory: str, *command: str, user: str = "root") -> str:
        """The output of a command that must succeed."""
        code, text = self.run(directory, *command, user=user)
        assert code == 0, text
        return text

    def close(self) -> None:
        """Ends what still runs, and removes the directory."""
        for running in self._running:
            if not running.has_ended():
                running.stop(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)
