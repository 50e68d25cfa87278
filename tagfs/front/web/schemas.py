"""JSON Schemas of all that the web endpoint takes and gives; nothing in them is open-ended. Layer: front."""

from __future__ import annotations

from typing import Any

Part = dict[str, Any]


def of(name: str) -> Part:
    """A reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Part) -> Part:
    """A list."""
    return {"type": "array", "items": items}


def _object(required: Part, optional: Part | None = None) -> Part:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _some(name: str) -> Part:
    """That list is given, and not empty."""
    return {"required": [name], "properties": {name: {"minItems": 1}}}


_TEXT: Part = {"type": "string"}
_NAME: Part = {"type": "string", "minLength": 1, "maxLength": 255}
_TAGS: Part = {"type": "array", "items": _NAME, "maxItems": 1000}
_COUNT: Part = {"type": "integer", "minimum": 0}
_FLAG: Part = {"type": "boolean"}
_TIME: Part = {"type": "string", "format": "date-time"}
_ID: Part = {"type": "string", "pattern": "^[0-9a-z]{26}$"}
_DIGEST: Part = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "BLAKE3."}
_QUERY: Part = {"type": "string", "minLength": 1, "description": "A tag-query; empty is refused."}

_ENTRY: Part = {
    "id": _ID,
    "name": _TEXT,
    "size": _COUNT,
    "type": _TEXT,
    "digest": _DIGEST,
    "tags": listed(_TEXT),
    "home": _TEXT,
    "added": _TIME,
    "modified": _TIME,
}

SCHEMAS: Part = {
    "Entry": _object(_ENTRY),
    "EntryInfo": _object(
        {
            **_ENTRY,
            "trashed": {"type": ["string", "null"], "format": "date-time"},
            "copies": of("Copies"),
            "nodes": listed(_TEXT),
            "versions": listed(of("Version")),
        }
    ),
    "Copies": _object({"have": _COUNT, "want": _COUNT, "degraded": _FLAG}),
    "Version": _object({"version": _TEXT, "size": _COUNT, "type": _TEXT, "digest": _DIGEST, "modified": _TIME}),
    "Found": _object(
        {
            "total": _COUNT,
            "complete": {**_FLAG, "description": "False: another node may know more."},
            "next": {"type": ["string", "null"], "description": "What `after` takes for the next page."},
            "entries": listed(of("Entry")),
        }
    ),
    "Change": {**_object({}, {"name": _NAME, "add_tags": _TAGS, "delete_tags": _TAGS}), "minProperties": 1},
    "Retag": {
        **_object({"query": _QUERY}, {"add_tags": _TAGS, "delete_tags": _TAGS}),
        "anyOf": [_some("add_tags"), _some("delete_tags")],
    },
    "Selection": _object({"query": _QUERY}),
    "Changed": _object({"changed": _COUNT}),
    "Tags": _object({"total": _COUNT, "tags": listed(_object({"tag": _TEXT, "count": _COUNT}))}),
    "Nodes": _object({"nodes": listed(of("Node"))}),
    "Node": _object(
        {
            "id": _TEXT,
            "name": _TEXT,
            "zone": _TEXT,
            "state": {"type": "string", "enum": ["alive", "suspect", "dead", "out", "left"]},
            "address": _TEXT,
            "entries": _COUNT,
            "bytes": _COUNT,
        }
    ),
    "Login": _object({"name": {**_TEXT, "maxLength": 4096}, "password": {**_TEXT, "maxLength": 4096}}),
    "Session": _object(
        {
            "name": {"type": ["string", "null"], "description": "The user; null where nobody logged in."},
            "role": {"type": "string", "enum": ["none", "read", "write", "admin"]},
            "csrf": {
                "type": ["string", "null"],
                "description": "What changes by this session carry in the header X-CSRF-Token.",
            },
            "users": {**_FLAG, "description": "Whether this node has users, so that a log-in means something."},
        }
    ),
    "Health": _object({"live": _FLAG, "ready": _FLAG, "id": _TEXT, "name": _TEXT}),
    "Problem": _object(
        {
            "type": {"type": "string", "description": "urn:tagfs:problem: and a word for programs."},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {**_TEXT, "description": "What was wrong and what to do, for people."},
        },
        {
            "column": {"type": "integer", "minimum": 1, "description": "Where in the query, from 1."},
            "expected": {**_TEXT, "description": "What would fit there."},
        },
    ),
}
