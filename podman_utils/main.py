"""The command ``tagfs-podman``: images, clusters, faults."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click
from attrs import asdict, define, evolve, field

from podman_utils import bases, images, members, questions
from podman_utils.cluster import Cluster, Member
from podman_utils.description import NAME, ClusterSpec, from_file, from_numbers, parse_ports
from podman_utils.engine import Engine, default_socket
from podman_utils.errors import DescriptionFault, Fault

CLUSTER_FILE = "cluster.toml"
USAGE = 2


def say(text: str) -> None:
    """Progress goes to standard error: standard output is for answers."""
    click.echo(text, err=True)


@define
class Place:
    """What the options before the command's name say: which engine and which cluster."""

    socket: str
    name: str | None
    file: Path | None
    _engine: Engine | None = field(default=None, init=False)

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(self.socket)
            click.get_current_context().call_on_close(self._engine.close)
        return self._engine

    def described(self) -> ClusterSpec | None:
        """The cluster of cluster.toml; None where there is no such file and none was named."""
        file = self.file or Path(CLUSTER_FILE)
        return from_file(file) if self.file or file.exists() else None

    def cluster(self) -> Cluster:
        spec = None if self.name else self.described()
        return self.cluster_named(self.name or (spec.name if spec else "tagfs"))

    def cluster_named(self, name: str) -> Cluster:
        return Cluster(self.engine, name, say)


pass_place = click.make_pass_decorator(Place)


def _cluster_name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not NAME.fullmatch(value):
        raise click.BadParameter("up to 32 small letters, digits, and dashes between them")
    return value


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Faults are for people: one line and exit code 1, or 2 where the order was wrong."""
    try:
        yield
    except DescriptionFault as fault:
        click.echo(f"tagfs-podman: {fault}", err=True)
        sys.exit(USAGE)
    except Fault as fault:
        click.echo(f"tagfs-podman: {fault}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--socket", metavar="URL", help="Podman's socket [default: CONTAINER_HOST, else the user's own].")
@click.option("--name", metavar="CLUSTER", callback=_cluster_name, help="Name of the cluster [default: tagfs].")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help=f"Description of the cluster [default: {CLUSTER_FILE}, if it is here].",
)
@click.version_option(package_name="tagfs", prog_name="tagfs-podman", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, socket: str | None, name: str | None, file: Path | None) -> None:
    """Runs clusters of tagfs in containers, on Podman.

    First "build" in a checkout of tagfs, then "up". What it makes carries the cluster's name in a label; "down" removes exactly
    that.
    """
    context.obj = Place(socket or default_socket(), name, file)


def command(*options: Any, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of tagfs-podman whose faults are told in one line."""

    def made(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        def told(*arguments: Any, **values: Any) -> Any:
            with _in_one_line():
                return function(*arguments, **values)

        name = function.__name__.rstrip("_").replace("_", "-")
        decorated = pass_place(told)
        for option in reversed(options):
            decorated = option(decorated)
        return cli.command(name, **settings)(decorated)

    return made


NODE = click.argument("node", metavar="NODE|router")


@command(
    click.option("--source", type=click.Path(path_type=Path), default=".", help="A checkout of tagfs [default: here]."),
    click.option(
        "--local-bases",
        is_flag=True,
        help="Without a registry: on bases of this machine's Debian packages, made where they are missing (with mmdebstrap).",
    ),
)
def build(place: Place, source: Path, local_bases: bool) -> None:
    """Build the images: distributed_python, tagfs, router."""
    if local_bases:
        bases.make_bases(place.engine, say)
    for name, number in images.build(place.engine, source, local=local_bases, say=say).items():
        click.echo(f"{name}\t{number}")


@command(
    click.option("--nodes", type=int, help="How many nodes [default: 3]."),
    click.option("--networks", type=int, help="How many networks, joined by a router [default: 1]."),
    click.option("--zones", is_flag=True, help="Each network is a zone."),
    click.option(
        "--port",
        "ports",
        multiple=True,
        help="Publish a port of the first node: [[ADDRESS:]HOST-PORT:]PORT.",
    ),
)
def up(place: Place, nodes: int | None, networks: int | None, zones: bool, ports: Sequence[str]) -> None:
    """Bring a cluster up, or make it what is described.

    The description is cluster.toml, or the options. What is there already stays; what is different is replaced, one node after
    the other. Data is kept.
    """
    spec = place.described()
    by_options = nodes is not None or networks is not None or zones or bool(ports)
    if spec is not None and by_options:
        raise DescriptionFault(f"nodes, networks, zones and ports are in {place.file or CLUSTER_FILE}, not in options")
    if spec is None:
        spec = from_numbers(
            place.name or "tagfs", 3 if nodes is None else nodes, 1 if networks is None else networks, zones
        )
        spec = _with_ports(spec, ports)
    cluster = place.cluster_named(place.name or spec.name)
    cluster.up(evolve(spec, name=cluster.name))
    say(f"log in as admin; tagfs-podman --name {cluster.name} password tells the password")
    _show(cluster.status())


def _with_ports(spec: ClusterSpec, ports: Sequence[str]) -> ClusterSpec:
    try:
        parsed = tuple(port for each in ports for port in parse_ports(each))
    except ValueError as error:
        raise DescriptionFault(f"--port {' '.join(ports)}: allowed is {error}") from error
    return evolve(spec, nodes=(evolve(spec.nodes[0], ports=parsed), *spec.nodes[1:]))


@command(click.option("--json", "as_json", is_flag=True, help="For programs."))
def status(place: Place, as_json: bool) -> None:
    """Show the containers, and each node as the others see it."""
    cluster = place.cluster()
    found = cluster.status()
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found]))
        return
    if not found:
        raise Fault(f"there is no cluster {cluster.name} here; tagfs-podman up makes one{cluster.others()}")
    _show(found)
    if any(each.name == "router" and each.state == "running" for each in found):
        for one, other in members.cuts(cluster):
            click.echo(f"cut: {one} and {other}")


