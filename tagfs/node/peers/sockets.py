"""What the sockets between nodes are set to. Layer: node."""

from __future__ import annotations

import socket
from typing import Any

from twisted.protocols.tls import TLSMemoryBIOProtocol

BUFFER = 1 << 18
"""Bytes that are read at a time, and over which no more is given to a transport until it took them: a fourth of a body."""
UNSENT = 1 << 18
"""Bytes that the kernel takes beyond what is on its way. More would stand before every urgent line."""
_TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if hasattr(socket, "TCP_USER_TIMEOUT") else None)
"""By the number where Python has no name for it; only Linux has the other option (tcp(7))."""


def prepare(transport: Any) -> None:
    """Sets a fresh connection up, with or without TLS."""
    if isinstance(transport, TLSMemoryBIOProtocol):
        transport = transport.transport
    transport.setTcpNoDelay(True)
    transport.bufferSize = BUFFER
    handle = getattr(transport, "getHandle", lambda: None)()
    if isinstance(handle, socket.socket) and _TCP_NOTSENT_LOWAT is not None:
        handle.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT)


def unbound(handle: socket.socket) -> None:
    """Lets the kernel take as much as it likes, where no urgent line ever follows."""
    if _TCP_NOTSENT_LOWAT is not None:
        handle.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, (1 << 31) - 1)
