"""TYPE A: contents go over the network with CRLF and are stored with LF. Layer: front.

Both ways together change nothing: what a client turns into CRLF comes back as it was. Source: RFC 959 section 3.1.1.1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tagfs.front.ftp.data_connection import Sink


def to_network(read: Callable[[int], Awaitable[bytes]]) -> Callable[[int], Awaitable[bytes]]:
    """A ``read`` whose line ends are CRLF. It may give up to twice as many bytes as asked for."""

    async def converted(limit: int) -> bytes:
        return (await read(limit)).replace(b"\n", b"\r\n")

    return converted


class FromNetwork:
    """A sink before a sink: CRLF become LF, also where they come in two pieces."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = b""

    def write(self, data: bytes) -> object:
        """As IReceiving.write."""
        data = self._held + data
        self._held = b"\r" if data.endswith(b"\r") else b""
        data = data[: len(data) - len(self._held)].replace(b"\r\n", b"\n")
        return self._sink.write(data) if data else None

    def finish(self) -> object:
        """No more comes: a CR held back was no part of a line end."""
        held, self._held = self._held, b""
        return self._sink.write(held) if held else None
