"""The OpenAPI 3.1 description of the web endpoint. Layer: front.

Written beside the routes rather than derived from them: it is the promise, and tests hold the routes to it.
"""

from __future__ import annotations

from typing import Any

from tagfs import __version__
from tagfs.front.web.schemas import SCHEMAS, of

JSON = "application/json"
PROBLEM = "application/problem+json"
ANY = "*/*"
ENTRY = "/api/v1/entries/{id}"
CONTENT = f"{ENTRY}/content"

Part = dict[str, Any]

_ID: Part = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The entry's id.",
    "schema": {"type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{25}[048cgmrw]$"},
}
_BYTES: Part = {"type": "string", "format": "binary"}
_UNCHANGED: Part = {"304": {"description": "You have it (If-None-Match)."}}


def description() -> dict[str, object]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tagfs",
            "version": __version__,
            "description": "Stored files with tags, found by tag-queries. Where there are users, programs send the name and "
            "the password of one in HTTP's Basic scheme; browsers log in at /api/v1/session.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(),
        "components": {"schemas": SCHEMAS},
    }


def _paths() -> Part:
    return {
        "/api/v1/entries": {"get": _find(), "post": _store()},
        ENTRY: {"get": _show(), "patch": _change(), "delete": _delete()},
        CONTENT: {"get": _content(), "put": _replace()},
        f"{ENTRY}/thumbnail": {"get": _thumbnail()},
        "/api/v1/retag": {"post": _bulk("retag", "Give and take tags.", "Retag")},
        "/api/v1/delete": {"post": _bulk("deleteMatching", "Move entries to the trash.", "Selection")},
        "/api/v1/restore": {"post": _bulk("restoreMatching", "Take entries out of the trash.", "Selection")},
        "/api/v1/tags": {"get": _tags()},
        "/api/v1/archive": {"get": _archive()},
        "/api/v1/nodes": {"get": _plain("nodes", "The cluster as this node sees it.", "Nodes")},
        "/api/v1/events": {"get": _events()},
        "/api/v1/session": {
            "get": _plain("session", "Who asks, and what that one may do.", "Session"),
            "post": _log_in(),
            "delete": _log_out(),
        },
        "/api/v1/openapi.json": {"get": _any("openapi", "This document.", JSON, {"type": "object"})},
        "/healthz": {"get": _plain("healthz", "Whether the node lives and takes everything.", "Health", 503)},
        "/metrics": {"get": _any("metrics", "Figures for Prometheus.", "text/plain", {"type": "string"})},
    }


def _find() -> Part:
    parameters = [
        _query("q", "A tag-query; empty or missing: everything outside the trash.", {"type": "string"}),
        _query("limit", "Most entries of the page.", _number(0, 1000, 100)),
        _query(
            "sort", "The order; with - in front turned round.", {"type": "string", "enum": _SORTS, "default": "-added"}
        ),
        _query("after", "The `next` of the page before; empty: the first page.", {"type": "string", "maxLength": 1024}),
    ]
    return _operation(
        "find", "A page of the entries that match.", parameters, {"200": _json("The page.", "Found")}, 400
    )


def _store() -> Part:
    parameters = [
        _query("name", "The file's name; a form may have it as a field.", _NAME),
        _query("tag", "A tag; may be repeated.", {"type": "array", "items": _TAG, "maxItems": 1000}),
        _query("folder", "The home in the tree, such as a/b.", {"type": "string", "maxLength": 4096}),
        _query("modified", "When the content was last modified.", {"type": "string"}),
        _header(
            "Idempotency-Key", "A repeat with the same key gives the first entry.", {"type": "string", "maxLength": 255}
        ),
    ]
    form = {
        "type": "object",
        "properties": {
            "file": _BYTES,
            "name": {"type": "string", "maxLength": 255},
            "tag": {"type": "array", "items": _TAG},
        },
        "required": ["file"],
        "additionalProperties": False,
    }
    body = {"required": True, "content": {"application/octet-stream": {"schema": _BYTES}, _FORM: {"schema": form}}}
    created = _json("Stored, durably.", "EntryInfo")
    created["headers"] = {"Location": {"description": "Where the entry is.", "schema": {"type": "string"}}}
    created["links"] = _links()
    return {
        **_operation(
            "store", "Store the body as a new entry.", parameters, {"201": created}, 400, 403, 413, 415, 503, 507
        ),
        "requestBody": body,
    }


