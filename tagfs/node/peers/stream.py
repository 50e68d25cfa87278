"""A connection in the hands of one thread: proved on the reactor's thread, then taken over to move much. Layer: node.

TLS goes on as it was agreed on: what the proof of the key is bound to is the channel that the thread uses.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any

from OpenSSL import SSL

from tagfs.node.peers import limits
from tagfs.node.peers.sockets import unbound

RECORD = 1 << 14
"""Bytes of content in one record of TLS (RFC 8446 section 5.1)."""
SEALED = 1 << 16
"""Bytes that are encrypted before they are sent: small enough to stay in a processor's cache."""
PLAIN = 1 << 20
"""Bytes that are given to the kernel at a time without TLS."""
ARRIVED = 1 << 17
"""Bytes that are read at a time before they are decrypted."""


class Stream:
    """One end. All methods but :meth:`cut` and :meth:`close` are for the one thread that has it, and raise OSError where the
    connection is gone, or TimeoutError (one, too)."""

    def __init__(self, transport: Any, over: Callable[[], None]) -> None:
        """Takes over a Twisted transport which neither reads nor holds anything to be sent; ``over`` ends that."""
        handle = transport.getHandle()
        self._tls = handle if isinstance(handle, SSL.Connection) else None
        plain: socket.socket = transport.transport.getHandle() if self._tls is not None else handle
        # A descriptor of its own: the transport's may be closed at any moment.
        self._socket = plain.dup()
        unbound(self._socket)
        # Time-outs are the kernel's: one system call for a whole piece instead of two for each part of it.
        self._socket.setblocking(True)
        self._limits_s: dict[int, float] = {}
        self._over: Callable[[], None] | None = over
        self._raw = memoryview(bytearray(ARRIVED if self._tls is not None else 0))

    def cut(self) -> None:
        """Ends the connection, so that its thread fails soon. From any thread; harmless when repeated, or after :meth:`close`."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already

    def close(self) -> None:
        """Lets go, on the reactor's thread, when no thread has it any more. Harmless when repeated."""
        over, self._over = self._over, None
        if over is not None:
            self.cut()
            self._socket.close()
            over()

    def receive(self, view: memoryview, patience_s: float) -> int:
        """Puts what comes next into ``view``; how many bytes, at least one."""
        self._limit(socket.SO_RCVTIMEO, patience_s)
        return self._receive(view) if self._tls is None else self._opened(self._tls, view)

    def receive_all(self, view: memoryview, patience_s: float) -> None:
        """Fills ``view``; fails when that takes longer than about so many seconds."""
        until_s = monotonic() + patience_s
        self._limit(socket.SO_RCVTIMEO, patience_s)
        at = 0
        while at < len(view):
            if self._tls is None:
                at += self._receive(view[at:], socket.MSG_WAITALL)
            else:
                at += self._opened(self._tls, view[at:])
            if monotonic() > until_s:
                raise TimeoutError(f"it takes longer than {patience_s:g} s")

    def send(self, *pieces: bytes) -> None:
        """Sends all of that; fails when the other end takes nothing for :data:`~tagfs.node.peers.limits.STALL_S`."""
        self._limit(socket.SO_SNDTIMEO, limits.STALL_S)
        step = SEALED if self._tls is not None else PLAIN
        for piece in pieces:
            with memoryview(piece) as view:
                for at in range(0, len(view), step):
                    self._send(view[at : at + step])

    def _limit(self, option: int, seconds: float) -> None:
        """How long the kernel waits in one call."""
        if self._limits_s.get(option) != seconds:
            self._limits_s[option] = seconds
            whole = int(seconds)
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, int((seconds - whole) * 1e6)))

    def _send(self, view: memoryview) -> None:
        if self._tls is None:
            self._socket.sendall(view)
            return
        at = 0
        try:
            while at < len(view):
                at += self._tls.send(view[at:])  # into memory, a record at a time
        except SSL.Error as error:
            raise ConnectionAbortedError(f"TLS failed: {error}") from error
        self._flush(self._tls)

    def _flush(self, tls: SSL.Connection) -> None:
        """Sends what TLS has to say."""
        while True:
            try:
                records = tls.bio_read(2 * SEALED)
            except SSL.WantReadError:
                return
            self._socket.sendall(records)

    def _receive(self, view: memoryview, flags: int = 0) -> int:
        try:
            count = self._socket.recv_into(view, len(view), flags)
        except BlockingIOError:
            raise TimeoutError("nothing came in time") from None
        if not count:
            raise ConnectionResetError("the other end closed it")
        return count

    def _opened(self, tls: SSL.Connection, view: memoryview) -> int:
        while True:
            try:
                return int(tls.recv_into(view, min(len(view), RECORD)))
            except SSL.WantReadError:
                self._flush(tls)
                tls.bio_write(self._raw[: self._receive(self._raw)])
            except SSL.ZeroReturnError:
                raise ConnectionResetError("the other end closed it") from None
            except SSL.Error as error:
                raise ConnectionAbortedError(f"TLS failed: {error}") from error
