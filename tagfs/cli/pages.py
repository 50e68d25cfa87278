"""Walking through all matches of a query while doing something with each. Layer: cli."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tagfs.cli.failure import Failure
from tagfs.cli.output import note

if TYPE_CHECKING:
    from tagfs.client import Client, FoundRow, Information

PAGE = 500
"""Entries asked for at once; what is held in memory."""
AT_ONCE = 32
"""Contents asked for before the first has come."""


def pages(client: Client, query: str, sort: str) -> Iterator[tuple[int, list[FoundRow]]]:
    """All matches page by page, each with how many match in all. Warns where the node may lack some."""
    after = None
    while True:
        found = client.find(query, limit=PAGE, sort=sort, after=after)
        rows = list(found)
        if after is None and not found.complete:
            note("this node may not have heard of everything yet (complete=no)")
        if rows:
            yield found.total, rows
        after = found.next
        if after is None or not rows:
            return


def informed(client: Client, rows: list[FoundRow]) -> Iterator[tuple[FoundRow, Information]]:
    """Everything known of each; entries that were purged meanwhile are left out."""
    from tagfs.client import Command, SourceFailed, insistently
    from tagfs.client.rows import information

    for row, reply in insistently(client, rows, lambda row: Command(f"INFO {row.id}")):
        assert not isinstance(reply, SourceFailed)
        if reply.code == 550:
            note(f"{row.name}: gone meanwhile")
        elif reply.code >= 400:
            raise Failure(f"{row.name}: {reply.text}")
        else:
            yield row, information(reply.rows)
