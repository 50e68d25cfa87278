"""What a cluster shall be: cluster.toml, or a few numbers, as checked values. No engine here."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from podman_utils.errors import DescriptionFault
from podman_utils.values import Port

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
"""Names of clusters, networks and nodes: they become host names."""
NAME_RULE = "a name of up to 32 small letters, digits and dashes between them"
MOST_NODES = 200
"""Of one network: its /24 has addresses for them."""
ROUTER = "router"
"""What the router is called where a node could be named."""
NODE_IMAGE = "localhost/tagfs"
GENERAL_IMAGE = "localhost/distributed_python"
OWN_SETTINGS = frozenset(
    f"TAGFS_{name}"
    for name in ("DATA", "NAME", "NODE", "ADVERTISE", "JOIN", "ZONE", "COPIES", "CLUSTER_KEY", "ADMIN_PASSWORD_FILE")
)
"""What nodes are told by their place in the cluster: another value would be of another cluster, or of none."""
MOST_PORTS = 100
"""Of one entry of ``ports``."""
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@frozen
class NetworkSpec:
    """One network; ``subnet`` None: a free one is taken."""

    name: str
    subnet: str | None = None


@frozen
class NodeSpec:
    """One node. What is None or empty is as the cluster says, or not set."""

    name: str
    network: str
    zone: str = ""
    join: tuple[str, ...] | None = None
    """The nodes whose addresses it gets as seeds; None: the first node of the cluster. Empty: it relies on beacons."""
    ports: tuple[Port, ...] = ()
    volume: str | None = None
    """A volume of one's own, which ``down --volumes`` leaves alone; None: one that the cluster makes."""
    memory: int | None = None
    cpus: float | None = None
    environment: Mapping[str, str] = field(factory=dict)


@frozen
class ClusterSpec:
    """A whole cluster."""

    name: str
    networks: tuple[NetworkSpec, ...]
    nodes: tuple[NodeSpec, ...]
    image: str = NODE_IMAGE
    source: str | None = None
    """A folder of this machine that is bound to /app; then ``image`` is the general one."""
    copies: int | None = None


def from_numbers(name: str, nodes: int, networks: int, zones: bool) -> ClusterSpec:
    """``nodes`` nodes n1, n2, … dealt out over ``networks`` networks a, b, …, each a zone of its own if ``zones``."""
    if not 1 <= networks <= 26 or nodes < networks or nodes > MOST_NODES:
        raise DescriptionFault(
            f"{nodes} nodes on {networks} networks: there are 1 to 26 networks, and one to {MOST_NODES} nodes on each"
        )
    names = [chr(ord("a") + number) for number in range(networks)]
    # The first ones of a network stay together: n1 n2 n3 on a, n4 n5 on b.
    size, rest = divmod(nodes, networks)
    places = [each for number, each in enumerate(names) for _ in range(size + (number < rest))]
    dealt = tuple(
        NodeSpec(f"n{number}", place, zone=place if zones else "") for number, place in enumerate(places, start=1)
    )
    return check(ClusterSpec(name, tuple(map(NetworkSpec, names)), dealt))


