"""What is asked of the engine and what it tells, as values of our own: the library's types stay in engine.py."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address

from attrs import field, frozen


@frozen
class Port:
    """A port of a container that can be reached at the host. ``host`` 0: a free one; ``address`` empty: all addresses."""

    container: int
    host: int
    address: str = ""


@frozen
class Attachment:
    """One network of a container. The MAC address is fixed with the address: neighbours remember it over a restart."""

    network: str
    address: str = ""
    """Empty: the engine chooses."""

    @property
    def mac(self) -> str:
        return "02:42:" + ":".join(f"{part:02x}" for part in IPv4Address(self.address).packed)


@frozen
class ContainerRequest:
    """A container to be made. Lengths of memory in bytes; what is None is not limited."""

    name: str
    image: str
    attachments: tuple[Attachment, ...]
    labels: Mapping[str, str]
    environment: Mapping[str, str] = field(factory=dict)
    volumes: Mapping[str, str] = field(factory=dict)
    """Name of a volume -> where it is mounted."""
    folders: Mapping[str, str] = field(factory=dict)
    """Folder of this machine -> where it is bound, read-only."""
    secrets: Mapping[str, str] = field(factory=dict)
    """Name of a secret -> name of the file in /run/secrets."""
    ports: tuple[Port, ...] = ()
    capabilities: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(factory=dict)
    memory: int | None = None
    cpus: float | None = None
    stop_seconds: int = 10


@frozen
class Container:
    """A container as it is. ``state`` is the engine's word: created, running, paused, exited, …"""

    name: str
    id: str
    state: str
    labels: Mapping[str, str]
    addresses: Mapping[str, str]
    """Network -> address."""
    image_id: str = ""
    environment: Mapping[str, str] = field(factory=dict)
    ports: tuple[Port, ...] = ()
    """Those published now; ``host`` is the real one, also where a free one was asked for."""

    @property
    def runs(self) -> bool:
        return self.state == "running"


@frozen
class Network:
    """A network as it is."""

    name: str
    subnet: str
    labels: Mapping[str, str]


@frozen
class Outcome:
    """What a command in a container said, and its exit code."""

    code: int
    out: str
    err: str
