"""The node and its cluster: /api/v1/nodes, openapi.json, /healthz, /metrics. Layer: front."""

from __future__ import annotations

from functools import cache

import orjson

from tagfs.front.web.exchange import Exchange
from tagfs.front.web.metrics import CONTENT_TYPE
from tagfs.front.web.openapi import description
from tagfs.front.web.reply import JSON, Reply, document, problem
from tagfs.front.web.routes import Route
from tagfs.front.web.shapes import node_value
from tagfs.model.principal import Role


async def nodes(exchange: Exchange) -> Reply:
    """The cluster as this node sees it."""
    return document({"nodes": [node_value(status) for status in await exchange.node.nodes(exchange.principal)]})


async def health(exchange: Exchange) -> Reply:
    """Whether this node lives and is ready to serve everything."""
    if exchange.node.starting:
        return problem(503, f"this node does not serve everything yet: {exchange.node.starting}", "not-ready")
    why = exchange.node.read_only
    if why:
        return problem(503, f"this node takes no writes: {why}", "not-ready")
    if exchange.node.full:
        return problem(503, f"this node takes no uploads: {exchange.node.full}", "not-ready")
    return document({"live": True, "ready": True, "id": exchange.node.id, "name": exchange.node.name})


async def metrics(exchange: Exchange) -> Reply:
    """Figures for Prometheus."""
    exchange.principal.require(Role.READ, "reading metrics")
    return Reply(200, exchange.door.metrics.text(), CONTENT_TYPE)


async def openapi(exchange: Exchange) -> Reply:
    """The description of all this."""
    return Reply(200, _description(), JSON)


@cache
def _description() -> bytes:
    return orjson.dumps(description(), option=orjson.OPT_INDENT_2) + b"\n"


ROUTES = (
    Route("GET", "/api/v1/nodes", nodes),
    Route("GET", "/api/v1/openapi.json", openapi),
    Route("GET", "/healthz", health, public=True),
    Route("GET", "/metrics", metrics),
)
