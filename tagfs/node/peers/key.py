"""The cluster's key, read from its file. Layer: node."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from twisted.logger import Logger

from tagfs.errors import StartError

_LIMIT = 4096
_KEY = re.compile(rb"[0-9A-Fa-f]{64,}").fullmatch

_log = Logger()


def read_cluster_key(file: Path) -> bytes:
    """The bytes of the key in ``file``: one line of at least 64 hex digits. Raises StartError; warns where others may read it."""
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(file.stat().st_mode)
            line = opened.read(_LIMIT + 1).strip()
    except OSError as error:
        raise StartError(f"the cluster's key cannot be read from {file}: {error.strerror}") from error
    if not _KEY(line) or len(line) % 2 or len(line) > _LIMIT:
        raise StartError(
            f"{file} is no cluster key: that is one line of at least 64 hex digits; tagfs cluster-key makes one"
        )
    if mode & 0o077:
        _log.warn("the cluster's key {file} can be read by others than its owner: chmod 600 it", file=str(file))
    return bytes.fromhex(line.decode("ascii"))
