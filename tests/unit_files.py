"""Units of systemd as tests read them: their keys, and what systemd would run, with its specifiers replaced."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen


@frozen
class Unit:
    """One unit file. A key may come several times."""

    pairs: tuple[tuple[str, str, str], ...]
    """Section, key and value of each line; continued lines are one."""

    @classmethod
    def parse(cls, text: str) -> Unit:
        section, found = "", []
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith(("#", ";")):
                key, _, value = line.partition("=")
                found.append((section, key, " ".join(value.split())))
        return cls(tuple(found))

    def values(self, key: str, section: str = "Service") -> list[str]:
        return [value for place, name, value in self.pairs if (place, name) == (section, key)]

    def command(self, key: str, specifiers: Mapping[str, str]) -> list[str]:
        """The words of the one command of a key, such as ExecStart."""
        (line,) = self.values(key)
        return shlex.split(expand(line.lstrip("-"), specifiers))

    def environment(self, specifiers: Mapping[str, str]) -> dict[str, str]:
        """What all lines Environment= set."""
        words = [word for line in self.values("Environment") for word in shlex.split(expand(line, specifiers))]
        return dict(word.split("=", 1) for word in words)


def expand(text: str, specifiers: Mapping[str, str]) -> str:
    """With systemd's %-specifiers replaced. KeyError: one is not told."""
    return re.sub(r"%(.)", lambda found: specifiers[found[1]], text)


def environment_file(path: Path) -> dict[str, str]:
    """The variables of an EnvironmentFile=."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def verify(systemd_analyze: str, *units: Path) -> None:
    """systemd reads the units, and has nothing to say against them. Those beside them are known to it, too."""
    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", *map(str, units)],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_UNIT_PATH": f"{units[0].parent}:"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), done.stdout + done.stderr
