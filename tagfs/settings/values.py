"""The values that settings can have: each function here makes one from what a source gave. Layer: settings.

All of them take text (options, environment) as well as what TOML has for it, and raise ValueError with the description
of what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_ENDPOINT = re.compile(r"[a-z][a-z0-9+]*:.+", re.IGNORECASE | re.DOTALL)
_TCP_PORT = re.compile(r"(?:tcp6?|ssl|tls):(?:port=)?([^:]*)")
_STORE_URL = re.compile(r"[a-z][a-z0-9+.-]*:.*", re.IGNORECASE)
LABEL = re.compile(r"[^\x00-\x20\x7f\"]{1,64}")
_TRUE = frozenset({"on", "yes", "true", "1"})
_FALSE = frozenset({"off", "no", "false", "0"})

Parser = Callable[[object], Any]
"""Makes a value, or raises ValueError."""


class Address(NamedTuple):
    """Where a node can be reached. ``host`` is a name or an IP address (an IPv6 address without brackets)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _text(value: object, allowed: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(allowed)
    return value.strip()


def path(value: object) -> Path:
    text = _text(value, "a path")
    if "\0" in text:
        raise ValueError("a path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("a path; ~ stands for the home directory of a user who exists") from None


def label(value: object) -> str:
    allowed = "1 to 64 characters without spaces, double quotes and control characters"
    if not LABEL.fullmatch(text := _text(value, allowed)):
        raise ValueError(allowed)
    return text


def endpoint(value: object) -> str | None:
    """Only a first look, so that a typing error is named with its source; the doors parse it in full."""
    allowed = "a Twisted server endpoint such as tcp:2121:interface=127.0.0.1, or off"
    if value is False or (isinstance(value, str) and value.strip().lower() == "off"):
        return None
    text = _text(value, allowed)
    port = _TCP_PORT.match(text)
    if not _ENDPOINT.fullmatch(text) or (port and not (port[1].isdecimal() and int(port[1]) <= 65535)):
        raise ValueError(allowed)
    return text


def address(value: object) -> Address:
    allowed = "HOST:PORT, such as 192.0.2.7:4747 or [2001:db8::7]:4747"
    host, colon, port = _text(value, allowed).rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(allowed)
    if not colon or not re.fullmatch(r"[^\s\[\]/@]+", host) or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(allowed)
    return Address(host, int(port))


def addresses(value: object) -> tuple[Address, ...]:
    """A list, or text with commas or spaces between (the environment has no lists)."""
    parts = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("a list of HOST:PORT")
    return tuple(dict.fromkeys(address(part) for part in parts if part != ""))


def switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if (word := str(value).lower()) in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError("on or off")


def discovery(value: object) -> bool:
    if value in ("multicast", "off"):
        return value == "multicast"
    raise ValueError("multicast or off")


def one_of(*words: str) -> Parser:
    def parse(value: object) -> str:
        if value in words:
            return str(value)
        raise ValueError(" or ".join(words))

    return parse


def whole(low: int, high: int, unit: str = "") -> Parser:
    allowed = f"a whole number{' of ' + unit if unit else ''} from {low} to {high}"

    def parse(value: object) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,12}", text := str(value).strip()):
            raise ValueError(allowed)
        if not low <= int(text) <= high:
            raise ValueError(allowed)
        return int(text)

    return parse


def write_copies(value: object) -> int | None:
    if value == "auto":
        return None
    try:
        return int(whole(1, 16)(value))
    except ValueError:
        raise ValueError("auto, or a whole number from 1 to 16") from None


def ports(value: object) -> tuple[int, int]:
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*-\s*([0-9]{1,5})\s*", str(value))
    if match and 1 <= int(match[1]) <= int(match[2]) <= 65535:
        return int(match[1]), int(match[2])
    raise ValueError("LOW-HIGH, such as 50000-50100")


def store_url(value: object) -> str:
    allowed = "a store's URL, such as sqlite:/srv/tagfs/catalog"
    if not _STORE_URL.fullmatch(text := _text(value, allowed)):
        raise ValueError(allowed)
    return text


def host_name(value: object) -> str:
    allowed = "an IP address or host name"
    if not re.fullmatch(r"[^\s/@]+", text := _text(value, allowed)):
        raise ValueError(allowed)
    return text


def host_names(value: object) -> tuple[str, ...]:
    """A list, or text with commas or spaces between."""
    parts = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("a list of host names")
    return tuple(dict.fromkeys(host_name(part) for part in parts if part != ""))
