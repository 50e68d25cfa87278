"""A cluster as a whole: brought up, told of, taken down. Every step may be repeated; what is there already stays."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from attrs import define, evolve, frozen

from podman_utils import plan, questions
from podman_utils.description import ClusterSpec, NetworkSpec, NodeSpec, write_ports
from podman_utils.engine import Engine
from podman_utils.errors import EngineFault, NotReady, NotThere, Taken
from podman_utils.plan import KEY_FILE, MEMBER, NETWORK, PASSWORD_FILE, PLAN, ROLE, Names
from podman_utils.values import Container, ContainerRequest

READY_S = 90.0
"""How long a container may take until its health check passes."""
TOGETHER_S = 60.0
"""How long the nodes may take until each sees all others."""
_PAUSE_S = 0.5
_SUBNET_TRIES = 16
_LAST_LINES = 5


@frozen
class Member:
    """One line of the status."""

    name: str
    network: str
    address: str
    container: str
    state: str
    healthy: bool | None
    """None: it does not run, so there is nothing to check."""
    node_id: str
    seen_as: str
    ports: tuple[str, ...] = ()
    """Ports that are published, as ADDRESS:HOST-PORT->PORT; either may be a range."""


@define
class Cluster:
    """The cluster of one name on one engine. ``say`` is told of each step in words."""

    engine: Engine
    name: str
    say: Callable[[str], None]
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @property
    def names(self) -> Names:
        return Names(self.name)

    # Up

    def up(self, spec: ClusterSpec) -> None:
        """Makes what is missing, replaces what is different, starts what is stopped; waits until all nodes see each other."""
        self._check_images(spec)
        known = self.nodes()
        if any(node.memory or node.cpus for node in spec.nodes) and self.engine.ignores_limits():
            self.say("memory and cpus are not limited here: a user's Podman can only with control groups of version 2")
        has_data = bool(known or self.engine.volumes(self.names.label))
        subnets = self._ensure_networks(spec)
        self._ensure_ports_networks(spec.nodes)
        self._ensure_secrets(has_data)
        if len(spec.networks) > 1:
            self.ensure(plan.router_request(spec, subnets))
        there = self.addresses(known)
        addresses = {**there, **plan.deal_addresses(spec.nodes, subnets, there)}
        whole = _found_once(spec, [each.labels[MEMBER] for each in known])
        requests = [plan.node_request(node, whole, subnets, addresses) for node in whole.nodes]
        self._ensure_nodes(requests, {node.name for node in known if node.runs}, has_data=has_data)
        wanted = {node.name for node in spec.nodes}
        for node in known:
            if node.labels[MEMBER] not in wanted:
                self.say(f"{node.name} is not in this description; remove-node {node.labels[MEMBER]} would take it out")
        self.wait_together()

    def _check_images(self, spec: ClusterSpec) -> None:
        images = [spec.image, *([plan.ROUTER_IMAGE] if len(spec.networks) > 1 else [])]
        for image in images:
            if self.engine.image_id(image) is None:
                way = (
                    "tagfs-podman build makes it"
                    if image in plan.BUILT_IMAGES
                    else "podman pull or podman load brings it"
                )
                raise NotThere(f"there is no image {image} here; {way}")

    def _ensure_networks(self, spec: ClusterSpec) -> dict[str, str]:
        """The subnets by the names of the networks, which are all there then."""
        found = {each.name: self.engine.network(self.names.network(each.name)) for each in spec.networks}
        subnets = {}
        for each in spec.networks:
            name = self.names.network(each.name)
            network = found[each.name]
            if network is None:
                subnets[each.name] = self._create_network(name, each)
                continue
            self._check_ours(name, network.labels)
            if each.subnet and each.subnet != network.subnet:
                raise Taken(
                    f"the network {name} is {network.subnet}, not {each.subnet}; take the cluster down to change it"
                )
            subnets[each.name] = network.subnet
        return subnets

    def _create_network(self, name: str, spec: NetworkSpec) -> str:
        """Makes one network; its subnet. Where none is named, one that Podman refuses, as the machine itself has it, is skipped."""
        labels = self.names.labels("network", **{NETWORK: spec.name})
        taken = self.engine.subnets()
        for _ in range(1 if spec.subnet else _SUBNET_TRIES):
            subnet = spec.subnet or plan.free_subnets(taken, 1)[0]
            try:
                self.engine.create_network(name, subnet, labels, internal=True)
            except Taken as fault:
                taken.append(subnet)
                refused = fault
                continue
            self.say(f"network {name} ({subnet})")
            return subnet
        raise refused

    def _ensure_ports_networks(self, nodes: Sequence[NodeSpec]) -> None:
        for network in dict.fromkeys(node.network for node in nodes if node.ports):
            name = self.names.ports_network(network)
            if (found := self.engine.network(name)) is not None:
                self._check_ours(name, found.labels)
                continue
            self.say(f"network {name} (for published ports)")
            self.engine.create_network(name, None, self.names.labels("network"), internal=False)

    def _check_ours(self, name: str, labels: Mapping[str, str]) -> None:
        if labels.get(plan.CLUSTER) != self.name:
            raise Taken(f"the name {name} belongs to something else; choose another name for the cluster (--name)")

    def _ensure_secrets(self, has_data: bool) -> None:
        for file, value in ((KEY_FILE, secrets.token_hex(32)), (PASSWORD_FILE, secrets.token_urlsafe(18))):
            name = self.names.secret(file)
            if self.engine.has_secret(name):
                continue
            if has_data:
                raise NotThere(
                    f"the secret {name} is gone; the nodes that are there had another. Take the cluster down first"
                )
            self.say(f"secret {name}")
            self.engine.create_secret(name, f"{value}\n".encode())

    def _ensure_nodes(self, requests: Sequence[ContainerRequest], running: set[str], *, has_data: bool) -> None:
        """``running``: the containers that ran before; ``has_data``: this is not the first time that the cluster comes up."""
        if not has_data:  # the founder is ready before others look for it
            self.ensure(requests[0])
            self.wait_healthy(requests[0].name)
        # A node that was in a cluster is ready once it has what the others have, so what does not run comes up all at once.
        down = [request for request in requests if request.name not in running]
        for request in down:
            self.ensure(request)
        for request in down:
            self.wait_healthy(request.name)
        # What runs and is replaced is ready before the next one goes.
        up = [request for request in requests if request.name in running]
        for request in up:
            if self.ensure(request) == "replaced":
                self.wait_healthy(request.name)
        for request in up:
            self.wait_healthy(request.name)

    def ensure(self, request: ContainerRequest) -> str:
        """Makes, replaces or starts a container, and says what was done: made, replaced, started, resumed or kept."""
        found = self.engine.container(request.name)
        done = "made"
        if found is not None:
            self._check_ours(request.name, found.labels)
            if found.labels.get(PLAN) == request.labels[PLAN] and self._is_current(found, request):
                return self.ensure_runs(found)
            self.engine.stop(found.name, request.stop_seconds)
            self.engine.remove_container(found.name)
            done = "replaced"
        for volume in request.volumes:
            if volume.startswith(f"{self.name}-"):
                self.engine.ensure_volume(volume, self.names.labels("volume", **{MEMBER: request.labels[MEMBER]}))
        self.say(f"container {request.name} ({request.attachments[0].address}) {done}")
        self.engine.create_container(request)
        self.engine.start(request.name)
        return done

    def _is_current(self, found: Container, request: ContainerRequest) -> bool:
        """Whether a container runs the image that its name stands for today."""
        return found.image_id == self.engine.image_id(request.image)

    def ensure_runs(self, found: Container) -> str:
        """Starts or resumes a container: started, resumed, or kept where it runs."""
        if found.state == "paused":
            self.engine.unpause(found.name)
            done = "resumed"
        elif found.runs:
            return "kept"
        else:
            self.engine.start(found.name)
            done = "started"
        self.say(f"container {found.name} {done}")
        return done

    # Waiting

    def wait_healthy(self, container: str, limit_s: float = READY_S) -> None:
        """Until the health check of a container passes. NotReady: it ended, or the time is over; with its last words."""
        deadline = self.now() + limit_s
        while True:
            found = self.engine.container(container)
            if found is None or found.state in ("exited", "stopped", "dead"):
                raise NotReady(f"{container} ended. Its last words: {self._last_words(container)}")
            well, reason = self.engine.check_health(container)
            if well:
                return
            if self.now() > deadline:
                raise NotReady(f"{container} is not well after {limit_s:g} s: {reason}. {self._last_words(container)}")
            self.sleep(_PAUSE_S)

    def _last_words(self, container: str) -> str:
        try:
            words = b"".join(self.engine.logs(container, follow=False, tail=_LAST_LINES)).strip()
            # Podman 4.3 gives nothing of a last line that was written in two pieces, as Python writes why it ends.
            words = words or b"".join(deque(self.engine.logs(container, follow=False, tail=None), _LAST_LINES)).strip()
        except EngineFault as fault:
            return str(fault)
        return words.decode(errors="replace") or "none"

    def wait_together(self, limit_s: float = TOGETHER_S) -> None:
        """Until every running node sees every running node alive. NotReady: who does not."""
        deadline = self.now() + limit_s
        while True:
            running = {node.labels[MEMBER]: node.name for node in self.nodes() if node.runs}
            blind = {}
            for name, container in running.items():
                alive = {each.name for each in questions.seen_by(self.engine, container) if each.state == "alive"}
                if lacking := running.keys() - alive:
                    blind[name] = lacking
            if not blind:
                self.say(f"{len(running)} nodes see each other alive" if len(running) > 1 else "the node is alive")
                return
            if self.now() > deadline:
                told = "; ".join(
                    f"{name} does not see {' '.join(sorted(each))}" for name, each in sorted(blind.items())
                )
                raise NotReady(f"the nodes do not see each other after {limit_s:g} s: {told}")
            self.sleep(_PAUSE_S)

    # Looking

    def nodes(self) -> list[Container]:
        """The containers of the nodes."""
        return [each for each in self.engine.containers(self.names.label) if each.labels.get(ROLE) == "node"]

    def some_nodes(self) -> list[Container]:
        """The containers of the nodes. NotThere: there are none."""
        found = self.nodes()
        if not found:
            raise NotThere(f"the cluster {self.name} has no nodes; tagfs-podman up makes them{self.others()}")
        return found

    def others(self) -> str:
        """Which other clusters are here, as the end of a sentence that says that this one is not."""
        known = {each.labels[plan.CLUSTER] for each in self.engine.networks(plan.CLUSTER)} - {self.name}
        return f"; --name says which other is meant: {', '.join(sorted(known))}" if known else ""

    def member(self, name: str) -> Container:
        """The container of a node, or of the router. NotThere: no such one, and which there are."""
        found = {each.labels.get(MEMBER, ""): each for each in self.engine.containers(self.names.label)}
        if name not in found:
            there = ", ".join(sorted(found)) or "none: tagfs-podman up makes them"
            raise NotThere(f"the cluster {self.name} has no {name}; there are {there}")
        return found[name]

    def addresses(self, nodes: Sequence[Container]) -> dict[str, str]:
        """The addresses of nodes in their networks, by the names of the nodes."""
        found = {}
        for node in nodes:
            network = self.names.network(node.labels[NETWORK])
            # A stopped container tells no address; the one it is given is in its environment.
            if own := node.addresses.get(network) or node.environment.get("TAGFS_ADVERTISE", "").partition(":")[0]:
                found[node.labels[MEMBER]] = own
        return found

    def status(self) -> list[Member]:
        """All containers of the cluster, and how the nodes see each other."""
        found = self.engine.containers(self.names.label)
        nodes = [each for each in found if each.labels.get(ROLE) == "node"]
        views = {each.labels[MEMBER]: questions.seen_by(self.engine, each.name) for each in nodes if each.runs}
        addresses = self.addresses(nodes)
        lines = []
        for each in found:
            name = each.labels.get(MEMBER, "")
            is_node = each.labels.get(ROLE) == "node"
            node_id, seen_as = questions.summary(views, name) if is_node else ("", "")
            lines.append(
                Member(
                    name=name,
                    network=each.labels.get(NETWORK, "all"),
                    address=addresses.get(name) or " ".join(filter(None, each.addresses.values())),
                    container=each.name,
                    state=each.state,
                    healthy=self.engine.check_health(each.name)[0] if each.runs else None,
                    node_id=node_id,
                    seen_as=seen_as,
                    ports=write_ports(each.ports),
                )
            )
        return lines

    # Down

    def down(self, *, volumes: bool) -> None:
        """Removes the containers and networks of this cluster, and nothing else; with ``volumes`` its data and secrets too."""
        found = self.engine.containers(self.names.label)
        for each in found:
            self.say(f"container {each.name} removed")
            if each.runs:
                self.engine.stop(each.name, plan.STOP_SECONDS)
            self.engine.remove_container(each.name)
        networks = self.engine.networks(self.names.label)
        for network in networks:
            self.say(f"network {network.name} removed")
            self.engine.remove_network(network.name)
        kept = self.engine.volumes(self.names.label)
        secrets_there = [
            name for file in (KEY_FILE, PASSWORD_FILE) if self.engine.has_secret(name := self.names.secret(file))
        ]
        if not (found or networks or kept or secrets_there):
            self.say(f"there is nothing of a cluster {self.name} here{self.others()}")
        if not volumes:
            if kept:
                self.say(f"kept, for the next up: {', '.join([*kept, *secrets_there])}; down --volumes removes them")
            return
        for name in kept:
            self.say(f"volume {name} removed")
            self.engine.remove_volume(name)
        for name in secrets_there:
            self.say(f"secret {name} removed")
            self.engine.remove_secret(name)


def _found_once(spec: ClusterSpec, there: Sequence[str]) -> ClusterSpec:
    """The first node founds the cluster; where others are there already and it is not, it joins one of them instead."""
    first, *others = spec.nodes
    if first.join is not None or not there or first.name in there:
        return spec
    return evolve(spec, nodes=(evolve(first, join=(there[0],)), *others))