def _show(found: Sequence[Member]) -> None:
    rows: list[tuple[str, ...]] = [("NODE", "NETWORK", "ADDRESS", "CONTAINER", "STATE", "HEALTH", "ID", "SEEN AS")]
    health = {None: "-", True: "well", False: "ILL"}
    rows += [
        (
            each.name,
            each.network,
            each.address,
            each.container,
            each.state,
            health[each.healthy],
            each.node_id,
            each.seen_as,
        )
        for each in found
    ]
    if any(each.ports for each in found):
        published = ["PUBLISHED", *(" ".join(each.ports) or "-" for each in found)]
        rows = [(*row, cell) for row, cell in zip(rows, published, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@command(
    click.option("-f", "--follow", is_flag=True, help="Go on as they print more."),
    click.option("--tail", type=click.IntRange(0), help="Only so many last lines of each."),
    click.argument("nodes", nargs=-1, metavar="[NODE]…"),
)
def logs(place: Place, follow: bool, tail: int | None, nodes: Sequence[str]) -> None:
    """Show what nodes printed: those named, or all."""
    cluster = place.cluster()
    found = [cluster.member(name) for name in nodes] or cluster.some_nodes()
    prefixed = len(found) > 1

    def show(container: str, engine: Engine) -> None:
        for line in _lines(engine.logs(container, follow=follow, tail=tail)):
            _print_line(container if prefixed else "", line)

    def go_on(container: str, engine: Engine) -> None:
        try:
            show(container, engine)
        except Fault as fault:  # nobody waits for it in this thread
            say(f"tagfs-podman: {fault}")
        finally:
            engine.close()

    if not follow:
        for each in found:
            show(each.name, place.engine)
        return
    # One connection each: the library's are not for several threads.
    threads = [
        threading.Thread(target=go_on, args=(each.name, Engine(place.socket)), daemon=True, name=each.name)
        for each in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


MOST_LINE = 1 << 16
"""Longer lines are shown in pieces of this many bytes."""


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        while len(rest) > MOST_LINE:
            yield rest[:MOST_LINE]
            rest = rest[MOST_LINE:]
    if rest:
        yield rest


_printing = threading.Lock()


def _print_line(prefix: str, line: bytes) -> None:
    text = line.decode(errors="replace")
    with _printing:
        click.echo(f"{prefix}: {text}" if prefix else text)


@command(
    NODE,
    click.argument("words", nargs=-1, required=True, metavar="COMMAND [ARGUMENT]…", type=click.UNPROCESSED),
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def exec_(place: Place, node: str, words: Sequence[str]) -> None:
    """Run a command in a node's container; its exit code is that of this command. No terminal, no standard input."""
    outcome = place.engine.execute(place.cluster().member(node).name, words)
    click.echo(outcome.out, nl=False)
    click.echo(outcome.err, nl=False, err=True)
    sys.exit(outcome.code)


@command()
def password(place: Place) -> None:
    """Tell the password of the user admin."""
    cluster = place.cluster()
    node = next((each for each in cluster.nodes() if each.runs), None)
    if node is None:
        raise Fault(f"no node of {cluster.name} runs, and only they can read it")
    click.echo(questions.password(place.engine, node.name))


@command(
    click.argument("node", required=False),
    click.option("--network", help="On which network [default: that of the first node]."),
    click.option("--zone", help="In which zone."),
)
def add_node(place: Place, node: str | None, network: str | None, zone: str | None) -> None:
    """Add a node like the others; it joins by itself."""
    cluster = place.cluster()
    click.echo(members.add_node(cluster, node, network, zone))
    cluster.wait_together()


@command(
    click.argument("node"),
    click.option("--force", is_flag=True, help="It is broken: the others forget it, its data is gone."),
)
def remove_node(place: Place, node: str, force: bool) -> None:
    """Take a node out: it hands over what it keeps, leaves, and its container and volume are removed."""
    members.remove_node(place.cluster(), node, force=force)


@command(NODE)
def stop(place: Place, node: str) -> None:
    """Stop a node (or the router) cleanly."""
    members.stop(place.cluster(), node)


@command(NODE)
def start(place: Place, node: str) -> None:
    """Start a node (or the router), or resume a paused one; waits until it is well."""
    members.start(place.cluster(), node)


@command(NODE)
def kill(place: Place, node: str) -> None:
    """Kill a node (or the router), as a loss of power would."""
    members.kill(place.cluster(), node)


@command(NODE)
def pause(place: Place, node: str) -> None:
    """Freeze a node: its connections stay open and nothing answers."""
    members.pause(place.cluster(), node)


@command()
def restart(place: Place) -> None:
    """Restart all nodes, one at a time, each only when the last one has caught up."""
    members.restart(place.cluster())


@command(click.argument("one", metavar="NETWORK"), click.argument("other", metavar="NETWORK"))
def cut(place: Place, one: str, other: str) -> None:
    """Let the router drop, silently, all that goes between two networks."""
    members.cut(place.cluster(), one, other)


@command(
    click.argument("one", metavar="[NETWORK]", required=False),
    click.argument("other", metavar="[NETWORK]", required=False),
)
def heal(place: Place, one: str | None, other: str | None) -> None:
    """Undo a cut, or all."""
    if (one is None) != (other is None):
        raise DescriptionFault("heal takes two networks, or none for all cuts")
    members.heal(place.cluster(), one, other)


@command(click.option("--volumes", is_flag=True, help="The data, the key and the password, too."))
def down(place: Place, volumes: bool) -> None:
    """Remove the containers and networks of the cluster; its data is kept for the next up."""
    place.cluster().down(volumes=volumes)


def main() -> None:
    """The entry point."""
    try:
        cli(prog_name="tagfs-podman")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
