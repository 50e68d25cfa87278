"""A cluster comes up, stays as it is when asked again, changes where its description does, and goes away whole."""

import json
import re

import pytest
from attrs import evolve

from podman_utils import members
from podman_utils.description import NetworkSpec, from_numbers
from podman_utils.errors import DescriptionFault, Fault, NotReady, NotThere, Taken
from podman_utils.values import Port

SPEC = from_numbers("c", 5, 2, zones=False)


def test_up_makes_it_all(cluster, fake):
    """Networks, secrets, router, volumes, nodes; all with the label, all running, the founder first."""
    cluster.up(SPEC)
    assert sorted(fake.networks) == ["c-a", "c-b"]
    assert sorted(fake.volumes) == [f"c-n{n}-data" for n in range(1, 6)]
    assert sorted(fake.containers) == ["c-n1", "c-n2", "c-n3", "c-n4", "c-n5", "c-router"]
    assert {each["State"]["Status"] for each in fake.containers.values()} == {"running"}
    assert {each["Config"]["Labels"]["tagfs.cluster"] for each in fake.containers.values()} == {"c"}
    assert all(each["Labels"] == {"tagfs.cluster": "c", "tagfs.role": "volume", "tagfs.member": name.split("-")[1]}
               for name, each in fake.volumes.items())  # fmt: skip
    started = [each.split("/")[2] for each in fake.requests if each.endswith("/start") and "containers" in each]
    assert started == ["c-router", "c-n1", "c-n2", "c-n3", "c-n4", "c-n5"]


def test_secrets_are_secret(cluster, fake, said):
    """A key of 64 hex digits and a password, made once, each in a line of its own, and never said."""
    cluster.up(SPEC)
    key = fake.secrets["tagfs-podman.c.cluster-key"].decode()
    password = fake.secrets["tagfs-podman.c.admin-password"].decode()
    assert len(key) == 65 and int(key, 16) and key.endswith("\n")
    assert len(password) >= 20
    assert not any(key.strip() in line or password.strip() in line for line in said)
    told = [str(each["told"]) for each in fake.containers.values()]
    assert not any(key.strip() in each or password.strip() in each for each in told)


def test_up_again_changes_nothing(cluster, fake):
    """Asked twice, it asks the engine for no change."""
    cluster.up(SPEC)
    fake.requests.clear()
    cluster.up(SPEC)
    assert [each for each in fake.requests if "exec" not in each] == []


def test_up_starts_what_was_stopped(cluster, fake):
    """Stopped and paused nodes run again, the same containers as before."""
    cluster.up(SPEC)
    ids = {name: each["Id"] for name, each in fake.containers.items()}
    members.stop(cluster, "n2")
    members.pause(cluster, "n3")
    members.kill(cluster, "router")
    cluster.up(SPEC)
    assert {each["State"]["Status"] for each in fake.containers.values()} == {"running"}
    assert {name: each["Id"] for name, each in fake.containers.items()} == ids


def test_a_cluster_with_data_starts_all_at_once(cluster, fake):
    """After ``down``, or a loss of power, no node is well before another one runs: none is waited for alone."""
    cluster.up(SPEC)
    for bring_down in (
        lambda: cluster.down(volumes=False),
        lambda: [members.kill(cluster, f"n{n}") for n in range(1, 6)],
    ):
        bring_down()
        fake.needs_another = True
        cluster.up(SPEC)
        assert {each["State"]["Status"] for each in fake.containers.values()} == {"running"}
        fake.needs_another = False


def test_running_nodes_are_replaced_once_the_others_are_back(cluster, fake):
    """Never more than one is down by ``up`` itself."""
    cluster.up(SPEC)
    members.stop(cluster, "n5")
    fake.requests.clear()
    cluster.up(evolve(SPEC, nodes=tuple(evolve(each, memory=1 << 30) for each in SPEC.nodes)))
    verbs = [each.split("/")[2:] for each in fake.requests if re.search(r"containers/c-n\d/(start|stop)$", each)]
    order = [name for name, verb in verbs if verb == "start"]
    assert order == ["c-n5", "c-n1", "c-n2", "c-n3", "c-n4"]
    assert [verb for name, verb in verbs if name != "c-n5"] == ["stop", "start"] * 4


