"""A user of this run's own, and how its processes are begun: what a rootless Podman needs. Needs root to make both."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

from attrs import define

# A device that users may open, as /dev/net/tun is nearly everywhere; in a mount namespace, so that this machine's stays as it is.
# The root is shared inside, since Podman warns where it is not.
_ENTER = """
mount -t tmpfs tmpfs /dev/net && mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun && mount --make-rshared /
uid=$1 gid=$2; shift 2
exec setpriv --reuid="$uid" --regid="$gid" --clear-groups --inh-caps=-all -- "$@"
"""
STOP_S = 10.0


@define
class User:
    """An unprivileged user with subordinate ids, and a directory of its own."""

    name: str
    uid: int
    gid: int
    folder: Path
    _subordinate: range

    @classmethod
    def make(cls, folder: Path) -> User:
        """``folder`` becomes the user's."""
        name = f"tagfs-test-{os.getpid()}"
        subprocess.run(
            ["useradd", "--no-create-home", "--home-dir", folder, "--shell", "/bin/sh", name],
            check=True,
            capture_output=True,
        )
        entry = pwd.getpwnam(name)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        for each in ("home", "xdg"):
            (folder / each).mkdir(mode=0o700)
            os.chown(folder / each, entry.pw_uid, entry.pw_gid)
        lines = [line.split(":") for line in Path("/etc/subuid").read_text().splitlines()]
        ranges = [range(int(first), int(first) + int(size)) for owner, first, size in lines if owner == name]
        assert ranges and len(ranges[0]) >= 65536, f"{name} got no subordinate ids in /etc/subuid"
        return cls(name, entry.pw_uid, entry.pw_gid, folder, ranges[0])

    @property
    def environ(self) -> dict[str, str]:
        """What a login would set."""
        return {"HOME": str(self.folder / "home"), "USER": self.name, "XDG_RUNTIME_DIR": str(self.folder / "xdg")}

    @property
    def prefix(self) -> list[str]:
        """The beginning of a command that the user runs."""
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
        return [*enter, str(self.uid), str(self.gid)]

    def processes(self) -> list[int]:
        """The processes of the user, those in its containers included; those that ended are left out."""
        found = []
        for place in Path("/proc").glob("[0-9]*/status"):
            try:
                told = dict(line.split(":\t", 1) for line in place.read_text().splitlines() if ":\t" in line)
            except OSError:
                continue
            uid = int(told["Uid"].split()[0])
            if (uid == self.uid or uid in self._subordinate) and not told["State"].startswith("Z"):
                found.append(int(place.parent.name))
        return found

    def remove(self) -> None:
        """Ends all its processes, and then there is no such user. Its files are left to whoever made the folder."""
        deadline = time.monotonic() + STOP_S
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.1)
        subprocess.run(["userdel", self.name], check=True, capture_output=True)
        assert left == []
