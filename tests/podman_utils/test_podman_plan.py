"""From a description to what the engine is asked for: the same each time, and different where it must be."""

import json

import pytest
from attrs import evolve

from podman_utils import plan
from podman_utils.description import NodeSpec, from_numbers
from podman_utils.errors import DescriptionFault
from podman_utils.values import Attachment, Port

SPEC = from_numbers("c", 5, 2, zones=True)
SUBNETS = {"a": "10.90.1.0/24", "b": "10.90.2.0/24"}
ADDRESSES = plan.deal_addresses(SPEC.nodes, SUBNETS, {})


def request(spec=SPEC, number=0, addresses=ADDRESSES, subnets=SUBNETS):
    return plan.node_request(spec.nodes[number], spec, subnets, addresses)


def test_addresses_stay():
    """Nodes that have an address keep it; new ones get free ones, each in its network."""
    assert {f"n{n}": f"10.90.{1 + (n > 3)}.{10 + n - 3 * (n > 3)}" for n in range(1, 6)} == ADDRESSES
    more = (*SPEC.nodes[1:], NodeSpec("n6", "a"))
    dealt = plan.deal_addresses(more, SUBNETS, ADDRESSES)
    assert {name: dealt[name] for name in ADDRESSES if name != "n1"} == {
        name: ADDRESSES[name] for name in ADDRESSES if name != "n1"
    }
    assert dealt["n6"] == "10.90.1.14"  # not that of n1, which others may remember


def test_a_moved_node_gets_another_address():
    """One of its new network."""
    assert plan.deal_addresses([NodeSpec("n4", "a")], SUBNETS, ADDRESSES) == {"n4": "10.90.1.14"}


def test_addresses_run_out():
    """A full network is told, not wrapped around."""
    nodes = [NodeSpec(f"n{number}", "a") for number in range(201)]
    with pytest.raises(DescriptionFault, match="no addresses left"):
        plan.deal_addresses(nodes, SUBNETS, {})


def test_free_subnets_overlap_nothing():
    """Neither other networks of the engine, larger ones included, nor each other."""
    assert plan.free_subnets(["10.88.0.0/16", "10.89.0.0/24", "10.89.2.0/23", "fd00::/64"], 2) == [
        "10.89.1.0/24",
        "10.89.4.0/24",
    ]
    with pytest.raises(DescriptionFault, match="no free subnets"):
        plan.free_subnets(["10.89.0.0/16"], 1)


def test_seeds():
    """One seed, the first node, for all but that node; who says whom to join joins those; [] is nobody."""
    assert plan.seeds_of(SPEC.nodes[0], SPEC, ADDRESSES) == []
    assert plan.seeds_of(SPEC.nodes[4], SPEC, ADDRESSES) == ["10.90.1.11:4747"]
    assert plan.seeds_of(evolve(SPEC.nodes[4], join=()), SPEC, ADDRESSES) == []
    assert plan.seeds_of(evolve(SPEC.nodes[0], join=("n2", "n3")), SPEC, ADDRESSES) == [
        "10.90.1.12:4747",
        "10.90.1.13:4747",
    ]


def test_a_node_beside_a_router():
    """It gets a fixed address, a route to the other network with the right to set it, the secrets, and its settings."""
    made = request(number=4)
    assert made.attachments == (Attachment("c-b", "10.90.2.12"),)
    assert made.attachments[0].mac == "02:42:0a:5a:02:0c"
    assert made.capabilities == ("NET_ADMIN",)
    assert made.environment["SERVICE_ROUTES"] == "10.90.1.0/24=10.90.2.2"
    assert made.environment["TAGFS_NODE"] == "tcp:4747:interface=10.90.2.12"
    assert made.environment["TAGFS_ADVERTISE"] == "10.90.2.12:4747"
    assert made.environment["TAGFS_ZONE"] == "b"
    assert made.volumes == {"c-n5-data": "/data"}
    assert made.secrets == {
        "tagfs-podman.c.cluster-key": "cluster-key",
        "tagfs-podman.c.admin-password": "admin-password",
    }
    for variable, file in (("TAGFS_CLUSTER_KEY", "cluster-key"), ("TAGFS_ADMIN_PASSWORD_FILE", "admin-password")):
        assert made.environment[variable] == f"/run/secrets/{file}"


def test_a_node_alone_on_its_network_needs_no_rights():
    """Without a router: no route, and no capability to set one."""
    spec = from_numbers("c", 1, 1, zones=False)
    made = request(spec, subnets={"a": "10.90.1.0/24"})
    assert made.capabilities == ()
    assert "SERVICE_ROUTES" not in made.environment


def test_published_ports_have_a_network_of_their_own():
    """The cluster's own network stays without a way out; listeners for other nodes stay on it."""
    spec = evolve(SPEC, nodes=(evolve(SPEC.nodes[0], ports=(Port(2121, 2121, ""),)), *SPEC.nodes[1:]))
    made = request(spec)
    assert [each.network for each in made.attachments] == ["c-a", "c-a-ports"]
    assert made.environment["TAGFS_NODE"] == "tcp:4747:interface=10.90.1.11"


def test_source_is_bound_to_app():
    """A folder takes the place of the code in the image."""
    assert request(evolve(SPEC, source="/src", image="x")).folders == {"/src": "/app"}


def test_router_is_in_all_networks():
    """It forwards, and has an address that nodes know."""
    made = plan.router_request(SPEC, SUBNETS)
    assert made.attachments == (Attachment("c-a", "10.90.1.2"), Attachment("c-b", "10.90.2.2"))
    assert made.sysctls == {"net.ipv4.ip_forward": "1"}


@pytest.mark.parametrize(
    "change",
    [
        {"memory": 1 << 30},
        {"zone": "z"},
        {"environment": {"TAGFS_TRASH_DAYS": "3"}},
        {"ports": (Port(1, 1, ""),)},
        {"volume": "mine"},
        {"cpus": 0.5},
    ],
)
def test_plan_tells_changes(change):
    """The same description has the same plan; each change of it another one."""
    changed = evolve(SPEC, nodes=(evolve(SPEC.nodes[0], **change), *SPEC.nodes[1:]))
    assert request().labels[plan.PLAN] == request().labels[plan.PLAN]
    assert request(changed).labels[plan.PLAN] != request().labels[plan.PLAN]


def test_seeds_are_no_change():
    """A node that has joined needs them no more, so others do not make another node of it."""
    changed = evolve(SPEC, nodes=(evolve(SPEC.nodes[0], join=("n2",)), *SPEC.nodes[1:]))
    assert request(changed).environment != request().environment
    assert request(changed).labels[plan.PLAN] == request().labels[plan.PLAN]


def test_label_gives_the_node_back():
    """What add-node needs of an existing node is in its label, whole."""
    node = evolve(SPEC.nodes[0], ports=(Port(1, 2, "127.0.0.1"),), join=("n2",), memory=1 << 30, environment={"A": "b"})
    spec = evolve(SPEC, copies=2, source="/src")
    read, cluster = plan.read("c", plan.write(node, spec))
    assert read == node
    assert (cluster.image, cluster.source, cluster.copies) == (spec.image, "/src", 2)
    assert json.loads(plan.write(node, spec))