def test_up_replaces_only_what_changed(cluster, fake):
    """A node with another limit is made anew, with its volume and its address; a new image replaces all nodes."""
    cluster.up(SPEC)
    ids = {name: each["Id"] for name, each in fake.containers.items()}
    changed = evolve(SPEC, nodes=(*SPEC.nodes[:2], evolve(SPEC.nodes[2], memory=1 << 30), *SPEC.nodes[3:]))
    cluster.up(changed)
    assert {name for name, each in fake.containers.items() if each["Id"] != ids[name]} == {"c-n3"}
    assert fake.containers["c-n3"]["volumes"] == ["c-n3-data"]
    assert not any("volumes" in each and each.startswith("DELETE") for each in fake.requests)
    fake.add_image("localhost/tagfs")
    cluster.up(changed)
    assert all(each["Id"] != ids[name] for name, each in fake.containers.items() if name != "c-router")


def test_up_needs_images(cluster, fake):
    """Their absence is told before anything is made."""
    del fake.images["localhost/router:latest"]
    with pytest.raises(NotThere, match="no image localhost/router here; tagfs-podman build makes it"):
        cluster.up(SPEC)
    assert fake.networks == {} and fake.secrets == {}


def test_up_does_not_touch_what_is_not_its_own(cluster, fake, engine):
    """Names that others have are told, and theirs stays."""
    engine.create_network("c-a", "10.1.1.0/24", {}, internal=True)
    with pytest.raises(Taken, match="the name c-a belongs to something else"):
        cluster.up(SPEC)
    assert sorted(fake.networks) == ["c-a"]


def test_up_keeps_its_subnets(cluster, fake):
    """Free ones were taken the first time; another one in the description is told, since nodes have addresses."""
    cluster.up(SPEC)
    with pytest.raises(Taken, match=r"the network c-a is 10\.89\.0\.0/24, not 10\.99\.0\.0/24"):
        cluster.up(evolve(SPEC, networks=(NetworkSpec("a", "10.99.0.0/24"), NetworkSpec("b"))))


def test_taken_subnet_is_told(cluster, engine):
    """A subnet that another network has."""
    engine.create_network("other", "10.99.0.0/24", {}, internal=True)
    with pytest.raises(Taken, match=r"c-a \(10\.99\.0\.0/24\): .*already used"):
        cluster.up(evolve(SPEC, networks=(NetworkSpec("a", "10.99.0.0/24"), NetworkSpec("b"))))


def test_a_lost_secret_is_not_made_anew(cluster, fake):
    """Nodes with data know the old one: a new one would lock everybody out."""
    cluster.up(SPEC)
    cluster.down(volumes=False)
    del fake.secrets["tagfs-podman.c.cluster-key"]
    with pytest.raises(NotThere, match=r"cluster-key is gone"):
        cluster.up(SPEC)


def test_a_node_that_ends_is_told(cluster, fake, monkeypatch):
    """With its last words, at once."""
    monkeypatch.setattr(
        type(cluster.engine), "start", lambda self, name: fake.containers[name]["State"].update(Status="exited")
    )
    with pytest.raises(NotReady, match=r"c-router ended|c-n1 ended\. Its last words: c-n1 is up"):
        cluster.up(SPEC)


def test_last_words_in_pieces_are_told_too(cluster, fake, monkeypatch):
    """The engine's last lines may be empty where the whole log is not."""
    fake.broken_lines.add("c-n1")
    fake.broken_lines.add("c-router")
    monkeypatch.setattr(
        type(cluster.engine), "start", lambda self, name: fake.containers[name]["State"].update(Status="exited")
    )
    with pytest.raises(NotReady, match=r"c-n1 ended\. Its last words: c-n1 is up"):
        cluster.up(SPEC)


def test_limits_that_cannot_be_are_told(cluster, fake, said):
    """A user's containers have no control group where those are of version 1: the cluster comes up, and this is said."""
    limited = evolve(SPEC, nodes=tuple(evolve(each, cpus=1.0) for each in SPEC.nodes))
    cluster.up(limited)
    assert not any("not limited" in each for each in said)
    fake.host["security"]["rootless"] = True
    cluster.up(limited)
    assert sum("not limited" in each for each in said) == 1
    with pytest.raises(Fault, match="nothing can be paused here"):
        members.pause(cluster, "n1")


