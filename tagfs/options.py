"""The options of ``twistd tagfs``, as twistd reads them. Layer: top, under service."""

from __future__ import annotations

import os
from typing import Any

from twisted.python import usage

from tagfs import __version__
from tagfs.errors import StartError
from tagfs.settings import load


class Options(usage.Options):
    """The options of ``twistd tagfs``; :mod:`tagfs.settings` says what each may be."""

    synopsis = "[options]"
    longdesc = (
        "Runs one node of tagfs. Each option may also stand in a TOML file (--config) or in the environment "
        "(TAGFS_DATA, TAGFS_FTP, …); options win over the environment, and that over the file."
    )
    optParameters = [  # noqa: RUF012 - Twisted's way
        ["config", None, None, "TOML file with settings"],
        ["data", None, None, "data directory [default: ./tagfs-data]"],
        ["name", None, None, "name of this node for people [default: the host's name]"],
        ["ftp", None, None, "endpoint of the tag protocol and FTP, or off [default: tcp:2121:interface=127.0.0.1]"],
        ["web", None, None, "endpoint of the web API and page, or off [default: tcp:8080:interface=127.0.0.1]"],
        ["node", None, None, "endpoint for other nodes, or off [default: tcp:4747:interface=127.0.0.1]"],
        ["advertise", None, None, "HOST:PORT where other nodes reach this one, if not where it listens"],
        ["cluster-key", None, None, "file with the cluster's key; without it the node is alone"],
        ["discovery", None, None, "multicast or off: find other nodes by beacons [default: multicast]"],
        ["beacon-port", None, None, "UDP port of beacons [default: 4747]"],
        ["zone", None, None, "zone of this node; copies are spread over zones"],
        ["node-tls", None, None, "on or off: TLS between nodes [default: on]"],
        ["copies", None, None, "how many nodes hold each content [default: 3]"],
        ["write-copies", None, None, "auto, or how many nodes must have a content before it is acknowledged"],
        ["out-after", None, None, "seconds until a dead node leaves the layout [default: 600]"],
        ["trash-days", None, None, "days that entries stay in the trash [default: 30]"],
        ["anonymous", None, None, "none, read or write: rights without a login beyond loopback [default: none]"],
    ]
    optFlags = [["merge", None, "join a cluster though this node has entries already"]]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["join"] = []

    def opt_join(self, address: str) -> None:
        """HOST:PORT of a node of the cluster to join; may be given several times"""
        self["join"].append(address)

    def opt_version(self) -> None:
        """Print the version of tagfs and stop"""
        print(f"tagfs {__version__}")  # noqa: T201 - that is what the option is for
        raise SystemExit(0)

    def parseArgs(self, *words: str) -> None:
        """Takes none."""
        if words:
            raise usage.UsageError(f"{words[0]!r} is no option")

    def parseOptions(self, options: Any = None) -> None:
        """Ends the process with one line where an option is wrong; twistd itself would print its whole help."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            raise SystemExit(f"tagfs: {error}; twistd tagfs --help lists the options") from error

    def postOptions(self) -> None:
        try:
            self.settings = load(self, os.environ)
        except StartError as error:
            raise usage.UsageError(str(error)) from error
