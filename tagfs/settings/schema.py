"""What can be set, with types, bounds, units and defaults. Layer: settings."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from attrs import field, frozen

from tagfs.settings import values


def _default_name() -> str:
    host = socket.gethostname().partition(".")[0]
    return host if values.LABEL.fullmatch(host) else "tagfs"


def setting(parse: values.Parser, default: Any = None) -> Any:
    return field(default=default, metadata={"parse": parse})


@frozen(kw_only=True)
class Settings:
    """The configuration of one node. Made by :func:`tagfs.settings.load`; tests may make it by hand (nothing is checked then)."""

    data: Path = setting(values.path, Path("tagfs-data"))
    """Data directory; absolute when it comes from :func:`tagfs.settings.load`, since a daemon changes its working directory."""
    name: str = field(factory=_default_name, metadata={"parse": values.label})
    """The node's name for people; the host's by default."""

    ftp: str | None = setting(values.endpoint, "tcp:2121:interface=127.0.0.1")
    """Endpoint of the tag protocol and FTP; None: off. So for the next two."""
    web: str | None = setting(values.endpoint, "tcp:8080:interface=127.0.0.1")
    node: str | None = setting(values.endpoint, "tcp:4747:interface=127.0.0.1")
    advertise: values.Address | None = setting(values.address)
    """Where other nodes reach this one, if not at the address it listens on (containers, NAT)."""

    cluster_key: Path | None = setting(values.path)
    """File with the cluster's key; None: this node is alone."""
    join: tuple[values.Address, ...] = setting(values.addresses, ())
    merge: bool = setting(values.switch, False)
    """A node that already has entries may join."""
    discovery: bool = setting(values.discovery, True)
    """Beacons by multicast and broadcast (only ever with a cluster key)."""
    beacon_port: int = setting(values.whole(1, 65535), 4747)
    zone: str = setting(values.label, "")
    """Copies are spread over zones first; empty: none."""
    node_tls: bool = setting(values.switch, True)

    copies: int = setting(values.whole(1, 16), 3)
    write_copies: int | None = setting(values.write_copies)
    """How many nodes must have a content on disk before it is acknowledged; None: auto, a majority of copies."""
    out_after: int = setting(values.whole(10, 31_536_000, "seconds"), 600)
    """Seconds until a dead node leaves the layout by itself."""
    trash_days: int = setting(values.whole(1, 36_500, "days"), 30)

    anonymous: str = setting(values.one_of("none", "read", "write"), "none")
    """What sessions may do without a login on listeners beyond loopback."""
    admin_password_file: Path | None = setting(values.path)
    """Its first line is the password of the user ``admin``, made at the first start."""

    catalog: str | None = setting(values.store_url)
    """URL of the catalog; None: see :attr:`catalog_url`."""
    blobs: str | None = setting(values.store_url)
    """URL of the contents' store; None: see :attr:`blobs_url`."""

    idle_timeout: int = setting(values.whole(10, 86_400, "seconds"), 900)
    """Seconds until a session that asks nothing is closed."""
    stall_timeout: int = setting(values.whole(5, 86_400, "seconds"), 300)
    """Seconds until a transfer that does not move is given up."""
    sessions: int = setting(values.whole(1, 100_000), 4096)
    """Sessions of the FTP door at a time."""
    sessions_per_host: int = setting(values.whole(1, 100_000), 2048)
    passive_ports: tuple[int, int] | None = setting(values.ports)
    """First and last port of passive FTP data connections; None: any free one."""
    passive_per_host: int = setting(values.whole(1, 256), 128)
    """Passive ports that may wait for calls from one address."""
    masquerade: str | None = setting(values.host_name)
    """The address that PASV answers, for a node behind NAT."""
    web_names: tuple[str, ...] = setting(values.host_names, ())
    """Host names by which browsers may ask the web endpoint, besides its own address and loopback; others get 421."""
    ftp_tls: str = setting(values.one_of("off", "optional", "required"), "optional")
    tls_certificate: Path | None = setting(values.path)
    """PEM file for FTP's AUTH TLS; None: the node's own self-signed certificate."""
    tls_key: Path | None = setting(values.path)

    @property
    def catalog_url(self) -> str:
        """The catalog's URL: as set, else SQLite in the data directory."""
        return self.catalog or f"sqlite:{self.data / 'catalog'}"

    @property
    def blobs_url(self) -> str:
        """The URL of the contents' store: as set, else files in the data directory."""
        return self.blobs or f"file:{self.data / 'blobs'}"
