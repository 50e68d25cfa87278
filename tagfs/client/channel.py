"""One connection to a node: sends while it waits for input, so that neither side can block the other. Layer: client.

With commands in flight, a client that only sends while the server only answers ends in both waiting for ever. Here the
socket does not block: whoever waits for input pushes what is queued at the same time, and input is only taken
when it is asked for. What is queued is bounded by whoever queues it (:mod:`tagfs.client.pipeline`).
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tagfs.client.address import Address
from tagfs.client.errors import ClientError, ConnectionFailed, ConnectionLost, ProtocolViolation, TimedOut, Untrusted

if TYPE_CHECKING:
    import ssl

MAX_LINE = 1 << 20
"""Bytes of one line of a reply. A row holds a name and the entry's tags, which the 64 KiB of a command line bound."""
CHUNK = 1 << 18
"""Bytes asked of the socket at once."""
JOIN = 1 << 16
"""Queued pieces are joined up to this size, so that small commands do not cost a system call each."""
PUSHES = 16
"""Pieces sent before looking at the input again."""

_WOULD_BLOCK = (BlockingIOError, InterruptedError)


class Channel:
    """A connected socket with a buffer for input and a queue for output."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        """``timeout``: seconds in which *something* must move whenever there is something to wait for."""
        self.be_patient(timeout)
        self._buffer = bytearray()
        self._at = 0
        self._queue: deque[bytearray | Iterator[bytes]] = deque()
        self._piece = memoryview(b"")
        self._deaf = False
        self._take(sock)

    def be_patient(self, timeout: float) -> None:
        """From now on, ``timeout`` seconds of silence end the connection."""
        self._timeout_ms = max(1, int(timeout * 1000))

    def _take(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock: socket.socket | None = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def start_tls(self, context: ssl.SSLContext, server: str) -> None:
        """Goes on in TLS. Nothing may be queued; input that came before the handshake is thrown away (RFC 4217)."""
        assert self._sock is not None and not self._queue
        self._buffer.clear()
        self._at = 0
        self._sock.settimeout(self._timeout_ms / 1000)
        try:
            secured = context.wrap_socket(self._sock, server_hostname=server)
        except OSError as error:
            self.close()
            from ssl import SSLCertVerificationError  # slow to import, and most connections are without

            kind = Untrusted if isinstance(error, SSLCertVerificationError) else ConnectionFailed
            raise kind(f"TLS with {server} failed: {error}") from error
        self._take(secured)

    @property
    def open(self) -> bool:
        """Whether the connection is still to be used."""
        return self._sock is not None

    def stale(self) -> bool:
        """Whether the other side said something unasked, or left, while no answer was due: a node closes idle sessions."""
        if self._sock is None or self._at < len(self._buffer):
            return True
        try:
            self._sock.recv(CHUNK)
        except OSError as error:
            return not _is_wait(error)
        return True

    def close(self) -> None:
        """Ends the connection at once; harmless when repeated."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._queue.clear()
        self._piece = memoryview(b"")

    def send(self, data: bytes) -> None:
        """Queues bytes."""
        last = self._queue[-1] if self._queue else None
        if isinstance(last, bytearray) and len(last) + len(data) <= JOIN:
            last += data
        else:
            self._queue.append(bytearray(data))

    def send_from(self, pieces: Iterator[bytes]) -> None:
        """Queues what an iterator gives, read only when it can be sent. An error in it ends the connection."""
        self._queue.append(pieces)

    def flush(self) -> None:
        """Waits until all that is queued was handed to the system. For the end of a session."""
        while self._queue or self._piece:
            if self._push():
                continue
            if self._deaf:
                return
            self._wait()

    def line(self) -> bytes:
        """The next line without its end, at most :data:`MAX_LINE` bytes."""
        scanned = 0
        while (end := self._buffer.find(b"\n", self._at + scanned)) < 0:
            scanned = len(self._buffer) - self._at
            if scanned > MAX_LINE:
                self.close()
                raise ProtocolViolation(f"the server sent a line of more than {MAX_LINE} bytes; is it a tagfs node?")
            self._more()
        line = bytes(memoryview(self._buffer)[self._at : end])
        self._at = end + 1
        return line.removesuffix(b"\r")

    def some(self, limit: int) -> bytes:
        """The next bytes as they are, 1 to ``limit``."""
        if self._at < len(self._buffer):
            data = bytes(memoryview(self._buffer)[self._at : self._at + limit])
            self._at += len(data)
            return data
        return self._receive(limit)

    def _more(self) -> None:
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += self._receive(CHUNK)

    def _receive(self, limit: int) -> bytes:
        """Waits for input; what is queued goes out meanwhile."""
        while True:
            sent = self._push()
            if self._sock is None:
                raise ConnectionLost("the connection is closed")
            try:
                data = self._sock.recv(limit)
            except OSError as error:
                if not _is_wait(error):
                    self.close()
                    raise ConnectionLost(f"the connection broke: {error}") from error
            else:
                if data:
                    return data
                self.close()
                raise ConnectionLost("the server closed the connection")
            if not sent:
                self._wait()

    def _push(self) -> bool:
        """Sends what the system takes at once, a bounded amount; whether anything went out."""
        sent = False
        for _ in range(PUSHES):
            if not self._piece and not self._next_piece():
                break
            try:
                assert self._sock is not None
                count = self._sock.send(self._piece)
            except OSError as error:
                if not _is_wait(error):
                    # The other side stopped listening; it may have said why, so go on reading.
                    self._deaf = True
                    self._queue.clear()
                    self._piece = memoryview(b"")
                break
            self._piece = self._piece[count:]
            sent = True
        return sent

    def _next_piece(self) -> bool:
        while self._queue and not self._deaf:
            first = self._queue[0]
            if isinstance(first, bytearray):
                self._piece = memoryview(bytes(self._queue.popleft()))  # type: ignore[arg-type]
                return True
            try:
                piece = next(first, None)
            except ClientError:
                self.close()  # the bytes that were announced will never come
                raise
            if piece is None:
                self._queue.popleft()
            elif piece:
                self._piece = memoryview(piece)
                return True
        self._queue.clear()
        return False

    def _wait(self) -> None:
        if self._sock is None:
            raise ConnectionLost("the connection is closed")
        want = select.POLLIN | (select.POLLOUT if self._piece or self._queue else 0)
        self._poll.modify(self._sock, want)
        if not self._poll.poll(self._timeout_ms):
            self.close()
            raise TimedOut(f"no answer from the server within {self._timeout_ms / 1000:g} seconds")


def _is_wait(error: OSError) -> bool:
    """Whether the socket only asks to be waited for. (ssl is imported by nobody who does not use it.)"""
    return isinstance(error, _WOULD_BLOCK) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def connect(address: Address, timeout: float) -> Channel:
    """A channel to ``address``. Raises :class:`ConnectionFailed`."""
    try:
        sock = socket.create_connection((address.host, address.port), timeout=timeout)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no such host"
        raise ConnectionFailed(f"cannot reach a tagfs node at {address}: {reason}") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return Channel(sock, timeout)
