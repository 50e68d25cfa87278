"""The engine's faults become lines for people; its calls are what Podman's API expects."""

import io
import json
from pathlib import Path

import pytest

from podman_utils.engine import Engine, default_socket
from podman_utils.errors import EngineFault, NotThere, Taken
from podman_utils.values import Attachment, ContainerRequest, Port
from tests.podman_utils.fake_podman import FakePodman

ROOT = Path(__file__).parents[2]
WISH = ContainerRequest(
    name="c-n1",
    image="localhost/tagfs",
    attachments=(Attachment("c-a", "10.90.1.11"), Attachment("c-a-ports")),
    labels={"tagfs.cluster": "c"},
    environment={"A": "b"},
    volumes={"c-n1-data": "/data"},
    folders={"/src": "/app"},
    secrets={"s": "key"},
    ports=(Port(2121, 42121, "127.0.0.1"), Port(8080, 0, "")),
    capabilities=("NET_ADMIN",),
    sysctls={"net.ipv4.ip_forward": "1"},
    memory=512 << 20,
    cpus=0.5,
    stop_seconds=7,
)


def test_only_the_engine_knows_the_library():
    """docs/tools/podman.md promises that one module holds every call."""
    users = [
        path.name
        for path in (ROOT / "podman_utils").glob("*.py")
        if "podman import" in path.read_text().replace("podman_utils", "")
    ]
    assert users == ["engine.py"]


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({}, 0, "unix:///run/podman/podman.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, 7, "unix:///run/user/7/podman/podman.sock"),
        ({}, 7, "unix:///run/user/7/podman/podman.sock"),
        ({"CONTAINER_HOST": "tcp://h:1"}, 0, "tcp://h:1"),
    ],
)
def test_socket_is_found(environ, uid, expected):
    """Root's socket for root, a user's own for a user; Podman's own variable before both."""
    assert default_socket(environ, uid) == expected


def test_missing_socket_is_told(tmp_path):
    """With the commands that start it."""
    with pytest.raises(
        EngineFault, match=r"no Podman socket at .*none\.sock.*systemctl enable --now podman\.socket.*system service"
    ):
        Engine(f"unix://{tmp_path}/none.sock")


def test_dead_socket_is_told(tmp_path):
    """A socket file that nobody listens on is another fault."""
    (tmp_path / "dead.sock").touch()
    with pytest.raises(EngineFault, match="cannot be reached"):
        Engine(str(tmp_path / "dead.sock"))


