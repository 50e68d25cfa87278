"""A lean FTP client, so that what is measured is the server: one data connection after the other, by EPSV."""

from __future__ import annotations

import socket
import ssl

MIB = 1 << 20
TIMEOUT_S = 120.0


def trusting() -> ssl.SSLContext:
    """A client's context that takes any certificate: the servers here make their own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class FtpClient:
    """One session, logged in, in TYPE I; contents under TLS where ``tls`` is given."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._host = address[0]
        self._socket: socket.socket = socket.create_connection(address, TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._socket.makefile("rb")
        self._buffer = memoryview(bytearray(MIB))
        self.reply(b"220")
        if tls is not None:
            self.ask("AUTH TLS", b"234")
            self._socket = tls.wrap_socket(self._socket)
            self._lines = self._socket.makefile("rb")
        self.ask("USER anonymous", b"331")
        self.ask("PASS x@example.org", b"230")
        if tls is not None:
            self.ask("PBSZ 0", b"200")
            self.ask("PROT P", b"200")
        self.ask("TYPE I", b"200")

    def reply(self, code: bytes) -> bytes:
        """The next reply's last line. Raises OSError where it begins otherwise than by ``code``."""
        line = self._lines.readline()
        while line[3:4] == b"-" or line[:1] == b" ":
            line = self._lines.readline()
        if not line.startswith(code):
            raise OSError(f"{code.decode()} was expected, not {line!r}")
        return line

    def ask(self, command: str, code: bytes) -> bytes:
        """Sends a command; its reply."""
        self._socket.sendall(command.encode() + b"\r\n")
        return self.reply(code)

    def _data(self, command: str) -> socket.socket:
        port = int(self.ask("EPSV", b"229").split(b"|")[3])
        data: socket.socket = socket.create_connection((self._host, port), TIMEOUT_S)
        self.ask(command, b"1")
        if self._tls is not None:
            assert isinstance(self._socket, ssl.SSLSocket)
            data = self._tls.wrap_socket(data, session=self._socket.session)
        return data

    def down(self, command: str) -> tuple[int, int]:
        """Takes what ``RETR path`` or a listing sends; how many bytes, and how many line ends were in them."""
        size = lines = 0
        listing = not command.startswith("RETR ")
        with self._data(command) as data:
            while count := data.recv_into(self._buffer):
                size += count
                if listing:
                    lines += bytes(self._buffer[:count]).count(b"\n")
        self.reply(b"226")
        return size, lines

    def up(self, path: str, piece: bytes, count: int = 1) -> None:
        """Stores ``count`` times ``piece``."""
        with self._data(f"STOR {path}") as data:
            for _ in range(count):
                data.sendall(piece)
            if isinstance(data, ssl.SSLSocket):
                data.unwrap()
        self.reply(b"226")

    def close(self) -> None:
        """Hangs up."""
        self._lines.close()
        self._socket.close()
