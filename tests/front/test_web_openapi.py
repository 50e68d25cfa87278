"""The document that describes the web endpoint is whole: all routes, all answers typed, nothing open-ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tagfs.front.web.api import ROUTES
from tagfs.front.web.openapi import description

DOCUMENT: Any = description()


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner)


def test_no_schema_is_open_ended() -> None:
    """Whatever has members names all of them and allows no other."""
    schemas = [part for part in parts(DOCUMENT) if part.get("type") == "object" and "properties" in part]
    assert len(schemas) >= 15
    assert all(part["additionalProperties"] is False for part in schemas)


def test_every_route_is_described() -> None:
    """Each method of each path of the API, and nothing that is not there."""
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES if not route.for_people}


def test_every_answer_has_a_type() -> None:
    """JSON answers have a schema; only contents, which are whatever users stored, have none."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                for kind, media in answer.get("content", {}).items():
                    assert "schema" in media or (kind == "*/*" and path.endswith("/content")), (path, method, status)


def test_parameters_are_those_of_the_routes() -> None:
    """What a route takes in its URL is what the document says."""
    for route in ROUTES:
        if not route.for_people:
            operation = DOCUMENT["paths"][route.path][route.method.lower()]
            described = {part["name"] for part in operation["parameters"] if part["in"] == "query"}
            assert described == set(route.query), route.path