def test_what_is_so_already_is_told(cluster, fake, said):
    """Asked again, each verb says that nothing was to be done, and does nothing."""
    cluster.up(SPEC)
    members.kill(cluster, "n1")
    members.pause(cluster, "n2")
    fake.requests.clear()
    said.clear()
    members.kill(cluster, "n1")
    members.stop(cluster, "n1")
    members.pause(cluster, "n2")
    members.start(cluster, "n3")
    members.heal(cluster)
    assert said == [
        "container c-n1 does not run",
        "container c-n1 does not run",
        "container c-n2 is paused already",
        "container c-n3 runs already",
        "nothing is cut",
    ]
    assert [each for each in fake.requests if "exec" not in each] == []
    with pytest.raises(NotReady, match="c-n1 does not run; tagfs-podman start n1"):
        members.pause(cluster, "n1")


def test_a_node_that_is_ill_is_told(cluster, fake):
    """After its time, with what the check said."""
    fake.ill.add("c-n1")
    with pytest.raises(NotReady, match=r"c-n1 is not well after 90 s: no answer"):
        cluster.up(SPEC)


def test_a_slow_health_check_is_repeated(cluster, fake):
    """Podman calls it an error where the check takes too long; on a busy machine the next one may pass."""
    fake.slow += ["c-n1", "c-n1", "c-n2"]
    cluster.up(SPEC)
    assert fake.slow == []


def test_nodes_that_do_not_meet_are_told(cluster, fake):
    """It says who does not see whom."""
    fake.answers.append(lambda name, command: (0, "[]", "") if name == "c-n5" and command[-1] == "nodes" else None)
    with pytest.raises(NotReady, match="n5 does not see n1 n2 n3 n4 n5"):
        cluster.up(SPEC)


def test_status_says_what_others_see(cluster, fake):
    """The state is that of the *other* nodes; where they differ, who says what."""
    cluster.up(SPEC)
    members.kill(cluster, "n3")
    status = {each.name: each for each in cluster.status()}
    assert (status["n1"].seen_as, status["n1"].node_id, status["n1"].healthy) == ("alive", "id-n1", True)
    assert (status["n3"].seen_as, status["n3"].state, status["n3"].healthy) == ("dead", "exited", None)
    assert status["n3"].address == "10.89.0.13"
    assert (status["router"].network, status["router"].seen_as) == ("all", "")
    fake.answers.append(
        lambda name, command: (
            (0, '[{"id": "id-n1", "name": "n1", "state": "suspect"}]', "")
            if name == "c-n5" and command[-1] == "nodes"
            else None
        )
    )
    status = {each.name: each for each in cluster.status()}
    assert status["n1"].seen_as == "alive (n2 n4); suspect (n5)"


def test_status_takes_a_successor_for_who_it_is(cluster, fake):
    """The node that left under the same name is still in the nodes' lists."""
    cluster.up(from_numbers("c", 2, 1, zones=False))
    rows = [("old", "n2", "left"), ("id-n1", "n1", "alive"), ("new", "n2", "alive")]
    told = json.dumps([dict(zip(("id", "name", "state"), row, strict=True)) for row in rows])
    fake.answers.append(lambda name, command: (0, told, "") if command[-1] == "nodes" else None)
    (status,) = [each for each in cluster.status() if each.name == "n2"]
    assert (status.node_id, status.seen_as) == ("new", "alive")


def test_down_removes_exactly_its_own(cluster, fake, engine, said):
    """What others made stays; data and secrets stay until they are named."""
    engine.create_network("other", "10.99.0.0/24", {"tagfs.cluster": "other"}, internal=True)
    engine.ensure_volume("other", {})
    cluster.up(SPEC)
    cluster.down(volumes=False)
    assert fake.containers == {} and sorted(fake.networks) == ["other"]
    assert len(fake.volumes) == 6 and len(fake.secrets) == 2
    cluster.up(SPEC)
    cluster.down(volumes=True)
    assert fake.containers == {} and sorted(fake.networks) == ["other"]
    assert sorted(fake.volumes) == ["other"] and fake.secrets == {}
    cluster.down(volumes=True)
    assert said[-1] == "there is nothing of a cluster c here; --name says which other is meant: other"


