"""From what a cluster shall be to what the engine is asked for: names, labels, addresses, environments. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, evolve, frozen

from podman_utils.description import GENERAL_IMAGE, MOST_NODES, NODE_IMAGE, ROUTER, ClusterSpec, NodeSpec
from podman_utils.errors import DescriptionFault
from podman_utils.values import Attachment, ContainerRequest, Port

CLUSTER = "tagfs.cluster"
"""The label on all that belongs to a cluster; its value is the cluster's name."""
ROLE, MEMBER, NETWORK, PLAN, SPEC = "tagfs.role", "tagfs.member", "tagfs.network", "tagfs.plan", "tagfs.spec"
NODE_PORT = 4747
FIRST_NODE_ADDRESS = 11
ROUTER_ADDRESS = 2
ROUTER_IMAGE = "localhost/router"
BUILT_IMAGES = (GENERAL_IMAGE, NODE_IMAGE, ROUTER_IMAGE)
"""What tagfs-podman build makes."""
KEY_FILE, PASSWORD_FILE = "cluster-key", "admin-password"
STOP_SECONDS = 10
_SUBNETS = ipaddress.IPv4Network("10.89.0.0/16")
"""Where free subnets are looked for: Podman's own default pool begins there, too."""


@frozen
class Names:
    """What the things of a cluster are called in the engine."""

    cluster: str

    def network(self, name: str) -> str:
        return f"{self.cluster}-{name}"

    def ports_network(self, name: str) -> str:
        """The second network of nodes with published ports: their first one has no way out."""
        return f"{self.cluster}-{name}-ports"

    def container(self, name: str) -> str:
        return f"{self.cluster}-{name}"

    @property
    def router(self) -> str:
        return self.container(ROUTER)

    def volume(self, node: str) -> str:
        return f"{self.cluster}-{node}-data"

    def secret(self, file: str) -> str:
        return f"tagfs-podman.{self.cluster}.{file}"

    @property
    def label(self) -> str:
        """What the engine's lists are asked with."""
        return f"{CLUSTER}={self.cluster}"

    def labels(self, role: str, **others: str) -> dict[str, str]:
        return {CLUSTER: self.cluster, ROLE: role, **others}


def free_subnets(taken: Iterable[str], count: int) -> list[str]:
    """``count`` subnets of 24 bits that overlap none of the taken ones."""
    used = [ipaddress.ip_network(each, strict=False) for each in taken]
    used = [each for each in used if each.version == 4]
    found: list[str] = []
    for subnet in _SUBNETS.subnets(new_prefix=24):
        if len(found) == count:
            break
        if not any(subnet.overlaps(each) for each in used):
            found.append(str(subnet))
    if len(found) < count:
        raise DescriptionFault(f"no free subnets are left in {_SUBNETS}; name some in cluster.toml")
    return found


def address(subnet: str, number: int) -> str:
    return str(ipaddress.IPv4Network(subnet)[number])


