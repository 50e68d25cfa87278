"""The ends of a connection in the hands of another thread, for a large content. Layer: front.

A piece of a content that one thread reads, verifies, encrypts and sends stays in its processor's cache all the way, and the
reactor's thread stays free for other sessions. The same holds for what comes in.
"""

from __future__ import annotations

import select
import socket
from threading import Lock
from typing import Protocol

SLICE = 32 << 20
"""Bytes that one thread sends or takes over one connection before others get it, some 20 ms long."""
LARGE = 1 << 20
"""Bytes from which on a content that comes in is worth another thread."""
PATIENCE_MS = 2
"""How long another thread waits for the socket: a client as fast as this node is not made to wait for the reactor's turn."""


class Sealing(Protocol):
    """TLS, as far as it is wanted here: clear text in, records out."""

    def sealed(self, data: bytes) -> bytes:
        """The records of a piece."""


class _End:
    """A descriptor of its own for a socket, so that the reactor can close the connection at any moment. While it is in use,
    nobody else reads or writes the socket."""

    def __init__(self, connection: socket.socket, event: int) -> None:
        self._socket = connection.dup()
        self._ready = select.poll()
        self._ready.register(self._socket, event)
        self._lock = Lock()
        self._closed = False
        self.moved = 0
        """Bytes of the content so far."""

    def close(self) -> None:
        """Lets go of the socket. Harmless when repeated."""
        with self._lock:
            self._closed = True
            self._socket.close()

    def _check(self) -> None:
        if self._closed:
            raise ConnectionAbortedError("the connection was cut")


class Outlet(_End):
    """Takes pieces for a socket until that is full; under TLS it seals them."""

    def __init__(self, connection: socket.socket, tls: Sealing | None = None) -> None:
        super().__init__(connection, select.POLLOUT)
        self._tls = tls
        self._left = memoryview(b"")

    def take(self, data: bytes) -> bool:
        """Sends a piece, or keeps what the socket has no room for; whether another may come. Raises OSError where the
        connection is gone, and ``ssl.SSLError`` (one, too)."""
        with self._lock:
            self._check()
            self.moved += len(data)
            self._left = memoryview(data if self._tls is None else self._tls.sealed(data))
            return self._push(PATIENCE_MS)

    def flush(self) -> bool:
        """Sends on what was kept, without waiting; whether another piece may come. Raises as :meth:`take`."""
        with self._lock:
            self._check()
            return self._push(0)

    def _push(self, patience_ms: int) -> bool:
        while self._left:
            try:
                self._left = self._left[self._socket.send(self._left) :]
            except BlockingIOError:
                if not (patience_ms and self._ready.poll(patience_ms)):
                    return False
        return True


class Inlet(_End):
    """Gives what comes over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, select.POLLIN)

    def fill(self, view: memoryview) -> int:
        """Puts what is there into ``view``; how many bytes, 0 for none at the moment, -1 at the end. Raises OSError where
        the connection broke."""
        with self._lock:
            self._check()
            while True:
                try:
                    count = self._socket.recv_into(view)
                except BlockingIOError:
                    if not self._ready.poll(PATIENCE_MS):
                        return 0
                else:
                    self.moved += count
                    return count or -1
