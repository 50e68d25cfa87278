"""Figures for Prometheus: requests of this door, and what the node keeps. Layer: front."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tagfs import __version__
from tagfs.node.interfaces import INode

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper ends in seconds: a query takes a millisecond, an upload may take minutes."""
_MEANING = {
    "entries": "Entries outside the trash.",
    "trash": "Entries in the trash.",
    "tags": "Tags in use.",
    "bytes": "Bytes of the contents of all entries.",
    "changes": "Writes that became durable here since the start.",
    "free": "Bytes that contents may still take on the disk of this node.",
}


class Metrics:
    """The registry of one listener."""

    def __init__(self, node: INode) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_NodeFigures(node))
        self._requests = Counter(
            "tagfs_http_requests", "Requests answered.", ("route", "method", "code"), registry=self._registry
        )
        self._seconds = Histogram(
            "tagfs_http_request_seconds",
            "Time from the end of a request's headers to the end of its answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.connections = Gauge("tagfs_http_connections", "Open connections.", registry=self._registry)
        self._counted: dict[tuple[str, str, int], Counter] = {}
        self._timed: dict[str, Histogram] = {}

    def count(self, route: str, method: str, code: int, seconds: float) -> None:
        """One request was answered. ``route`` is a route's path, so that the number of series stays bounded."""
        key = (route, method, code)
        counter = self._counted.get(key)
        if counter is None:
            counter = self._counted[key] = self._requests.labels(route, method, str(code))
        counter.inc()
        histogram = self._timed.get(route)
        if histogram is None:
            histogram = self._timed[route] = self._seconds.labels(route)
        histogram.observe(seconds)

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        return generate_latest(self._registry)


class _NodeFigures(Collector):
    """What INode knows, asked when somebody looks."""

    def __init__(self, node: INode) -> None:
        self._node = node

    def collect(self) -> Iterator[GaugeMetricFamily]:
        info = GaugeMetricFamily("tagfs_node_info", "This node; always 1.", labels=("id", "name", "version"))
        info.add_metric((self._node.id, self._node.name, __version__), 1)
        yield info
        yield GaugeMetricFamily(
            "tagfs_read_only", "1 while this node takes no writes.", float(bool(self._node.read_only))
        )
        for name, value in sorted(self._node.statistics().items()):
            meaning = _MEANING.get(name, f"The node's figure {name}.")
            yield GaugeMetricFamily(f"tagfs_{name.replace(' ', '_')}", meaning, float(value))

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing in advance: registering must not ask the node."""
        return iter(())