def test_a_volume_of_ones_own_stays(cluster, fake, engine):
    """``down --volumes`` removes what the cluster made, not what it was given."""
    engine.ensure_volume("mine", {})
    cluster.up(evolve(SPEC, nodes=(evolve(SPEC.nodes[0], volume="mine"), *SPEC.nodes[1:])))
    cluster.down(volumes=True)
    assert sorted(fake.volumes) == ["mine"]


def test_ports_network_comes_and_goes(cluster, fake):
    """Only where ports are published."""
    cluster.up(evolve(SPEC, nodes=(evolve(SPEC.nodes[0], ports=(Port(2121, 0, ""),)), *SPEC.nodes[1:])))
    assert sorted(fake.networks) == ["c-a", "c-a-ports", "c-b"]
    (published,) = [each.ports for each in cluster.status() if each.ports]
    assert len(published) == 1 and published[0].startswith("*:4") and published[0].endswith("->2121")
    cluster.down(volumes=True)
    assert fake.networks == {}


def test_add_node(cluster, fake):
    """The first free name, a free address, the settings of the others, a running node as its seed."""
    cluster.up(evolve(SPEC, copies=2, nodes=tuple(evolve(each, memory=1 << 29) for each in SPEC.nodes)))
    members.kill(cluster, "n1")
    assert members.add_node(cluster, None, "b", None) == "n6"
    told = fake.containers["c-n6"]["told"]
    assert told["networks"]["c-b"]["static_ips"] == ["10.89.1.13"]
    assert told["env"]["TAGFS_JOIN"] == "10.89.0.12:4747"
    assert told["env"]["TAGFS_COPIES"] == "2"
    assert told["env"]["SERVICE_ROUTES"] == "10.89.0.0/24=10.89.1.2"
    assert told["resource_limits"]["memory"]["limit"] == 1 << 29
    for taken in ("n2", "router"):
        with pytest.raises(DescriptionFault, match=f"there is a {taken} already; there are n1"):
            members.add_node(cluster, taken, None, None)
    with pytest.raises(DescriptionFault, match="'N7' cannot be the name of a node; allowed is a name of up to 32"):
        members.add_node(cluster, "N7", None, None)
    with pytest.raises(DescriptionFault, match="z is no network"):
        members.add_node(cluster, None, "z", None)


def test_a_new_first_node_founds_no_second_cluster(cluster, fake):
    """It is the founder only as long as there is nobody else; the others stay as they are."""
    cluster.up(SPEC)
    assert "TAGFS_JOIN" not in fake.containers["c-n1"]["told"]["env"]
    ids = {name: each["Id"] for name, each in fake.containers.items()}
    members.kill(cluster, "n1")
    fake.answers.append(lambda name, command: (0, "", "") if "forget" in command else None)
    members.remove_node(cluster, "n1", force=True)
    cluster.up(SPEC)
    assert fake.containers["c-n1"]["told"]["env"]["TAGFS_JOIN"] == "10.89.0.12:4747"
    cluster.up(SPEC)
    assert {name for name, each in fake.containers.items() if each["Id"] != ids[name]} == {"c-n1"}


def test_remove_node(cluster, fake):
    """It is asked to leave, and only then its container and volume go."""
    cluster.up(SPEC)
    order = []

    def leave(name, command):
        if "leave" in command:
            order.append((name, command[-1], "c-n4" in fake.containers))
            return 0, "", ""
        if command[-1] == "nodes" and order:
            return 0, '[{"id": "id-n4", "name": "n4", "state": "left"}]', ""
        return None

    fake.answers.append(leave)
    members.remove_node(cluster, "n4", force=False)
    assert order == [("c-n1", "id-n4", True)]
    assert "c-n4" not in fake.containers and "c-n4-data" not in fake.volumes


def test_a_leaving_node_waits_for_the_others(cluster, fake, said):
    """As long as one of them owes itself a content, the leaving one may be the only one that has it."""
    cluster.up(SPEC)
    owed = iter([0, 3, 0, 1, *[0] * 100])
    looked = []

    def ask(name, command):
        if "owed_contents" in command[-1] and name == "c-n1":
            looked.append("c-n4" in fake.containers)
            return 0, f"{next(owed)}\n", ""
        if "leave" in command:
            return 0, "", ""
        return (
            (0, '[{"id": "id-n4", "name": "n4", "state": "left"}]', "")
            if "leave" in str(fake.executed) and command[-1] == "nodes"
            else None
        )

    fake.answers.append(ask)
    members.remove_node(cluster, "n4", force=False)
    assert len(looked) > 5 and all(looked)
    assert [line for line in said if "handed over" in line] == [
        "3 contents are to be handed over",
        "1 contents are to be handed over",
    ]
    assert "c-n4" not in fake.containers


