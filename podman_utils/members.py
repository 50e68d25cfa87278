"""Changes of a cluster that runs: nodes added, taken out, stopped, killed, restarted one by one; networks cut."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from podman_utils import plan, questions
from podman_utils.cluster import Cluster
from podman_utils.description import NAME, NAME_RULE, ROUTER, NodeSpec
from podman_utils.errors import DescriptionFault, EngineFault, Fault, NotReady
from podman_utils.plan import MEMBER, NETWORK, SPEC
from podman_utils.values import Container

SYNC_S = 60
"""How long a restarted node may take until it has what the others have."""
DEAD_S = 30
"""How long the others may take to see that a node is gone."""
LEAVE_S = 600
"""How long a node may take to hand over what it keeps."""
QUIET_S = 5
"""How long nothing must be owed until all is believed to be handed over."""


def add_node(cluster: Cluster, name: str | None, network: str | None, zone: str | None) -> str:
    """Makes one more node like the others, which joins by the first of them; its name."""
    nodes = cluster.some_nodes()
    taken = {each.labels[MEMBER] for each in nodes}
    name = name or next(free for number in range(1, len(taken) + 2) if (free := f"n{number}") not in taken)
    if not NAME.fullmatch(name):
        raise DescriptionFault(f"{name!r} cannot be the name of a node; allowed is {NAME_RULE}")
    if name in taken or name == ROUTER:
        raise DescriptionFault(f"there is a {name} already; there are {', '.join(sorted(taken))}")
    model = next((each for each in nodes if each.labels[NETWORK] == network), nodes[0])
    like, spec = plan.read(cluster.name, model.labels[SPEC])
    subnets = subnets_of(cluster)
    node = NodeSpec(
        name,
        network or like.network,
        zone=like.zone if zone is None else zone,
        memory=like.memory,
        cpus=like.cpus,
        environment=like.environment,
    )
    if node.network not in subnets:
        raise DescriptionFault(f"{node.network} is no network of the cluster; there are {', '.join(sorted(subnets))}")
    known = cluster.addresses(nodes)
    running = next((each for each in nodes if each.runs), nodes[0])
    seed, _ = plan.read(cluster.name, running.labels[SPEC])
    whole = evolve(spec, nodes=(seed, node))
    addresses = plan.deal_addresses([seed, node], subnets, known)
    request = plan.node_request(evolve(node, join=(seed.name,)), whole, subnets, addresses)
    cluster.ensure(request)
    cluster.wait_healthy(request.name)
    return name


def subnets_of(cluster: Cluster) -> dict[str, str]:
    """The subnets of a cluster that is up, by the names of its networks."""
    found = cluster.engine.networks(cluster.names.label)
    return {each.labels[NETWORK]: each.subnet for each in found if NETWORK in each.labels}


def remove_node(cluster: Cluster, name: str, *, force: bool) -> None:
    """Lets a node hand over what it keeps and leave, then removes its container and volume.

    With ``force`` it is not asked, but forgotten by the others: for one that is broken. Fault: nobody can be told.
    """
    member = _node(cluster, name)
    witness = next((each for each in cluster.nodes() if each.runs and each.name != member.name), None)
    if witness is not None:
        node_id = next((each.id for each in questions.seen_by(cluster.engine, witness.name) if each.name == name), None)
        if node_id is None:
            raise Fault(f"{witness.name} does not know {name}, so it cannot let it go")
        if force or not member.runs:
            if not force:
                raise NotReady(f"{name} does not run, so it cannot hand over what it keeps; start it, or use --force")
            _stop(cluster, member)
            # Nobody who is alive is forgotten.
            _wait_state(cluster, witness, node_id, ("dead", "out", "left", ""), DEAD_S)
            cluster.say(f"{name} ({node_id}) is forgotten by the others")
            questions.ask(cluster.engine, witness.name, "node", "forget", "-y", node_id)
        else:
            cluster.say(f"{name} ({node_id}) leaves")
            questions.ask(cluster.engine, witness.name, "node", "leave", "-y", node_id)
            _wait_state(cluster, witness, node_id, ("left", ""), DEAD_S)
            _wait_handed_over(cluster, member)
    _stop(cluster, member)
    cluster.engine.remove_container(member.name)
    volume = cluster.names.volume(name)
    if volume in cluster.engine.volumes(cluster.names.label):
        cluster.engine.remove_volume(volume)
    cluster.say(f"container {member.name} removed")


def _wait_state(cluster: Cluster, witness: Container, node_id: str, states: tuple[str, ...], limit_s: float) -> None:
    """Until another node sees a node in one of these states; empty stands for one that it does not know (any more)."""
    deadline = cluster.now() + limit_s
    while True:
        found = {each.id: each.state for each in questions.seen_by(cluster.engine, witness.name)}
        if found and found.get(node_id, "") in states:
            return
        if cluster.now() > deadline:
            raise NotReady(
                f"after {limit_s:g} s {witness.name} sees {node_id} as {found.get(node_id, 'unknown')}, not {states[0]}; what "
                "was begun goes on: give the command again"
            )
        cluster.sleep(1)


def _wait_handed_over(cluster: Cluster, member: Container) -> None:
    """Until no other node owes itself a content any more: from then on, what the leaving one keeps is kept by others.

    They need a moment to see who is to hold what now, so it must hold for some seconds.
    """
    deadline = cluster.now() + LEAVE_S
    quiet_since = None
    while quiet_since is None or cluster.now() - quiet_since < QUIET_S:
        others = [each for each in cluster.nodes() if each.runs and each.name != member.name]
        left = sum(questions.owed(cluster.engine, each.name) for each in others)
        if left:
            quiet_since = None
            cluster.say(f"{left} contents are to be handed over")
        elif quiet_since is None:
            quiet_since = cluster.now()
        if cluster.now() > deadline:
            raise NotReady(
                f"after {LEAVE_S} s the others still lack {left} contents of {member.name}; it goes on: leave it running, "
                "and give the command again"
            )
        cluster.sleep(1)


def stop(cluster: Cluster, name: str) -> None:
    """Stops a node, or the router, as a clean shutdown does."""
    _stop(cluster, cluster.member(name))


def _stop(cluster: Cluster, member: Container) -> None:
    if member.state == "paused":
        cluster.engine.unpause(member.name)
    if member.runs or member.state == "paused":
        cluster.engine.stop(member.name, plan.STOP_SECONDS)
        cluster.say(f"container {member.name} stopped")
    else:
        cluster.say(f"container {member.name} does not run")


def start(cluster: Cluster, name: str) -> None:
    """Starts, or resumes, a node or the router; waits until its health check passes."""
    member = cluster.member(name)
    if cluster.ensure_runs(member) == "kept":
        cluster.say(f"container {member.name} runs already")
    cluster.wait_healthy(member.name)


def kill(cluster: Cluster, name: str) -> None:
    """SIGKILL, as when a machine loses its power."""
    member = cluster.member(name)
    if not member.runs and member.state != "paused":
        cluster.say(f"container {member.name} does not run")
        return
    cluster.engine.kill(member.name)
    cluster.say(f"container {member.name} killed")


def pause(cluster: Cluster, name: str) -> None:
    """Freezes all its processes: connections stay open and nothing answers. ``start`` resumes it. NotReady: it does not run."""
    member = cluster.member(name)
    if member.state == "paused":
        cluster.say(f"container {member.name} is paused already")
        return
    if not member.runs:
        raise NotReady(f"{member.name} does not run; tagfs-podman start {name} starts it")
    if cluster.engine.ignores_limits():
        raise EngineFault("nothing can be paused here: a user's Podman can only with control groups of version 2")
    cluster.engine.pause(member.name)
    cluster.say(f"container {member.name} paused; start resumes it")


def restart(cluster: Cluster) -> None:
    """Restarts all nodes, one at a time: the next one only when the last one is well, seen by all, and has all that they have."""
    for member in cluster.some_nodes():
        name = member.labels[MEMBER]
        _stop(cluster, member)
        start(cluster, name)
        cluster.wait_together()
        wait_synced(cluster, member)
        cluster.say(f"{name} is back")


def wait_synced(cluster: Cluster, member: Container) -> None:
    """Until a node has all that its live peers had."""
    questions.sync(cluster.engine, member.name, SYNC_S)


def cut(cluster: Cluster, one: str, other: str) -> None:
    """From now on the router drops what goes between two networks, silently, both ways. Nothing new where it is cut already."""
    router, subnets = _router(cluster), _pair(cluster, one, other)
    rules = _rules(cluster, router)
    for source, target in (subnets, subnets[::-1]):
        if (source, target) not in rules:
            _on_router(cluster, router, "add", source, target)
    cluster.say(f"cut: {one} ({subnets[0]}) and {other} ({subnets[1]})")


def heal(cluster: Cluster, one: str | None = None, other: str | None = None) -> None:
    """Undoes the cut between two networks, or all cuts."""
    router = _router(cluster)
    wanted = None if one is None or other is None else set(_pair(cluster, one, other))
    rules = [rule for rule in _rules(cluster, router) if wanted is None or set(rule) == wanted]
    for source, target in rules:
        _on_router(cluster, router, "del", source, target)
    for names in _named(cluster, rules):
        cluster.say(f"healed: {' and '.join(names)}")
    if not rules:
        cluster.say("nothing is cut")


def cuts(cluster: Cluster) -> list[tuple[str, str]]:
    """The pairs of networks, by name, that are cut; each once."""
    return _named(cluster, _rules(cluster, _router(cluster)))


def _named(cluster: Cluster, rules: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of subnets as pairs of networks, by name; both directions are one pair."""
    names = {subnet: name for name, subnet in subnets_of(cluster).items()}
    return sorted({tuple(sorted((names.get(a, a), names.get(b, b)))) for a, b in rules})  # type: ignore[misc]


