"""How data connections are named on the control connection: PORT, EPRT, PASV, EPSV. Layer: front.

Pure. Sources: RFC 959 section 4.1.2 (PORT, PASV), RFC 2428 (EPRT, EPSV).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple, TypeAlias

from tagfs.errors import BadRequest, TagfsError

Address: TypeAlias = IPv4Address | IPv6Address

_PORT = re.compile(r"\s*" + ",".join([r"([0-9]{1,3})"] * 6) + r"\s*")


class WrongProtocol(TagfsError):
    """The network protocol number is not the one of the control connection (RFC 2428 section 2)."""

    ftp = 522


class Target(NamedTuple):
    """Where the client wants to be called."""

    host: Address
    port: int


def plain_address(host: str) -> Address:
    """An address as text, without a zone and with an IPv4 address that came through an IPv6 socket as IPv4."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def parse_port(argument: str) -> Target:
    """``h1,h2,h3,h4,p1,p2``. Raises BadRequest."""
    match = _PORT.fullmatch(argument)
    numbers = [int(group) for group in match.groups()] if match else []
    if not numbers or max(numbers) > 255:
        raise BadRequest("PORT takes six numbers from 0 to 255: PORT h1,h2,h3,h4,p1,p2")
    return Target(IPv4Address(bytes(numbers[:4])), numbers[4] << 8 | numbers[5])


def parse_eprt(argument: str) -> Target:
    """``|1|132.235.1.2|6275|`` or ``|2|1080::8:800:200C:417A|5282|``, any character as the bar.

    Raises BadRequest, or :class:`WrongProtocol` for a protocol number that is neither 1 nor 2.
    """
    fields = argument.split(argument[:1]) if argument else []
    if len(fields) != 5 or fields[0] or fields[4] or not fields[3].isascii() or not fields[3].isdigit():
        raise BadRequest("EPRT takes |1|IPv4 address|port| or |2|IPv6 address|port|")
    if fields[1] not in ("1", "2"):
        raise WrongProtocol("Network protocol not supported, use (1,2)")
    try:
        host = IPv4Address(fields[2]) if fields[1] == "1" else IPv6Address(fields[2])
    except ValueError:
        raise BadRequest(f"{fields[2][:60]!r} is no address of network protocol {fields[1]}") from None
    port = int(fields[3][:6])
    if port > 65535:
        raise BadRequest("a port is at most 65535")
    return Target(plain_address(str(host)), port)


def check_epsv(argument: str, local: Address) -> None:
    """Whether EPSV's optional network protocol fits a control connection to ``local``. Raises :class:`WrongProtocol`
    or BadRequest."""
    ours = "1" if isinstance(local, IPv4Address) else "2"
    wanted = argument.strip()
    if wanted in ("", ours):
        return
    if wanted.isascii() and wanted.isdigit():
        raise WrongProtocol(f"Network protocol not supported, use ({ours})")
    raise BadRequest("EPSV takes nothing, a network protocol (1 or 2), or ALL")


def pasv_text(host: IPv4Address, port: int) -> str:
    """The text of reply 227."""
    numbers = ",".join(str(number) for number in (*host.packed, port >> 8, port & 255))
    return f"Entering Passive Mode ({numbers})."


def epsv_text(port: int) -> str:
    """The text of reply 229."""
    return f"Entering Extended Passive Mode (|||{port}|)"