def _links() -> Part:
    """What can be done next with an entry that was stored."""
    follow = ("show", "change", "delete", "content", "replace")
    return {name: {"operationId": name, "parameters": {"id": "$response.body#/id"}} for name in follow}


def _show() -> Part:
    return _operation("show", "Everything known of an entry.", [_ID], {"200": _json("The entry.", "EntryInfo")}, 404)


def _change() -> Part:
    answer = {"200": _json("The entry as it is now.", "EntryInfo")}
    return {
        **_operation(
            "change", "Rename and retag an entry, in one change.", [_ID], answer, 400, 403, 404, 413, 415, 503
        ),
        "requestBody": _json_body("Change"),
    }


def _delete() -> Part:
    answer = {"204": {"description": "It is in the trash."}}
    return _operation("delete", "Move an entry to the trash.", [_ID], answer, 403, 404, 503)


def _content() -> Part:
    parameters = [
        _ID,
        _query("version", "A replaced content, by its version.", {"type": "string"}),
        _query("download", "Save it whatever it is.", {"type": "boolean", "default": False}),
        _header("Range", "One range of bytes.", {"type": "string"}),
        _header("If-Range", "The range only of these bytes.", {"type": "string"}),
        _header("If-None-Match", "Only if it is not this.", {"type": "string"}),
        _header("If-Match", "Only if it is this.", {"type": "string"}),
        _header("If-Modified-Since", "Only if it is newer; without If-None-Match.", {"type": "string"}),
        _header("If-Unmodified-Since", "Only if it is not newer; without If-Match.", {"type": "string"}),
    ]
    answers = {
        "200": {"description": "All of it.", "content": {ANY: {}}},
        "206": {"description": "A part.", "content": {ANY: {}}},
        **_UNCHANGED,
    }
    return _operation("content", "The bytes of an entry.", parameters, answers, 400, 404, 412, 416, 503)


def _replace() -> Part:
    parameters = [
        _ID,
        _header("If-Match", "Only if it is still this.", {"type": "string"}),
        _header("If-None-Match", "Only if it is not this.", {"type": "string"}),
        _header("If-Unmodified-Since", "Only if it is not newer; without If-Match.", {"type": "string"}),
    ]
    answer = {"200": _json("The entry as it is now; the old content is kept as a version.", "EntryInfo")}
    return {
        **_operation("replace", "Replace the content.", parameters, answer, 400, 403, 404, 412, 413, 415, 503, 507),
        "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": _BYTES}}},
    }


def _thumbnail() -> Part:
    parameters = [_ID, _query("size", "Longest side in pixels.", _number(16, 1024, 256))]
    answer = {"200": {"description": "A small picture.", "content": {"image/webp": {"schema": _BYTES}}}, **_UNCHANGED}
    return _operation("thumbnail", "A small picture of an image.", parameters, answer, 400, 404, 413, 415, 503)


def _bulk(name: str, summary: str, schema: str) -> Part:
    answer = {"200": _json("How many entries were changed.", "Changed")}
    return {
        **_operation(name, f"{summary} An empty query is refused.", [], answer, 400, 403, 413, 415, 503),
        "requestBody": _json_body(schema),
    }


def _tags() -> Part:
    parameters = [
        _query("q", "A tag-query.", {"type": "string"}),
        _query("prefix", "Only tags that begin so.", {"type": "string"}),
        _query("limit", "Most tags.", _number(1, 10_000, 100)),
        _query("sort", "The order.", {"type": "string", "enum": ["count", "name"], "default": "count"}),
    ]
    return _operation("tags", "Tags of the entries that match.", parameters, {"200": _json("The tags.", "Tags")}, 400)