def _router(cluster: Cluster) -> Container:
    router = cluster.member(ROUTER)
    if not router.runs:
        raise NotReady(f"{router.name} does not run, so nothing goes between the networks: tagfs-podman start router")
    return router


def _node(cluster: Cluster, name: str) -> Container:
    if name == ROUTER:
        raise DescriptionFault("the router is no node; it goes with the cluster")
    return cluster.member(name)


def _pair(cluster: Cluster, one: str, other: str) -> tuple[str, str]:
    subnets = subnets_of(cluster)
    for name in (one, other):
        if name not in subnets:
            raise DescriptionFault(f"{name} is no network of the cluster; there are {', '.join(sorted(subnets))}")
    if one == other:
        raise DescriptionFault("a cut is between two networks")
    return subnets[one], subnets[other]


def _rules(cluster: Cluster, router: Container) -> list[tuple[str, str]]:
    """The cuts as the router's kernel has them: lines such as ``32765: from A to B [lookup main] blackhole``."""
    outcome = cluster.engine.execute(router.name, ["ip", "rule", "list"])
    if outcome.code:
        raise EngineFault(f"{router.name}: ip rule list: {outcome.err.strip()}")
    lines = [line.split() for line in outcome.out.splitlines()]
    return [(words[2], words[4]) for words in lines if words[-1:] == ["blackhole"] and words[1:4:2] == ["from", "to"]]


def _on_router(cluster: Cluster, router: Container, verb: str, source: str, target: str) -> None:
    command = ["ip", "rule", verb, "from", source, "to", target, "type", "blackhole"]
    outcome = cluster.engine.execute(router.name, command)
    if outcome.code:
        raise EngineFault(f"{router.name}: {' '.join(command)}: {outcome.err.strip()}")
