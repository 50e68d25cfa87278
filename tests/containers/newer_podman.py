"""Quadlet, the generator of units that Podman has since 4.4: that of this machine, or of the next Debian's package."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from podman_utils import this_machine

PLACES = (Path("/usr/libexec/podman/quadlet"), Path("/usr/lib/podman/quadlet"))
RELEASE = "trixie"
"""The first release of Debian whose Podman has it. The program needs nothing of the rest of that release."""
LIMIT_S = 120


def quadlet(folder: Path) -> Path:
    """The program. Where this machine has none, ``folder`` gets the package, downloaded by apt from this machine's sources."""
    for place in PLACES:
        if place.exists():
            return place
    for name in ("lists/partial", "cache/archives/partial", "unpacked"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    source = folder / "next.sources"
    source.write_text(_next_release())
    options = {
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "--quiet", "--quiet", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"], folder)
    _run([*apt, "download", "podman"], folder)
    (package,) = folder.glob("podman_*.deb")
    _run(["dpkg-deb", "--extract", str(package), str(folder / "unpacked")], folder)
    (found,) = (folder / "unpacked").glob("usr/*/podman/quadlet")
    return found


def _next_release() -> str:
    """This machine's first source of Debian packages, for the next release instead."""
    for place in this_machine.apt_sources():
        for stanza in re.split(r"\n\s*\n", place.read_text()):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            if "deb" in fields.get("Types", "").split() and "main" in fields.get("Components", "").split():
                fields |= {"Types": "deb", "Suites": RELEASE, "Components": "main"}
                return "".join(f"{name}: {value}\n" for name, value in fields.items())
        found = re.search(r"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+\S+\s+main\b", place.read_text(), re.MULTILINE)
        if found:
            return f"Types: deb\nURIs: {found[1]}\nSuites: {RELEASE}\nComponents: main\n"
    raise LookupError("apt knows no source of Debian packages here")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"
