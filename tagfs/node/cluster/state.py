"""What a node must remember of its cluster besides the records: ``DATA/cluster.json``. Layer: node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred

from tagfs.errors import StartError
from tagfs.node.durable import write_durably
from tagfs.node.offload import Offload

FILE = "cluster.json"
FORMAT = 1


class Stored(NamedTuple):
    """``cluster`` is the cluster's id (empty: none); the incarnations used so far are below ``incarnations``; members were seen at
    ``addresses``."""

    cluster: str = ""
    incarnations: int = 1
    addresses: tuple[str, ...] = ()


class State(Protocol):
    """Where that is kept."""

    def load(self) -> Stored:
        """What was saved last; the default where nothing ever was."""

    def save(self, stored: Stored) -> Deferred[None]:
        """Makes it durable."""


class StateFile:
    """A :class:`State` in a data directory. A node that began anew finds its cluster where it was, in one of the directories
    ``formers``."""

    def __init__(self, directory: Path, offload: Offload, formers: Sequence[Path] = ()) -> None:
        self._path = directory / FILE
        self._offload = offload
        self._formers = formers

    def load(self) -> Stored:
        """Raises StartError where the file cannot be read: without it a node might found a second cluster."""
        if self._path.exists():
            return self._read(self._path)
        found = [self._read(former / FILE) for former in self._formers]
        return Stored(addresses=tuple(dict.fromkeys(address for each in found for address in each.addresses)))

    def _read(self, path: Path) -> Stored:
        try:
            found = json.loads(path.read_bytes())
            if found["format"] != FORMAT:
                raise ValueError(f"it has format {found['format']!r}")
            return Stored(str(found["cluster"]), int(found["incarnations"]), tuple(map(str, found["addresses"])))
        except FileNotFoundError:
            return Stored()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StartError(
                f"{path} cannot be read: {error}; remove it, and start with --join to find the cluster again"
            ) from error

    def save(self, stored: Stored) -> Deferred[None]:
        data = json.dumps({"format": FORMAT, **stored._asdict()}, indent=2).encode() + b"\n"
        return self._offload.run(lambda: write_durably(self._path, data, 0o600))
