"""add-tags, delete-tags, rename-tag, rename. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.arguments import checked_tag, dry_run_option, one_query, tag_words
from tagfs.cli.bulk import both, change, nothing, report, show_dry_run
from tagfs.cli.command import Command, QueryCommand
from tagfs.cli.completion import complete_tag
from tagfs.cli.output import write_json
from tagfs.cli.session import Session, pass_session


@click.command("add-tags", cls=QueryCommand)
@one_query()
@tag_words()
@dry_run_option()
@pass_session
def add_tags(session: Session, query: str, tags: tuple[str, ...], dry_run: bool) -> None:
    """Give TAGS to all entries that match QUERY (one argument: quote it)."""
    if dry_run:
        show_dry_run(session, both(session, query, f"not ({_each(tags, 'and')})"), "tagged")
        return
    change(session, query, lambda: session.client().add_tags(query, tags), done="tagged")


@click.command("delete-tags", cls=QueryCommand)
@one_query()
@tag_words()
@dry_run_option()
@pass_session
def delete_tags(session: Session, query: str, tags: tuple[str, ...], dry_run: bool) -> None:
    """Take TAGS from all entries that match QUERY (one argument: quote it)."""
    if dry_run:
        show_dry_run(session, both(session, query, _each(tags, "or")), "untagged")
        return
    change(session, query, lambda: session.client().delete_tags(query, tags), done="untagged")


@click.command("rename-tag", cls=Command)
@click.argument("old", shell_complete=complete_tag)
@click.argument("new", shell_complete=complete_tag)
@dry_run_option()
@pass_session
def rename_tag(session: Session, old: str, new: str, dry_run: bool) -> None:
    """Rename the tag OLD to NEW on every entry. Where NEW exists, both become one."""
    old, new = checked_tag(old), checked_tag(new)
    if dry_run:
        show_dry_run(session, _each([old], "and"), "changed")
        return
    changed = session.client().rename_tag(old, new)
    if not changed.entries:
        raise nothing(session, f"no entry has the tag {old}")
    report(session, changed, "changed")


@click.command(cls=Command)
@click.argument("entry_id", metavar="ID")
@click.argument("name")
@pass_session
def rename(session: Session, entry_id: str, name: str) -> None:
    """Give the entry ID another NAME."""
    from tagfs.cli.identifiers import whole_id
    from tagfs.model.names import check_name

    check_name(name)
    client = session.client()
    identifier = whole_id(client, entry_id)
    client.rename(identifier, name)
    if session.json:
        write_json({"id": identifier, "name": name})


def _each(tags: tuple[str, ...] | list[str], connective: str) -> str:
    from tagfs.client.text import quoted

    return f" {connective} ".join(map(quoted, tags))