def deal_addresses(nodes: Sequence[NodeSpec], subnets: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """An address for each node in its network. Those in ``known`` keep theirs, since a node is remembered by it, unless
    they are moved to another network."""
    dealt = {}
    for node in nodes:
        if node.name in known and ipaddress.IPv4Address(known[node.name]) in ipaddress.IPv4Network(
            subnets[node.network]
        ):
            dealt[node.name] = known[node.name]
    for node in nodes:
        if node.name in dealt:
            continue
        numbers = range(FIRST_NODE_ADDRESS, FIRST_NODE_ADDRESS + MOST_NODES)
        free = (address(subnets[node.network], number) for number in numbers)
        used = {*dealt.values(), *known.values()}
        found = next((each for each in free if each not in used), None)
        if found is None:
            raise DescriptionFault(f"network {node.network} has no addresses left: {MOST_NODES} nodes are the most")
        dealt[node.name] = found
    return dealt


def seeds_of(node: NodeSpec, spec: ClusterSpec, addresses: Mapping[str, str]) -> list[str]:
    """The addresses that a node is told to join by."""
    first = spec.nodes[0].name
    names = ((first,) if node.name != first else ()) if node.join is None else node.join
    return [f"{addresses[name]}:{NODE_PORT}" for name in names]


def node_request(
    node: NodeSpec, spec: ClusterSpec, subnets: Mapping[str, str], addresses: Mapping[str, str]
) -> ContainerRequest:
    """The container of one node."""
    names = Names(spec.name)
    own = addresses[node.name]
    attachments = [Attachment(names.network(node.network), own)]
    if node.ports:
        attachments.append(Attachment(names.ports_network(node.network)))
    routes = [
        f"{subnet}={address(subnets[node.network], ROUTER_ADDRESS)}"
        for name, subnet in subnets.items()
        if name != node.network
    ]
    request = ContainerRequest(
        name=names.container(node.name),
        image=spec.image,
        attachments=tuple(attachments),
        labels={},
        environment=_environment(node, spec, own, seeds_of(node, spec, addresses), routes),
        volumes={node.volume or names.volume(node.name): "/data"},
        folders={spec.source: "/app"} if spec.source else {},
        secrets={names.secret(KEY_FILE): KEY_FILE, names.secret(PASSWORD_FILE): PASSWORD_FILE},
        ports=node.ports,
        capabilities=("NET_ADMIN",) if routes else (),
        memory=node.memory,
        cpus=node.cpus,
        stop_seconds=STOP_SECONDS,
    )
    return _labelled(
        request, names.labels("node", **{MEMBER: node.name, NETWORK: node.network, SPEC: write(node, spec)})
    )


def _environment(
    node: NodeSpec, spec: ClusterSpec, own: str, seeds: Sequence[str], routes: Sequence[str]
) -> dict[str, str]:
    settings = {
        "TAGFS_DATA": "/data",
        "TAGFS_NAME": node.name,
        "TAGFS_FTP": "tcp:2121",
        "TAGFS_WEB": "tcp:8080",
        # On the cluster's network alone: what publishes ports is no way between nodes.
        "TAGFS_NODE": f"tcp:{NODE_PORT}:interface={own}",
        "TAGFS_ADVERTISE": f"{own}:{NODE_PORT}",
        "TAGFS_CLUSTER_KEY": f"/run/secrets/{KEY_FILE}",
        "TAGFS_ADMIN_PASSWORD_FILE": f"/run/secrets/{PASSWORD_FILE}",
        "TAGFS_WEB_NAMES": ",".join([Names(spec.name).container(node.name), own]),
    }
    if seeds:
        settings["TAGFS_JOIN"] = ",".join(seeds)
    if node.zone:
        settings["TAGFS_ZONE"] = node.zone
    if spec.copies is not None:
        settings["TAGFS_COPIES"] = str(spec.copies)
    if routes:
        settings["SERVICE_ROUTES"] = " ".join(routes)
    return settings | dict(node.environment)


def router_request(spec: ClusterSpec, subnets: Mapping[str, str]) -> ContainerRequest:
    """The container that stands in all the networks and forwards between them."""
    names = Names(spec.name)
    request = ContainerRequest(
        name=names.router,
        image=ROUTER_IMAGE,
        attachments=tuple(
            Attachment(names.network(name), address(subnet, ROUTER_ADDRESS)) for name, subnet in subnets.items()
        ),
        labels={},
        capabilities=("NET_ADMIN",),
        sysctls={"net.ipv4.ip_forward": "1"},
        stop_seconds=2,
    )
    return _labelled(request, names.labels(ROUTER, **{MEMBER: ROUTER}))


def _labelled(request: ContainerRequest, labels: Mapping[str, str]) -> ContainerRequest:
    """With its labels, among them the hash of what it is: a container with another hash is another one.

    Seeds do not count: they matter only until a node has joined, and afterwards it knows better ones.
    """
    settings = {name: value for name, value in request.environment.items() if name != "TAGFS_JOIN"}
    told = json.dumps(asdict(evolve(request, environment=settings)), sort_keys=True, default=str)
    return evolve(request, labels={**labels, PLAN: hashlib.sha256(told.encode()).hexdigest()[:32]})


def write(node: NodeSpec, spec: ClusterSpec) -> str:
    """A node and what it has of its cluster, for a label: what add-node makes the next one from."""
    return json.dumps(
        {"node": asdict(node), "image": spec.image, "source": spec.source, "copies": spec.copies}, sort_keys=True
    )


def read(cluster: str, label: str) -> tuple[NodeSpec, ClusterSpec]:
    """What :func:`write` wrote: the node, and a cluster of that node alone (its networks are not in the label)."""
    told: dict[str, Any] = json.loads(label)
    fields = dict(told["node"])
    fields["ports"] = tuple(Port(**each) for each in fields["ports"])
    fields["join"] = None if fields["join"] is None else tuple(fields["join"])
    node = NodeSpec(**fields)
    return node, ClusterSpec(cluster, (), (node,), told["image"], told["source"], told["copies"])
