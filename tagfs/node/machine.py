"""What tells this machine from others, so that copies go to distinct ones. Layer: node."""

from __future__ import annotations

import socket
from pathlib import Path

_SOURCES = (Path("/proc/sys/kernel/random/boot_id"), Path("/etc/machine-id"))
"""The first is the same for all containers of a machine, whose images often share the second, or have none."""


def machine() -> str:
    """A text that is the same for all nodes that run on this machine now, and differs from that of other machines."""
    for source in _SOURCES:
        try:
            text = source.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text:
            return text[:64]
    return socket.gethostname()[:64]
