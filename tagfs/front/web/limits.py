"""Bounds of the web endpoint. Layer: front."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one listener takes from its clients. Sizes in bytes, times in seconds."""

    connections: int = 4096
    """Open connections in all; one more is closed at once."""
    connections_per_host: int = 1024
    """Open connections from one address."""
    header_line: int = 16 << 10
    """Longest request line (414) and header (431)."""
    headers: int = 32 << 10
    """Request line and all headers together."""
    header_count: int = 100
    """Headers of a request."""
    document: int = 1 << 20
    """Longest JSON body."""
    drop: int = 1 << 20
    """Bytes of a refused body that are read and dropped so that the connection can be used on; it is closed for more."""
    linger: int = 64 << 20
    """Bytes that are dropped while the answer to a refused body is on its way; without that a reset would destroy it."""
    idle_s: float = 75.0
    """A connection without a request is closed."""
    head_s: float = 20.0
    """Time for a request's headers from their first byte, however busily they trickle in (408)."""
    stall_s: float = 60.0
    """A body of which too little comes in that time ends the connection."""
    stall_bytes: int = 4096
    """So much has to come, or the rest of it: a client that trickles holds a connection for as long as it takes, else."""
    answer_stall_s: float = 300.0
    """An answer of which the client has not taken what was last written ends the connection: at most 512 KiB of it, so that
    a slow line, of 2 KiB a second or more, is never taken for a dead one."""
    linger_s: float = 10.0
    """Time for a client to notice that it is being closed."""
    sweep_s: float = 2.0
    """How often the times above are looked at."""
