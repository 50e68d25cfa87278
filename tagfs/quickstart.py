"""What ``./run`` does once Python is ready: starts a node and tells a newcomer how to use it. Layer: top, over service.

The node is the ordinary ``twistd tagfs`` of this process. What is added: a default port that is taken is replaced by a
free one, and as soon as ``run.json`` is there, the addresses and the first commands to try are printed.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from attrs import fields
from twisted.scripts import twistd

from tagfs.errors import StartError
from tagfs.options import Options
from tagfs.settings import Settings

DOORS = ("ftp", "web", "node")
_POLL_S = 0.05


def is_taken(port: int) -> bool:
    """Whether another process listens on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def taken_doors(settings: Settings) -> dict[str, int]:
    """The doors that stayed at their default port although it is taken, with that port."""
    defaults = {field.name: field.default for field in fields(Settings)}
    standing = [door for door in DOORS if getattr(settings, door) == defaults[door]]
    ports = {door: int(str(defaults[door]).split(":")[1]) for door in standing}
    return {door: port for door, port in ports.items() if is_taken(port)}


def guide(facts: Mapping[str, str | None], data: Path, taken: Mapping[str, int], bin_directory: Path) -> str:
    """The text for a newcomer. ``facts`` are those of run.json."""
    rows = []
    for door, title in zip(DOORS, ("tag protocol, FTP", "web", "other nodes"), strict=True):
        note = f"   (port {taken[door]} is taken by another program)" if door in taken else ""
        rows.append(f"  {title:18} {facts.get(door) or 'off'}{note}")
    lines = [f"tagfs is running, with its data in {data}", "", *rows]
    ftp = facts.get("ftp")
    if ftp:
        host, _, port = ftp.rpartition(":")
        command = shlex.quote(str(bin_directory / "tagfs"))
        server = "" if ftp == "127.0.0.1:2121" else f"--server {ftp} "
        lines += [
            "",
            "In another terminal, store a file with two tags, and ask for it:",
            "",
            f"  echo 'Hello, sea' | curl -sS --ftp-create-dirs -T - ftp://{ftp}/beach/2024/hello.txt",
            f"  printf 'FIND beach and 2024\\nQUIT\\n' | nc {host.strip('[]')} {port}",
            "",
            f"The command line (--help says more):  {command} {server}list beach",
        ]
    return "\n".join([*lines, "Stop with Ctrl-C. Start again: the data is still there.", ""])


def announce(data: Path, taken: Mapping[str, int], bin_directory: Path, terminal: TextIO) -> None:
    """Waits until this process has written run.json, then writes the guide. For a thread that ends with the process."""
    while True:
        try:
            facts = json.loads((data / "run.json").read_bytes())
        except (OSError, ValueError):
            facts = {}
        if facts.get("pid") == os.getpid():
            break
        time.sleep(_POLL_S)
    terminal.write("\n" + guide(facts, data, taken, bin_directory) + "\n")
    terminal.flush()


def main(arguments: Sequence[str]) -> None:
    """Runs the node until it is stopped. ``arguments`` are options of ``twistd tagfs``."""
    options = Options()
    options.synopsis = "Usage: ./run [options]"
    options.parseOptions(list(arguments))
    settings = options.settings
    taken = taken_doors(settings)
    moved = [word for door in taken for word in (f"--{door}", "tcp:0:interface=127.0.0.1")]
    # The terminal is taken now: twistd makes sys.stdout a part of its log.
    facts = (settings.data, taken, Path(sys.executable).parent, sys.stdout)
    threading.Thread(target=announce, args=facts, daemon=True).start()
    # No pid file: the lock of the data directory is what keeps a second node away.
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "tagfs", *arguments, *moved]
    try:
        twistd.run()
    except StartError:
        if not taken_doors(settings).keys() - taken.keys():
            raise
        # Somebody else took a port between the look and the start.
        os.execv(sys.executable, [sys.executable, "-m", "tagfs.quickstart", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
