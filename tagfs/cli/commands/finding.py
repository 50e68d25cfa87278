"""list, count, tags, info: asking. Layer: cli."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tagfs.cli.arguments import query_words
from tagfs.cli.command import Command, QueryCommand
from tagfs.cli.failure import NOTHING
from tagfs.cli.output import (
    entry_json,
    human_size,
    human_time,
    many,
    note,
    on_terminal,
    pairs_table,
    say,
    to_json,
    write_json,
    write_json_list,
    write_rows,
    write_table,
)
from tagfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from tagfs.client.found import Found

SORTS = [minus + key for key in ("name", "size", "added", "modified") for minus in ("", "-")]


@click.command("list", cls=QueryCommand)
@query_words(required=False)
@click.option("--limit", type=click.IntRange(0, 10_000_000), metavar="N", help="At most so many.")
@click.option("--sort", type=click.Choice(SORTS), help="Order, with - from the greatest [-added].")
@pass_session
def list_(session: Session, query: str, limit: int | None, sort: str | None) -> None:
    """List the entries that match QUERY, or all of them.

    On a terminal a table; in a pipe TAB-separated rows: id, size in bytes, modified, name, tags.
    """
    found = session.client().find(query, limit=limit, sort=sort)
    if session.json:
        write_json_list('{"entries":', map(entry_json, found))
        rest = {"total": found.total, "complete": found.complete, "next": found.next}
        click.echo("," + to_json(rest)[1:])
    elif on_terminal():
        _table(found)
    else:
        write_rows(found.lines())
    if not found.complete:
        note("this node may not have heard of everything yet (complete=no)")
    if not found.total:
        if on_terminal() and not session.json:
            note("nothing matches")
        raise click.exceptions.Exit(NOTHING)


def _table(found: Found) -> None:
    shown = 0

    def cells() -> Iterator[tuple[str, ...]]:
        nonlocal shown
        for line in found.lines():
            shown += 1
            identifier, size, modified, name, tags = line.split("\t")
            yield identifier, human_size(int(size)) if size.isdigit() else size, human_time(modified), name, tags

    rows = cells()
    first = next(rows, None)
    if first is None:
        return
    from itertools import chain

    write_table(("ID", "SIZE", "MODIFIED (UTC)", "NAME", "TAGS"), chain([first], rows), right=[1], cut=[3, 4])
    of = "" if shown == found.total else f" of {found.total:,}"
    click.echo(f"{many(shown, 'entry')}{of}", err=True)


@click.command(cls=QueryCommand)
@query_words(required=False)
@pass_session
def count(session: Session, query: str) -> None:
    """Say how many entries match QUERY."""
    number = session.client().count(query)
    if session.json:
        write_json({"total": number})
    else:
        say(str(number))
    if not number:
        raise click.exceptions.Exit(NOTHING)


@click.command(cls=QueryCommand)
@query_words(required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), metavar="N", help="At most so many.")
@click.option("--prefix", metavar="TEXT", help="Only tags that begin so.")
@click.option("--sort", type=click.Choice(["count", "name"]), help="Order [count].")
@pass_session
def tags(session: Session, query: str, limit: int | None, prefix: str | None, sort: str | None) -> None:
    """List the tags of the entries that match QUERY, with how many have each."""
    counts, total = session.client().tags_and_total(query, limit=limit, prefix=prefix, sort=sort)
    if session.json:
        write_json({"total": total, "tags": [{"tag": tag, "count": number} for tag, number in counts]})
    elif on_terminal() and counts:
        write_table(("COUNT", "TAG"), ((f"{number:,}", tag) for tag, number in counts), right=[0])
    else:
        write_rows(f"{number}\t{tag}" for tag, number in counts)
    if len(counts) < total and limit is None and not session.json:
        note(f"{len(counts):,} of {many(total, 'tag')}; --limit shows more")
    if not counts:
        raise click.exceptions.Exit(NOTHING)


@click.command(cls=Command)
@click.argument("entry_id", metavar="ID")
@pass_session
def info(session: Session, entry_id: str) -> None:
    """Tell everything known of one entry. The end of an id is enough where it names just one."""
    from tagfs.cli.identifiers import whole_id

    client = session.client()
    told = client.info(whole_id(client, entry_id))
    if session.json:
        names = dict.fromkeys(name for name, _ in told.fields)
        value: dict[str, object] = {
            name: told.all(name) if len(told.all(name)) > 1 else told.get(name) for name in names
        }
        value["tags"] = list(told.tags)
        value |= {name: int(told.get(name)) for name in ("size", "versions") if told.get(name).isdigit()}
        value["nodes"] = told.get("nodes").split()
        write_json(value)
    elif on_terminal():
        pairs_table(told.fields)
    else:
        write_rows(f"{name}\t{value}" for name, value in told.fields)
