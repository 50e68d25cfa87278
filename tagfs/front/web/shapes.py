"""What entries, tags and nodes look like in JSON; openapi.json describes the same. Layer: front."""

from __future__ import annotations

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