def test_a_socket_of_somebody_else_is_told(tmp_path, monkeypatch):
    """With the one that is one's own."""

    def refuse(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", refuse)
    with pytest.raises(EngineFault, match=r"/x is another user's; .* it is your own, unix:///run/"):
        Engine("unix:///x")


def test_no_address_is_told():
    with pytest.raises(EngineFault, match="no address of a Podman socket"):
        Engine("gopher://x")


def test_old_engine_is_told(tmp_path):
    """Not the version of Docker's API that stands at the top of the answer."""
    fake = FakePodman(tmp_path, version="3.4.4")
    try:
        with pytest.raises(EngineFault, match=r"speaks version 3\.4\.4; this needs Podman 4\.0"):
            Engine(fake.url)
    finally:
        fake.close()


def test_container_is_asked_for_as_the_api_expects(engine, fake):
    """Fixed address and MAC, networks in order, bindings, secrets for the service's user, no capability but those named."""
    for network, subnet in (("c-a", "10.90.1.0/24"), ("c-a-ports", None)):
        engine.create_network(network, subnet, {}, internal=subnet is not None)
    engine.create_secret("s", b"x")
    engine.create_container(WISH)
    told = fake.containers["c-n1"]["told"]
    assert told["networks"] == {
        "c-a": {"interface_name": "eth0", "static_ips": ["10.90.1.11"], "static_mac": "02:42:0a:5a:01:0b"},
        "c-a-ports": {"interface_name": "eth1"},
    }
    assert told["netns"] == {"nsmode": "bridge"}
    assert told["secrets"] == [{"source": "s", "target": "key", "uid": 1000, "gid": 1000, "mode": 0o400}]
    assert told["portmappings"] == [
        {"container_port": 2121, "protocol": "tcp", "host_ip": "127.0.0.1", "host_port": 42121},
        {"container_port": 8080, "protocol": "tcp", "host_ip": "", "host_port": 0},
    ]
    assert [each["Name"] for each in told["volumes"]] == ["c-n1-data"]
    assert [(each["source"], each["destination"], each["options"]) for each in told["mounts"]] == [
        ("/src", "/app", ["ro"])
    ]
    assert (told["cap_drop"], told["cap_add"]) == (["all"], ["NET_ADMIN"])
    assert told["resource_limits"]["memory"]["limit"] == 512 << 20
    assert told["resource_limits"]["cpu"]["quota"] / told["resource_limits"]["cpu"]["period"] == 0.5
    assert told["sysctl"] == {"net.ipv4.ip_forward": "1"}


def test_networks_are_closed_or_isolated(engine, fake):
    """An internal network has no way out; the other kind is kept apart from its like; both know names."""
    engine.create_network("in", "10.90.1.0/24", {"a": "b"}, internal=True)
    engine.create_network("out", None, {}, internal=False)
    assert fake.networks["in"]["internal"] is True and "options" not in fake.networks["in"]
    assert fake.networks["out"]["internal"] is False and fake.networks["out"]["options"] == {"isolate": "true"}
    assert fake.networks["in"]["dns_enabled"] and fake.networks["out"]["dns_enabled"]
    assert [each.name for each in engine.networks("a=b")] == ["in"]


def test_taken_names_and_subnets_are_told(engine):
    """As faults of their own, with Podman's reason."""
    engine.create_network("in", "10.90.1.0/24", {}, internal=True)
    with pytest.raises(Taken, match=r"could not make the network in .*already"):
        engine.create_network("in", "10.90.2.0/24", {}, internal=True)
    with pytest.raises(Taken, match=r"10\.90\.1\.0/24 is already used"):
        engine.create_network("other", "10.90.1.0/24", {}, internal=True)


def test_what_is_missing_is_told(engine):
    """None where it is asked for, NotThere where something is done with it."""
    assert engine.container("x") is None
    assert engine.image_id("localhost/none") is None
    assert engine.network("x") is None
    for do in (engine.start, engine.kill, engine.pause, engine.remove_container):
        with pytest.raises(NotThere, match="x"):
            do("x")


def test_build_says_what_goes_on_and_why_it_fails(engine, fake):
    """Lines as they come; a failed step ends it with what was said before."""
    said = list(
        engine.build("dockerfiles/x", io.BytesIO(b"tar"), "localhost/new", {"BASE": "localhost/tagfs"}, {"l": "v"})
    )
    assert said[0] == "STEP 1: FROM\n"
    assert engine.image_id("localhost/new")
    assert fake.builds[0]["dockerfile"] == "dockerfiles/x"
    assert fake.builds[0]["context"] == b"tar"
    assert json.loads(fake.builds[0]["labels"]) == {"l": "v"}
    assert "docker" in fake.builds[0]["outputformat"]  # the one that has health checks
    with pytest.raises(EngineFault, match=r"nothing: image not known. It said: STEP 1: FROM"):
        list(engine.build("dockerfiles/x", io.BytesIO(b"tar"), "localhost/new", {"BASE": "nothing"}, {}))


def test_health_is_that_of_now(engine, fake):
    """Podman 4.3 answers with an old status and no log; the last run tells."""
    engine.create_network("c-a", "10.90.1.0/24", {}, internal=True)
    engine.create_network("c-a-ports", None, {}, internal=False)
    engine.create_secret("s", b"x")
    engine.create_container(WISH)
    assert engine.check_health("c-n1") == (False, "it does not run")
    engine.start("c-n1")
    assert engine.check_health("c-n1") == (True, "well")
    fake.ill.add("c-n1")
    assert engine.check_health("c-n1") == (False, "no answer")


def test_logs_come_in_pieces(engine, fake):
    engine.create_network("c-a", "10.90.1.0/24", {}, internal=True)
    engine.create_network("c-a-ports", None, {}, internal=False)
    engine.create_secret("s", b"x")
    engine.create_container(WISH)
    assert b"".join(engine.logs("c-n1", follow=False, tail=5)) == b"c-n1 is up\n"
