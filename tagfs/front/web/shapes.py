"""What entries, tags and nodes look like in JSON; openapi.json describes the same. Layer: front."""

from __future__ import annotations

from functools import lru_cache

import orjson

from tagfs.model.entry import Entry, home_of
from tagfs.node.interfaces import Copies, EntryInfo, NodeStatus
from tagfs.wire.tag_rows import time_text


def entry_value(entry: Entry) -> dict[str, object]:
    """An entry in a list."""
    content = entry.content
    return {
        "id": entry.id,
        "name": entry.name,
        "size": content.size,
        "type": content.type,
        "digest": content.digest.hex(),
        "tags": entry.tags,
        "home": home_of(entry),
        "added": time_text(entry.added),
        "modified": time_text(content.modified),
    }


_REMEMBERED = 4096
"""Entries whose JSON is remembered: people page through the same ones, and making it costs more than the query."""
_FEW_TAGS = 32
"""An entry with more tags is not remembered, so that what is stays within some tens of MiB at worst."""


def entry_json(entry: Entry) -> orjson.Fragment:
    """:func:`entry_value` as text, ready to be part of a document."""
    return _remembered(entry) if len(entry.tags) <= _FEW_TAGS else orjson.Fragment(orjson.dumps(entry_value(entry)))


@lru_cache(_REMEMBERED)
def _remembered(entry: Entry) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(entry_value(entry)))


def copies_value(copies: Copies) -> dict[str, object]:
    """Durable copies."""
    return {"have": copies.have, "want": copies.want, "degraded": copies.degraded}


def info_value(info: EntryInfo, copies: Copies | None = None) -> dict[str, object]:
    """Everything known of one entry; ``copies`` where a reply just said how many there are."""
    entry = info.entry
    return {
        **entry_value(entry),
        "home": info.home,
        "trashed": None if entry.trashed is None else time_text(entry.trashed),
        "copies": copies_value(copies or info.copies),
        "nodes": list(info.nodes),
        "versions": [
            {
                "version": version.stamp,
                "size": version.content.size,
                "type": version.content.type,
                "digest": version.content.digest.hex(),
                "modified": time_text(version.content.modified),
            }
            for version in entry.versions
        ],
    }


def node_value(status: NodeStatus) -> dict[str, object]:
    """A row of the node table."""
    return status._asdict()
