"""TLS of the tag port (AUTH TLS), versions 1.2 and 1.3, by the standard library's ``ssl``. Layer: front.

Clients want their data connections to resume the session of the control connection (RFC 4217 section 10.2), which takes
one context for all, and tickets (RFC 5077, RFC 8446 section 4.6.1). TLS 1.3 sends its tickets behind the handshake, and
clients that upload (curl 7.88) never read them, so that their close resets the connection and loses the end of the file.
So data connections send none: they resume with those of the control connection.
"""

from __future__ import annotations

import os
import ssl
from contextlib import ExitStack
from typing import cast

from tagfs.errors import StartError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else."""
RECORD = 1 << 14
"""Bytes of content in one record at most; of one, some may be left with TLS (RFC 8446 section 5.1)."""
TICKETS = 2
"""Tickets that a control connection gets under TLS 1.3."""


class TlsContext:
    """One context for all connections of a listener, control and data.

    :param certificate: PEM of the certificate, those that lead to its root behind it.
    :param key: PEM of its private key, not encrypted.

    Raises :class:`~tagfs.errors.StartError` where these cannot be read or do not fit each other.
    """

    def __init__(self, certificate: bytes, key: bytes) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.options |= ssl.OP_NO_RENEGOTIATION
        self._context.set_ciphers(CIPHERS)
        try:
            _load(self._context, certificate, key)
        except (ssl.SSLError, ValueError) as error:
            raise StartError(f"the certificate for FTP and its key cannot be used: {error}") from error
        # No protocols are set for ALPN: a client that offers some (FileZilla: x-filezilla-ftp) goes on without one.

    def for_control(self) -> Tls:
        """TLS for a control connection."""
        return self._tls(TICKETS)

    def for_data(self) -> Tls:
        """TLS for a data connection."""
        return self._tls(0)

    def _tls(self, tickets: int) -> Tls:
        self._context.num_tickets = tickets  # a connection takes the number along when it is made
        return Tls(self._context)


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Gives a context its certificate and key, which ``ssl`` takes from files only: these are in memory."""
    paths = []
    with ExitStack() as stack:
        for content in (certificate, key):
            file = stack.enter_context(os.fdopen(os.memfd_create("tagfs-tls"), "wb"))
            file.write(content)
            file.flush()
            paths.append(f"/proc/self/fd/{file.fileno()}")
        # A password that is given is not asked for at the terminal.
        context.load_cert_chain(paths[0], paths[1], password="")


class Tls:
    """The server's side of TLS on one connection, without I/O. All methods raise ``ssl.SSLError`` where the client breaks
    the protocol. What a method makes that has to go to the network is in :meth:`due` then, unless it is returned.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.ended = False
        """Whether the client said that it sends nothing more."""

    def feed(self, data: bytes) -> None:
        """Takes what came from the network."""
        self._incoming.write(data)

    def shake(self) -> bool:
        """Goes on with the handshake; whether it is over."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def opened(self) -> bytes:
        """What the client sent, as far as its records are whole."""
        at = 0
        buffer = memoryview(bytearray(self._incoming.pending + RECORD))
        while not self.ended:
            try:
                count = cast(int, self._tls.read(len(buffer) - at, buffer[at:]))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                count = 0
            self.ended = not count
            at += count
        return bytes(buffer[:at])

    def sealed(self, data: bytes) -> bytes:
        """Bytes as they go over the network, behind what was due."""
        self._tls.write(data)  # into memory, which takes all of it
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """What tells the client that nothing more comes (RFC 8446 section 6.1), behind what was due."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the client has not said the same yet, and need not
        return self._outgoing.read()

    def due(self) -> bytes:
        """What TLS has to say by itself."""
        return self._outgoing.read()
