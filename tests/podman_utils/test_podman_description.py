"""cluster.toml and the options of `up` become checked values, or a line that says what is wrong and where."""

from pathlib import Path

import pytest

from podman_utils.description import NodeSpec, check, from_file, from_numbers, parse_memory, parse_ports, write_ports
from podman_utils.errors import DescriptionFault
from podman_utils.values import Port

FULL = """
name = "demo"
source = "service"
copies = 2
memory = "512m"
cpus = 0.5

[environment]
TAGFS_OUT_AFTER = 60

[networks.left]
subnet = "10.90.1.0/24"
[networks.right]

[nodes.n1]
network = "left"
zone = "attic"
ports = ["127.0.0.1:2121:2121", "8080"]
volume = "mine"
memory = "1g"

[nodes.n2]
network = "right"
join = []
environment = { TAGFS_OUT_AFTER = "90", TAGFS_TRASH_DAYS = 3 }
"""


@pytest.fixture
def write(tmp_path: Path):
    (tmp_path / "service").mkdir()
    (tmp_path / "service/twistd.tac").touch()

    def written(text: str) -> Path:
        (tmp_path / "cluster.toml").write_text(text)
        return tmp_path / "cluster.toml"

    return written


def test_file_says_everything(write, tmp_path):
    """Each key of the file arrives where it belongs; what is said for all nodes holds for those that say nothing."""
    spec = from_file(write(FULL))
    assert (spec.name, spec.copies, spec.image) == ("demo", 2, "localhost/distributed_python")
    assert spec.source == str(tmp_path / "service")
    assert [(each.name, each.subnet) for each in spec.networks] == [("left", "10.90.1.0/24"), ("right", None)]
    first, second = spec.nodes
    assert first == NodeSpec(
        "n1", "left", "attic", None, (Port(2121, 2121, "127.0.0.1"), Port(8080, 0, "127.0.0.1")), "mine", 1 << 30, 0.5,
        {"TAGFS_OUT_AFTER": "60"},
    )  # fmt: skip
    assert second.join == () and second.memory == 512 << 20
    assert second.environment == {"TAGFS_OUT_AFTER": "90", "TAGFS_TRASH_DAYS": "3"}


def test_a_file_may_say_little(write):
    """One network, one node, the node's image: that is all right."""
    spec = from_file(write("[nodes.n1]"))
    assert (spec.name, spec.image, spec.source, len(spec.networks)) == ("tagfs", "localhost/tagfs", None, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes = 3", "nodes: 3 is not allowed here; allowed is [nodes.NAME] for each"),
        ("[nodes.N1]", "nodes: 'N1' is not [nodes.NAME]"),
        ("", "at least one network and one node"),
        ("copies = 17\n[nodes.n1]", "copies: 17 is not allowed here; allowed is a whole number from 1 to 16"),
        ("copies = true\n[nodes.n1]", "copies: True is not allowed"),
        ("size = 1\n[nodes.n1]", "size: this is not known"),
        ("[nodes.n1]\nzones = 'a'", "nodes.n1.zones: this is not known"),
        ("[networks.a]\n[nodes.n1]\nnetwork = 'b'", "nodes.n1.network: 'b' is none of a"),
        ("[nodes.n1]\njoin = ['n9']", "nodes.n1.join: n9 is none of n1"),
        ("[nodes.router]", "nodes.router: that name is the router's"),
        ("[networks.a]\nsubnet = '10.1.0.0/16'\n[nodes.n1]", "a subnet of 24 bits"),
        ("[networks.a]\nsubnet = '10.1.0.1/24'\n[nodes.n1]", "host bits set"),
        (
            "[networks.a]\nsubnet = '10.1.0.0/24'\n[networks.b]\nsubnet = '10.1.0.0/24'\n[nodes.n1]",
            "10.1.0.0/24 and 10.1.0.0/24 overlap",
        ),
        ("[nodes.n1]\nports = ['80:http']", "nodes.n1.ports: ['80:http'] is not allowed here"),
        ("[nodes.n1]\nmemory = '1m'", "at least 64 MiB"),
        ("[nodes.n1]\nenvironment = 3", "a table of texts and numbers"),
        ("[nodes.n1]\nenvironment = { TAGFS_NAME = 'x' }", "allowed is every setting but TAGFS_NAME"),
        ("source = 'elsewhere'\n[nodes.n1]", "has no twistd.tac"),
        ("[nodes.n1", "cluster.toml: "),
    ],
)
def test_wrong_file_is_named(write, text, message):
    """The message names the file, the place and what is allowed."""
    with pytest.raises(DescriptionFault) as caught:
        from_file(write(text))
    assert message in str(caught.value)
    assert "cluster.toml: " in str(caught.value)


def test_missing_file_is_named(tmp_path):
    """So does the message about a file that is not there."""
    with pytest.raises(DescriptionFault, match=r"none\.toml: No such file"):
        from_file(tmp_path / "none.toml")


def test_numbers_deal_nodes_out():
    """Neighbours share a network; sizes differ by one at most; --zones makes each network a zone."""
    spec = from_numbers("c", 5, 2, zones=True)
    assert [(node.name, node.network, node.zone) for node in spec.nodes] == [
        ("n1", "a", "a"), ("n2", "a", "a"), ("n3", "a", "a"), ("n4", "b", "b"), ("n5", "b", "b"),
    ]  # fmt: skip
    assert all(node.zone == "" for node in from_numbers("c", 3, 1, zones=False).nodes)
    assert check(spec) is spec


@pytest.mark.parametrize(("nodes", "networks"), [(1, 2), (0, 1), (3, 0), (201, 1), (30, 27)])
def test_impossible_numbers(nodes, networks):
    """Fewer nodes than networks, or more than there are addresses and letters."""
    with pytest.raises(DescriptionFault, match="1 to 26 networks"):
        from_numbers("c", nodes, networks, zones=False)


def test_ports_and_memory():
    """Both are written as people write them."""
    assert parse_ports("2121") == (Port(2121, 0, "127.0.0.1"),)
    assert parse_ports("0.0.0.0:80:8080") == (Port(8080, 80, "0.0.0.0"),)
    assert parse_ports(8080) == parse_ports("0:8080") == (Port(8080, 0, "127.0.0.1"),)
    assert parse_ports("31000-31001") == (Port(31000, 31000, "127.0.0.1"), Port(31001, 31001, "127.0.0.1"))
    assert parse_ports("1-2:8001-8002") == (Port(8001, 1, "127.0.0.1"), Port(8002, 2, "127.0.0.1"))
    for wrong in (
        "",
        "0",
        "70000",
        "1:2:3:4",
        "::1:80:80",
        "x:80",
        "300.1.1.1:80:80",
        "2-1",
        "1-2:3",
        "1:2-3",
        "1-9999",
    ):
        with pytest.raises(ValueError, match=r"PORT|an IPv4 address|a port from 1|a range of"):
            parse_ports(wrong)
    assert write_ports((Port(80, 8080, ""), *parse_ports("5000-5002"), Port(5003, 7, "127.0.0.1"))) == (
        "*:8080->80", "127.0.0.1:5000-5002->5000-5002", "127.0.0.1:7->5003",
    )  # fmt: skip
    assert parse_memory("512M") == parse_memory("512mb") == parse_memory(512 << 20) == 512 << 20
