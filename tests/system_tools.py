"""Tools of the operating system that tests need: which Debian package brings each, and what happens without one.

A test asks by the fixture ``require_tool`` (``lftp = require_tool("lftp")`` gives its path), or as a whole by the mark
``@pytest.mark.tool("lftp", "curl")``. Where the tool is missing the test skips with the reason; where
``TAGFS_TEST_REQUIRE`` names it (a comma list, or ``all``, as in .ci/run) the test fails instead. The end of a run lists
what was skipped, by tool, with the line that installs it.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import pytest

# tool -> (Debian package, where it may be besides PATH; shell patterns, the newest match wins)
TOOLS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "curl": ("curl", ()),
    "lftp": ("lftp", ()),
    "ncftp": ("ncftp", ()),
    "tnftp": ("tnftp", ()),
    "rclone": ("rclone", ()),
    "nc.openbsd": ("netcat-openbsd", ("/bin/nc.openbsd",)),
    "nc.traditional": ("netcat-traditional", ("/bin/nc.traditional",)),
    "telnet": ("inetutils-telnet", ("/usr/bin/inetutils-telnet",)),
    "inetutils-ftp": ("inetutils-ftp", ("/usr/bin/inetutils-ftp",)),
    "ftp": ("tnftp", ()),
    "openssl": ("openssl", ()),
    "ssh": ("openssh-client", ()),
    "git": ("git", ()),
    "gcc": ("gcc", ()),
    "strace": ("strace", ()),
    "faketime": ("faketime", ()),
    "unshare": ("util-linux", ()),
    "setpriv": ("util-linux", ()),
    "mount": ("mount", ()),
    "fusermount3": ("fuse3", ()),
    "mkfs.ext4": ("e2fsprogs", ("/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4")),
    "dmsetup": ("dmsetup", ("/sbin/dmsetup", "/usr/sbin/dmsetup")),
    "ip": ("iproute2", ("/sbin/ip", "/usr/sbin/ip")),
    "iptables": ("iptables", ("/sbin/iptables", "/usr/sbin/iptables")),
    "mmdebstrap": ("mmdebstrap", ()),
    "chroot": ("coreutils", ("/usr/sbin/chroot",)),
    "podman": ("podman", ()),
    "runc": ("runc", ("/usr/sbin/runc",)),
    "netavark": ("netavark", ("/usr/lib/podman/netavark",)),
    "systemd-analyze": ("systemd", ()),
    "newuidmap": ("uidmap", ()),
    "slirp4netns": ("slirp4netns", ()),
    "sqlite3": ("sqlite3", ()),
    "redis-server": ("redis-server", ()),
    "postgresql": ("postgresql", ("/usr/lib/postgresql/*/bin/postgres",)),
    "chromium": ("chromium", ()),
    "ffmpeg": ("ffmpeg", ()),
    "exiftool": ("libimage-exiftool-perl", ()),
    "tmsu": ("tmsu", ()),
    "openclipart-svg": ("openclipart-svg", ("/usr/share/openclipart/svg",)),
}

MISSING = "needs {tool} (apt-get install {package})"
_missed: pytest.StashKey[dict[str, set[str]]] = pytest.StashKey()


def find_tool(tool: str) -> str | None:
    """The path of a tool (or directory of test data) on this machine, or None. KeyError: not in :data:`TOOLS`."""
    _, places = TOOLS[tool]
    found = shutil.which(tool)
    if found:
        return found
    for pattern in places:
        matches = sorted(glob.glob(pattern))
        if matches:
            return matches[-1]
    return None


def is_required(tool: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether TAGFS_TEST_REQUIRE makes the absence of this tool a failure."""
    wanted = {word.strip() for word in environ.get("TAGFS_TEST_REQUIRE", "").split(",")}
    return bool(wanted & {tool, "all"})


def demand(config: pytest.Config, nodeid: str, tools: Iterable[str]) -> list[str]:
    """The paths of the tools; skips or fails the running test where one is missing."""
    paths = []
    for tool in tools:
        path = find_tool(tool)
        if path is None:
            reason = MISSING.format(tool=tool, package=TOOLS[tool][0])
            if is_required(tool):
                pytest.fail(f"{reason}; TAGFS_TEST_REQUIRE demands it", pytrace=False)
            config.stash[_missed][tool].add(nodeid)
            pytest.skip(reason)
        paths.append(path)
    return paths


@pytest.fixture
def require_tool(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """``require_tool(name)`` gives the path of a tool, or skips (or fails) this test."""
    return lambda tool: demand(request.config, request.node.nodeid, [tool])[0]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_missed] = defaultdict(set)
    config.addinivalue_line("markers", "tool(name, ...): needs these tools of the system (tests/system_tools.py)")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("tool"):
        demand(item.config, item.nodeid, mark.args)


def apt_line(tools: Iterable[str]) -> str:
    """The command that installs the packages of these tools."""
    return "apt-get install " + " ".join(sorted({TOOLS[tool][0] for tool in tools}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    missed = config.stash[_missed]
    if not missed:
        return
    terminalreporter.section("tools that were missing")
    for tool in sorted(missed):
        terminalreporter.line(f"{tool}: {len(missed[tool])} skipped")
    terminalreporter.line(f"to run these too: {apt_line(missed)}")
