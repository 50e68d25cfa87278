"""Figures for Prometheus: what the doors counted, what the node keeps and does, and its process. Layer: front."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, groupby

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from tagfs import __version__
from tagfs.front.tally import BOUNDS_S, Tally
from tagfs.node.interfaces import Figure, INode

CONTENT_TYPE = CONTENT_TYPE_LATEST
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_MEANING = {
    "entries": "Entries outside the trash.",
    "trash": "Entries in the trash.",
    "tags": "Tags in use.",
    "bytes": "Bytes of the contents of all entries.",
    "changes": "Writes that became durable here since the start.",
    "free": "Bytes that contents may still take on the disk of this node.",
}


class Metrics:
    """All figures of one node, as one of its listeners shows them."""

    def __init__(self, node: INode, tally: Tally) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_DoorFigures(tally))
        self._registry.register(_NodeFigures(node))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        return generate_latest(self._registry)


class _DoorFigures(Collector):
    """What the doors counted."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Family]:
        names = ("door", "command")
        ends = CounterMetricFamily("tagfs_commands", "Commands and requests answered.", labels=(*names, "code"))
        times = HistogramMetricFamily(
            "tagfs_command_seconds",
            "Time from a command or a request's headers to the end of the answer.",
            labels=names,
        )
        for door, command, series in self._tally:
            for code, number in sorted(series.codes.items()):
                ends.add_metric((door, command, str(code)), number)
            bounds = [*map(str, BOUNDS_S), "+Inf"]
            times.add_metric((door, command), list(zip(bounds, accumulate(series.buckets), strict=True)), series.sum_s)
        yield ends
        yield times
        open_now = GaugeMetricFamily("tagfs_connections", "Open connections.", labels=("door",))
        for door, number in sorted(self._tally.connections.items()):
            open_now.add_metric((door,), number)
        yield open_now

    def describe(self) -> Iterator[Family]:
        """Nothing in advance."""
        return iter(())


class _NodeFigures(Collector):
    """What INode knows, asked when somebody looks."""

    def __init__(self, node: INode) -> None:
        self._node = node

    def collect(self) -> Iterator[Family]:
        node = self._node
        info = GaugeMetricFamily("tagfs_node_info", "This node; always 1.", labels=("id", "name", "version"))
        info.add_metric((node.id, node.name, __version__), 1)
        yield info
        for name, why, meaning in (
            ("read_only", node.read_only, "1 while this node takes no writes."),
            ("full", node.full, "1 while this node takes no contents."),
            ("starting", node.starting, "1 while this node does not serve everything yet."),
        ):
            yield GaugeMetricFamily(f"tagfs_{name}", meaning, float(bool(why)))
        for name, value in sorted(node.statistics().items()):
            meaning = _MEANING.get(name, f"The node's figure {name}.")
            yield _family([Figure(name.replace(" ", "_"), meaning, value, grows=name == "changes")])
        figures = sorted(node.figures(), key=lambda figure: figure.name)
        for _, group in groupby(figures, key=lambda figure: figure.name):
            yield _family(list(group))

    def describe(self) -> Iterator[Family]:
        """Nothing in advance: registering must not ask the node."""
        return iter(())


def _family(figures: list[Figure]) -> CounterMetricFamily | GaugeMetricFamily:
    """The figures of one name; all of them have the same labels."""
    first = figures[0]
    kind = CounterMetricFamily if first.grows else GaugeMetricFamily
    family = kind(f"tagfs_{first.name}", first.meaning, labels=tuple(first.labels))
    for figure in figures:
        family.add_metric(tuple(figure.labels.values()), figure.value)
    return family
