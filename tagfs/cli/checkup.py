"""What ``tagfs doctor`` looks at. Each check gives findings: what is, and what to do about it. Layer: cli."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click

from tagfs.cli.output import human_size, many
from tagfs.cli.session import Session

if TYPE_CHECKING:
    from tagfs.client import Client

OLDEST_PYTHON = (3, 11)
NODE_PACKAGES = ("twisted", "zope.interface", "attrs", "msgpack", "blake3", "pyroaring", "numpy", "cryptography")
"""Distributions that a node needs; the command line needs click and, for contents, blake3."""
SLOW_S = 0.5
LITTLE_SPACE = 1 << 30
FULL = 0.95
"""Share of a disk in use from which on it is called nearly full."""
SKEW_S = 2.0
FORMAT = "tagfs-data"


class Finding(NamedTuple):
    """``state`` is ok, warn or fail; ``advice`` says what to do."""

    state: str
    what: str
    advice: str = ""


def checkup(session: Session, data: str | None) -> Iterator[Finding]:
    """All checks."""
    yield _python()
    yield from _packages()
    if data is None:
        yield from _node(session)
        return
    from tagfs.cli.checkup_data import data_directory, listening

    # Where no node is named, the one that uses the directory is meant; there may be none.
    if server := session.server or listening(data):
        yield from _node(replace(session, server=server))
    yield from data_directory(data)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("fail", f"Python {version} is too old", "tagfs needs Python 3.11 or later")
    return Finding("ok", f"Python {version} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    from tagfs import __version__

    yield Finding("ok", f"tagfs {__version__}")
    missing = []
    for package in NODE_PACKAGES:
        try:
            version(package)
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        yield Finding(
            "warn", f"packages not installed: {', '.join(missing)}", "a node cannot run here: pip install tagfs"
        )
    else:
        yield Finding("ok", "all packages that a node needs are installed")


def _node(session: Session) -> Iterator[Finding]:
    from tagfs.client import ClientError, ConnectionFailed, NotLoggedIn, ProtocolViolation

    where = session.server or "127.0.0.1:2121 (the default)"
    started = time.monotonic()
    try:
        client = session.connect(min(session.timeout, 10.0))
    except ConnectionFailed as error:
        yield Finding(
            "fail", str(error),
            f"is a node running there? Start one with: twistd -n tagfs; or say where it is: --server or TAGFS_SERVER, now {where}",
        )  # fmt: skip
    except ProtocolViolation as error:
        yield Finding("fail", str(error), "another program listens there; look at --server and at the node's --ftp")
    except NotLoggedIn as error:
        yield Finding("fail", f"the node refuses the login: {error}", "look at --user and TAGFS_PASSWORD_FILE")
    except (ClientError, click.ClickException) as error:
        yield Finding("fail", f"no session with the node at {where}: {error}", "look at the node's log")
    else:
        with client:
            yield from _session(client, time.monotonic() - started)


def _session(client: Client, took: float) -> Iterator[Finding]:
    from tagfs.client import ClientError, NotLoggedIn

    yield Finding("ok", f"{client.address} answers: {client.greeting}")
    if took > SLOW_S:
        yield Finding("warn", f"the greeting took {took:.1f} s", "the node or the network is busy")
    checks = (_entries, _cluster, _clock)
    for check in checks:
        try:
            yield from check(client)
        except NotLoggedIn:
            yield Finding("warn", "the node wants a login before it says more", "give --user and TAGFS_PASSWORD_FILE")
            return
        except ClientError as error:
            yield Finding("warn", f"a question was not answered: {error}", "look at the node's log")
            if not client.connected:
                return


def _entries(client: Client) -> Iterator[Finding]:
    found = client.find(limit=0)
    for _ in found:
        pass
    yield Finding("ok", f"{many(found.total, 'entry')} outside the trash")
    if not found.complete:
        yield Finding(
            "warn", "the node may not have heard of everything (complete=no)",
            "it waits for other nodes or is still catching up: tagfs nodes shows who is missing",
        )  # fmt: skip


def _cluster(client: Client) -> Iterator[Finding]:
    nodes = client.nodes()
    ill = [node for node in nodes if node.state not in ("alive", "left")]
    if ill:
        names = ", ".join(f"{node.name} ({node.state})" for node in ill)
        yield Finding(
            "warn", f"{len(ill)} of {many(len(nodes), 'node')} not alive: {names}",
            "start them again; tagfs node forget ID only for one that is gone for good",
        )  # fmt: skip
    else:
        yield Finding("ok", f"{many(len(nodes), 'node')}, all alive" if len(nodes) > 1 else "one node, alone")


def _clock(client: Client) -> Iterator[Finding]:
    """The node tells no time of its own; the newest entry cannot be younger than now."""
    from tagfs.cli.times import milliseconds

    newest = list(client.find(limit=1))
    if not newest:
        return
    added = milliseconds(client.info(newest[0].id).get("added"))
    ahead = (added or 0) / 1000 - time.time()
    if ahead > SKEW_S:
        yield Finding(
            "warn", f"the newest entry was added {ahead:.0f} s in the future of this machine's clock",
            "set the clocks of this machine and of the nodes (NTP); nodes warn when they are more than 0.5 s apart",
        )  # fmt: skip
    else:
        yield Finding("ok", "no entry is from the future of this machine's clock")


def disk(path: str) -> Finding:
    """How full the disk of ``path`` is."""
    usage = shutil.disk_usage(path)
    free = f"{human_size(usage.free)} of {human_size(usage.total)} free on the disk of {path}"
    if usage.free < LITTLE_SPACE or usage.used / max(1, usage.used + usage.free) > FULL:
        return Finding(
            "warn", free, "nearly full: tagfs purge what is in the trash, or move the data; a full node only reads"
        )
    return Finding("ok", free)


def readable(path: str) -> bool:
    """Whether this user may look into a directory."""
    return os.access(path, os.R_OK | os.X_OK)