def _archive() -> Part:
    answer = {"200": {"description": "The files, as a zip.", "content": {"application/zip": {"schema": _BYTES}}}}
    parameters = [_query("q", "A tag-query; empty or missing: everything outside the trash.", {"type": "string"})]
    return _operation("archive", "All files that match, in one zip made on the way.", parameters, answer, 404, 413)


def _events() -> Part:
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    answer = {"200": {"description": "Events `entries` (figures), `nodes`, `entry`, `reset`.", "content": stream}}
    parameters = [_header("Last-Event-ID", "The last event that the client has.", {"type": "string"})]
    return _operation("events", "Changes as server-sent events, without an end.", parameters, answer, 503)


def _log_in() -> Part:
    answer = _json("Logged in; the cookie is the session.", "Session")
    answer["headers"] = {"Set-Cookie": {"description": "HttpOnly, SameSite=Lax.", "schema": {"type": "string"}}}
    return {
        **_operation("logIn", "Log in, as a browser does.", [], {"200": answer}, 413, 415),
        "requestBody": _json_body("Login"),
    }


def _log_out() -> Part:
    return _operation("logOut", "End the session of the cookie.", [], {"204": {"description": "It has ended."}})


def _plain(name: str, summary: str, schema: str, *faults: int) -> Part:
    return _operation(name, summary, [], {"200": _json(summary, schema)}, *faults)


def _any(name: str, summary: str, kind: str, schema: Part) -> Part:
    return _operation(name, summary, [], {"200": {"description": summary, "content": {kind: {"schema": schema}}}})


def _operation(name: str, summary: str, parameters: list[Part], answers: Part, *faults: int) -> Part:
    """One operation. Every one may answer what is wrong with any request: unknown parameters, no right, a foreign Host, …"""
    problems = {
        str(status): _problem(status) for status in sorted({400, 401, 403, 408, 414, 421, 429, 431, 500, *faults})
    }
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": {**answers, **problems}}


_FAULTS = {
    400: "Something asked is malformed; of a query, with its column.",
    401: "A login is needed (HTTP's Basic scheme), or the name and the password do not go together.",
    403: "No right, or asked by a page of another site.",
    404: "There is no such entry.",
    408: "The headers came too slowly.",
    412: "The content is not the one that a condition names.",
    413: "Too large.",
    414: "The URL is too long.",
    415: "A body of a type that is not taken here.",
    416: "The range is beyond the content.",
    421: "The Host is no name of this node.",
    429: "Too many wrong passwords; Retry-After.",
    431: "Too many or too long headers.",
    500: "A fault of the node, with its number in the log.",
    501: "This node does not do that.",
    503: "Not possible at the moment.",
    507: "The disk is full.",
}


def _problem(status: int) -> Part:
    return {"description": _FAULTS[status], "content": {PROBLEM: {"schema": of("Problem")}}}


def _json(what: str, schema: str) -> Part:
    return {"description": what, "content": {JSON: {"schema": of(schema)}}}


def _json_body(schema: str) -> Part:
    return {"required": True, "content": {JSON: {"schema": of(schema)}}}


def _query(name: str, what: str, schema: Part) -> Part:
    return {"name": name, "in": "query", "description": what, "schema": schema}


def _header(name: str, what: str, schema: Part) -> Part:
    return {"name": name, "in": "header", "description": what, "schema": schema}


def _number(low: int, high: int, default: int) -> Part:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


_FORM = "multipart/form-data"
_NAME: Part = {"type": "string", "minLength": 1, "maxLength": 255}
_TAG: Part = {"type": "string", "minLength": 1, "maxLength": 255}
_SORTS = [sign + key for key in ("name", "size", "added", "modified") for sign in ("", "-")]
