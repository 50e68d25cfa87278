"""Where a node's tag protocol listens, as people write it: ``host``, ``host:port``, ``[::1]:port``. Layer: client."""

from __future__ import annotations

from typing import NamedTuple

from tagfs.client.errors import BadAddress

DEFAULT_PORT = 2121


class Address(NamedTuple):
    """A host name or address without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


DEFAULT_ADDRESS = Address("127.0.0.1", DEFAULT_PORT)


def parse_address(text: str) -> Address:
    """Reads ``host[:port]``; an IPv6 address stands in brackets when a port follows. Raises :class:`BadAddress`.

    The port is 2121 where none is given.
    """
    text = text.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadAddress(f"{text!r} is no server address: write [ADDRESS]:PORT for IPv6")
        return Address(_host(host, text), _port(rest[1:], text) if rest else DEFAULT_PORT)
    if text.count(":") > 1:
        return Address(_host(text, text), DEFAULT_PORT)
    host, colon, port = text.partition(":")
    return Address(_host(host, text), _port(port, text) if colon else DEFAULT_PORT)


def _host(host: str, text: str) -> str:
    if not host or len(host) > 255 or any(c.isspace() or c in "/[]@" for c in host):
        raise BadAddress(f"{text!r} is no server address: write HOST:PORT, for example 127.0.0.1:2121")
    return host


def _port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise BadAddress(f"{text!r} is no server address: the port is a number from 1 to 65535")
    return int(port)
