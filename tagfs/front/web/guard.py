"""Who may ask at all: names of the host, origins of pages. Pure; layer: front.

A browser can be made to talk to this port by any web page. Two checks keep such a page out. The name in ``Host`` must be
one of this listener's: a page that points its own name at this address (DNS rebinding) still says its own name. And a
change must not come from another site: browsers say with ``Origin`` and ``Sec-Fetch-Site`` where a request was made;
programs say neither.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{1,5})?")


def host_name(authority: str) -> str | None:
    """The host of ``host[:port]``, in lower case and without brackets or final dot; None where it is malformed."""
    found = _AUTHORITY.fullmatch(authority)
    return found[1].strip("[]").rstrip(".").lower() if found else None


@lru_cache(256)
def is_own_authority(authority: str, local: str, names: frozenset[str]) -> bool:
    """Whether a Host header means this listener (:func:`is_own_host`). The same few come again and again."""
    name = host_name(authority)
    return name is not None and is_own_host(name, local, names)


def is_own_host(name: str, local: str, names: Collection[str]) -> bool:
    """Whether a host name means this listener: the address that the connection reached, this machine's loopback, or one of
    the configured names (lower case). Loopback is always right: no page of another site lives at that name."""
    if name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    try:
        own = ip_address(local.partition("%")[0])
    except ValueError:
        return False
    return address == (getattr(own, "ipv4_mapped", None) or own)


def foreign_origin(origin: str | None, fetch_site: str | None, authority: str) -> str | None:
    """Why a change is refused as coming from another site, or None. ``authority`` is the request's own Host."""
    if fetch_site is not None and fetch_site not in ("same-origin", "none"):
        return f"the change was asked for by a page of another site (Sec-Fetch-Site: {fetch_site[:40]})"
    if origin is None:
        return None
    try:
        parts = urlsplit(origin)
    except ValueError:
        return "Origin cannot be read"
    if parts.scheme in ("http", "https") and _same(parts.scheme, parts.netloc, authority):
        return None
    return f"the change was asked for by a page of another site (Origin: {origin[:200]})"


def _same(scheme: str, netloc: str, authority: str) -> bool:
    default = ":443" if scheme == "https" else ":80"
    return netloc.lower().removesuffix(default) == authority.lower().removesuffix(default)
