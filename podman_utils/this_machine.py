"""How this machine reaches Debian's packages and Python's: asked of apt and pip at run time, written down nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_PIP_SETTINGS = frozenset({"index-url", "extra-index-url", "proxy", "trusted-host", "default-timeout"})


def apt_options() -> str:
    """This machine's settings of apt for reaching its sources, as lines of apt.conf."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(line for line in dump.splitlines(True) if re.match(r"Acquire::(Check|https?|ftp|Retries)", line))


def apt_sources() -> list[Path]:
    """The files that name this machine's package sources."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    named = (place for place in places if place.is_file() and place.suffix in (".list", ".sources"))
    return [place for place in named if re.search(r"^\s*(deb|Types)\b", place.read_text(), re.MULTILINE)]


def codename() -> str:
    """The release of Debian that this machine runs. LookupError: it runs none."""
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE)
    if not found:
        raise LookupError("this machine's /etc/os-release names no release of Debian")
    return found[1]


def pip_settings() -> dict[str, str]:
    """What pip needs to reach the index that it reaches here; what names files of this machine is left out."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # without pip: nothing
    found = re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    return {key: value for key, value in found if key in _PIP_SETTINGS and "file:" not in value}


def certificates() -> Path | None:
    """The bundle of certificate authorities that this machine trusts."""
    named = [os.environ.get(name) for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")]
    places = [Path(name) for name in named if name] + [Path("/etc/ssl/certs/ca-certificates.crt")]
    return next((place for place in places if place.is_file()), None)