def test_remove_a_dead_node(cluster, fake):
    """Only with --force, and then the others are told to forget it."""
    cluster.up(SPEC)
    members.kill(cluster, "n4")
    with pytest.raises(NotReady, match="--force"):
        members.remove_node(cluster, "n4", force=False)
    fake.answers.append(lambda name, command: (0, "", "") if "forget" in command else None)
    members.remove_node(cluster, "n4", force=True)
    assert any("forget" in command and command[-1] == "id-n4" for _, command, _ in fake.executed)
    assert "c-n4" not in fake.containers
    with pytest.raises(DescriptionFault, match="router is no node"):
        members.remove_node(cluster, "router", force=True)


def test_remove_node_that_is_refused(cluster, fake):
    """What the node says is told, and nothing is removed."""
    cluster.up(SPEC)
    fake.answers.append(lambda name, command: (1, "", "no right") if "leave" in command else None)
    with pytest.raises(Fault, match="no right"):
        members.remove_node(cluster, "n4", force=False)
    assert "c-n4" in fake.containers


def test_cut_and_heal(cluster, fake):
    """Both directions; again is nothing new; healed one by one or all."""
    cluster.up(from_numbers("c", 3, 3, zones=False))
    members.cut(cluster, "a", "b")
    members.cut(cluster, "b", "a")
    members.cut(cluster, "a", "c")
    assert len(fake.rules) == 4
    assert members.cuts(cluster) == [("a", "b"), ("a", "c")]
    members.heal(cluster, "b", "a")
    assert members.cuts(cluster) == [("a", "c")]
    members.heal(cluster)
    assert fake.rules == []
    for pair in (("a", "a"), ("a", "z")):
        with pytest.raises(DescriptionFault):
            members.cut(cluster, *pair)


def test_cut_needs_a_router_that_runs(cluster):
    cluster.up(SPEC)
    members.stop(cluster, "router")
    with pytest.raises(NotReady, match="start router"):
        members.cut(cluster, "a", "b")


def test_unknown_member_is_told(cluster):
    """With those that there are."""
    with pytest.raises(NotThere, match="the cluster c has no n1; there are none: tagfs-podman up"):
        members.stop(cluster, "n1")
    cluster.up(SPEC)
    with pytest.raises(NotThere, match="there are n1, n2, n3, n4, n5, router"):
        members.stop(cluster, "n9")


def test_rolling_restart_goes_one_by_one(cluster, fake):
    """Never two down at a time: the next stops only after the last one was asked for its health, peers and SYNC."""
    cluster.up(SPEC)
    down, most = set(), 0
    fake.answers.append(lambda name, command: (0, "", "") if "SYNC" in command[2] else None)
    fake.requests.clear()
    members.restart(cluster)
    for each in fake.requests:
        if each.endswith("/stop"):
            down.add(each)
        most = max(most, len(down))
        if each.endswith("/start") and "containers" in each:
            down.discard(each.replace("/start", "/stop"))
    assert most == 1
    synced = [name for name, command, _ in fake.executed if "SYNC" in command[2]]
    assert synced == [f"c-n{n}" for n in range(1, 6)]
    fake.answers.insert(0, lambda name, command: (1, "", "a\nTryLater: 450") if "SYNC" in command[2] else None)
    with pytest.raises(Fault, match="TryLater: 450"):
        members.restart(cluster)


def test_subnets_of_the_machine_are_skipped(cluster, fake, engine, monkeypatch):
    """The engine refuses those that the machine itself is on; it lists only its own."""
    engine.create_network("hidden", "10.89.0.0/24", {}, internal=True)
    monkeypatch.setattr(type(engine), "subnets", lambda self: [])
    cluster.up(from_numbers("c", 1, 1, zones=False))
    assert fake.networks["c-a"]["subnets"][0]["subnet"] == "10.89.1.0/24"
