"""Small writes without a turn of the reactor. Layer: front."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection


def drained(transport: Any) -> bool:
    """Whether all that was written to a TCP transport is with the kernel; False where that cannot be seen."""
    # A wrapper (TLS of an endpoint) shows the attributes of what it wraps: nothing may be sent past it. And where Twisted
    # renames its buffers, there is something in them for ever.
    return (
        isinstance(transport, Connection)
        and not transport.TLS
        and not (getattr(transport, "dataBuffer", True) or getattr(transport, "_tempDataBuffer", True))
    )


def write(transport: Any, data: bytes) -> None:
    """Sends at once what the socket takes, as long as nothing waits before it; the rest goes Twisted's way, and so does all
    of it where the transport is no plain socket of Twisted's.

    A reply that waits for the socket to be found writable costs a turn of the reactor and two system calls more; a small
    file needs three replies.
    """
    if drained(transport) and not transport.disconnecting:
        at = 0
        while at < len(data):
            sent = transport.writeSomeData(memoryview(data)[at:] if at else data)
            if not isinstance(sent, int) or sent <= 0:
                break  # no room; or the connection is lost, as Twisted will notice by itself
            at += sent
        data = data[at:] if at else data
    if data:
        transport.write(data)
