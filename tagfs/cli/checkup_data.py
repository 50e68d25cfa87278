"""The state of a node's data directory, as seen from outside. Nothing in it is changed. Layer: cli."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from tagfs.cli.checkup import FORMAT, Finding, disk, readable

KNOWN_VERSION = 1
MAX_READ = 65_536


def data_directory(path: str) -> Iterator[Finding]:
    """Its lock, its format, ``run.json``, its disk."""
    if not os.path.isdir(path):
        yield Finding("fail", f"{path} is no directory", "look at --data; a node makes it at its first start")
        return
    if not readable(path):
        yield Finding("fail", f"{path} cannot be read by this user", "run doctor as the user that the node runs as")
        return
    yield from _format(path)
    yield from _running(path)
    yield disk(path)


def listening(path: str) -> str | None:
    """Where the node that uses a directory speaks the tag protocol, as HOST:PORT; None where none does."""
    if _lock_owner(os.path.join(path, "lock")) is None:
        return None
    try:
        where = json.loads(_text(os.path.join(path, "run.json")) or "{}")["ftp"]
    except (ValueError, KeyError, TypeError):
        return None
    return where if isinstance(where, str) else None


def _format(path: str) -> Iterator[Finding]:
    text = _text(os.path.join(path, "format"))
    if text is None:
        if os.path.exists(os.path.join(path, "making")):
            yield Finding("warn", f"{path}: its making was cut off", "start the node again; it finishes it")
        elif set(os.listdir(path)) <= {"lock", "lost+found", "twistd.log", "twistd.pid"}:
            yield Finding("ok", f"{path} is empty; a node will make its stores there")
        else:
            yield Finding(
                "fail", f"{path} is not the data of a node: it has no file named format",
                "look at --data; if a disk should be mounted there, mount it. A node never starts in a foreign directory",
            )  # fmt: skip
        return
    words = text.split()
    if len(words) != 2 or words[0] != FORMAT or not words[1].isdigit():
        yield Finding("fail", f"{path}/format says {text[:40]!r}", "the file is damaged; restore it from a back-up")
    elif int(words[1]) > KNOWN_VERSION:
        yield Finding(
            "fail", f"{path} is of format {words[1]}", "it was written by a later version of tagfs; install that"
        )
    else:
        yield Finding("ok", f"{path} is the data of a node, format {words[1]}")


def _running(path: str) -> Iterator[Finding]:
    owner = _lock_owner(os.path.join(path, "lock"))
    run = _text(os.path.join(path, "run.json"))
    if owner is None:
        if run is not None:
            yield Finding(
                "warn", "the node there did not stop cleanly: run.json is left, and nothing holds the lock",
                "start it again; what was acknowledged is there",
            )  # fmt: skip
        else:
            yield Finding("ok", "no node is running there")
        return
    if run is None:
        yield Finding(
            "warn", f"process {owner} holds the lock but has not told where it listens", "it is starting, or stuck"
        )
        return
    try:
        facts = json.loads(run)
        doors = ", ".join(f"{door} {facts[door]}" for door in ("ftp", "web", "node") if facts.get(door))
        yield Finding("ok", f"process {facts['pid']} is the node {facts['name']!r} there: {doors}")
    except (ValueError, KeyError, TypeError):
        yield Finding("warn", "run.json cannot be read", "restart the node")


def _lock_owner(path: str) -> str | None:
    """Who holds the lock: a process id as text; None where nobody does. Looks only: taking the lock, even for a moment,
    could make a node that starts just now fail."""
    try:
        with open(path, "rb") as lock:
            owner = lock.read(32).decode(errors="replace").strip()
            inode = os.fstat(lock.fileno()).st_ino
    except OSError:
        return None
    locks = _text("/proc/locks")
    if locks is not None:
        # proc(5): "1: FLOCK  ADVISORY  WRITE 708 08:01:395 0 EOF"
        held = any(f":{inode} " in line and "FLOCK" in line for line in locks.splitlines())
        return (owner or "unknown") if held else None
    return owner if owner.isdigit() and _alive(int(owner)) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _text(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_READ).decode("utf-8", "replace").strip()
    except OSError:
        return None