def from_file(path: Path) -> ClusterSpec:
    """Reads cluster.toml. DescriptionFault names the place, the value and what is allowed."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DescriptionFault(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DescriptionFault(f"{path}: {error}") from error
    try:
        return check(_cluster(_Table(told, ""), path.parent))
    except DescriptionFault as fault:
        raise DescriptionFault(f"{path}: {fault}") from fault


def check(spec: ClusterSpec) -> ClusterSpec:
    """Gives the same value, or raises DescriptionFault where its parts do not fit together."""
    networks = {each.name for each in spec.networks}
    nodes = {each.name for each in spec.nodes}
    if not spec.networks or not spec.nodes:
        raise DescriptionFault("a cluster has at least one network and one node")
    for node in spec.nodes:
        if node.network not in networks:
            raise DescriptionFault(f"nodes.{node.name}.network: {node.network!r} is none of {_words(networks)}")
        if wrong := set(node.join or ()) - nodes:
            raise DescriptionFault(f"nodes.{node.name}.join: {_words(wrong)} is none of {_words(nodes)}")
        if node.name == ROUTER:
            raise DescriptionFault(f"nodes.{node.name}: that name is the router's")
    subnets = [ipaddress.IPv4Network(each.subnet) for each in spec.networks if each.subnet]
    for number, subnet in enumerate(subnets):
        if other := next((each for each in subnets[:number] if each.overlaps(subnet)), None):
            raise DescriptionFault(f"networks: {subnet} and {other} overlap")
    return spec


def _cluster(table: _Table, base: Path) -> ClusterSpec:
    source = table.take("source", _text, None)
    spec = ClusterSpec(
        name=table.take("name", _name, "tagfs"),
        image=table.take("image", _text, GENERAL_IMAGE if source else NODE_IMAGE),
        source=_folder(base, source) if source else None,
        copies=table.take("copies", _copies, None),
        networks=tuple(_network(*each) for each in table.tables("networks")) or (NetworkSpec("a"),),
        nodes=(),
    )
    shared = NodeSpec(
        "",
        spec.networks[0].name,
        memory=table.take("memory", parse_memory, None),
        cpus=table.take("cpus", _cpus, None),
        environment=table.take("environment", _environment, {}),
    )
    nodes = tuple(_node(name, each, shared) for name, each in table.tables("nodes"))
    table.end()
    return evolve(spec, nodes=nodes)


def _network(name: str, table: _Table) -> NetworkSpec:
    spec = NetworkSpec(name, table.take("subnet", _subnet, None))
    table.end()
    return spec


def _node(name: str, table: _Table, shared: NodeSpec) -> NodeSpec:
    spec = NodeSpec(
        name=name,
        network=table.take("network", _name, shared.network),
        zone=table.take("zone", _name, ""),
        join=table.take("join", _names, None),
        ports=table.take("ports", _port_list, ()),
        volume=table.take("volume", _text, None),
        memory=table.take("memory", parse_memory, shared.memory),
        cpus=table.take("cpus", _cpus, shared.cpus),
        environment={**shared.environment, **table.take("environment", _environment, {})},
    )
    table.end()
    return spec


class _Table:
    """A TOML table whose keys are taken one by one; what is left at the end is not known."""

    def __init__(self, told: Mapping[str, Any], place: str) -> None:
        self._told = dict(told)
        self._place = place

    def take(self, key: str, parse: Callable[[Any], Any], default: Any) -> Any:
        if key not in self._told:
            return default
        value = self._told.pop(key)
        try:
            return parse(value)
        except ValueError as error:
            raise DescriptionFault(f"{self._place}{key}: {value!r} is not allowed here; allowed is {error}") from error

    def tables(self, key: str) -> list[tuple[str, _Table]]:
        """The tables in a table, with their names, in the order of the file."""
        inner = self._told.pop(key, {})
        found = []
        if not isinstance(inner, dict):
            raise DescriptionFault(
                f"{self._place}{key}: {inner!r} is not allowed here; allowed is [{key}.NAME] for each"
            )
        for name, each in inner.items():
            if not isinstance(each, dict) or not NAME.fullmatch(name):
                raise DescriptionFault(f"{self._place}{key}: {name!r} is not [{key}.NAME] with {NAME_RULE}")
            found.append((name, _Table(each, f"{self._place}{key}.{name}.")))
        return found

    def end(self) -> None:
        if self._told:
            raise DescriptionFault(f"{self._place}{next(iter(self._told))}: this is not known")


def _words(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(NAME_RULE)
    return value


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of names")
    return tuple(_name(each) for each in value)


def _copies(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 16:
        raise ValueError("a whole number from 1 to 16")
    return value


def _cpus(value: Any) -> float:
    if type(value) not in (int, float) or not 0.01 <= value <= 1024:
        raise ValueError("a number from 0.01 to 1024")
    return float(value)


def parse_memory(value: Any) -> int:
    """``512m`` and the like in bytes; K, M and G are powers of 1024."""
    found = re.fullmatch(r"([0-9]{1,12})([kmg]?)b?", str(value).lower()) if type(value) in (int, str) else None
    if not found or (size := int(found[1]) * _SIZES[found[2]]) < 64 << 20:
        raise ValueError('at least 64 MiB, as "512m" or "2g"')
    return size


def _subnet(value: Any) -> str:
    try:
        subnet = ipaddress.IPv4Network(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"a subnet such as 10.90.1.0/24 ({error})") from error
    if subnet.prefixlen != 24:
        raise ValueError("a subnet of 24 bits, such as 10.90.1.0/24")
    return str(subnet)


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(type(each) in (str, int, float) for each in value.values()):
        raise ValueError("a table of texts and numbers")
    if fixed := value.keys() & OWN_SETTINGS:
        raise ValueError(f"every setting but {', '.join(sorted(fixed))}, which the cluster and the names in it decide")
    return {name: str(each) for name, each in value.items()}


def _port_list(value: Any) -> tuple[Port, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of ports")
    return tuple(port for each in value for port in parse_ports(each))


def parse_ports(value: Any) -> tuple[Port, ...]:
    """``[ADDRESS:][HOST-PORT:]PORT``; the address is loopback where none is said, the host's port a free one. PORT may be a
    range, FIRST-LAST; then the host's is the same range, or one as long."""
    found = re.fullmatch(r"(?:(?:([0-9.]+):)?([0-9]+)(?:-([0-9]+))?:)?([0-9]+)(?:-([0-9]+))?", str(value))
    if not found:
        raise ValueError('"PORT", "HOST-PORT:PORT" or "ADDRESS:HOST-PORT:PORT"; a port may be a range, "FIRST-LAST"')
    inner = _port_range(found[4], found[5])
    free = inner if found[5] else range(1)
    outer = _port_range(found[2], found[3]) if int(found[2] or 0) else free
    if len(outer) != len(inner):
        raise ValueError("a range of the host's ports that is as long as that of the container's")
    try:
        address = str(ipaddress.IPv4Address(found[1] or "127.0.0.1"))
    except ValueError as error:
        raise ValueError(f"an IPv4 address before the ports ({error})") from error
    return tuple(Port(port, host, address) for port, host in zip(inner, outer, strict=True))


def write_ports(ports: Sequence[Port]) -> tuple[str, ...]:
    """Published ports as ADDRESS:HOST-PORT->PORT; neighbours that go together are one range."""
    runs: list[list[Port]] = []
    for port in ports:
        if runs and port == evolve(runs[-1][-1], container=runs[-1][-1].container + 1, host=runs[-1][-1].host + 1):
            runs[-1].append(port)
        else:
            runs.append([port])
    return tuple(
        f"{run[0].address or '*'}:{_span(run[0].host, run[-1].host)}->{_span(run[0].container, run[-1].container)}"
        for run in runs
    )


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _port_range(first: str, last: str | None) -> range:
    found = range(int(first), int(last or first) + 1)
    if not 1 <= len(found) <= MOST_PORTS or found[0] < 1 or found[-1] > 65535:
        raise ValueError(f"a port from 1 to 65535, or a range of at most {MOST_PORTS} ports")
    return found


def _folder(base: Path, value: str) -> str:
    folder = (base / value).resolve()
    if not (folder / "twistd.tac").is_file():
        raise DescriptionFault(f"source: {folder} has no twistd.tac, so it is no folder of a service")
    return str(folder)
