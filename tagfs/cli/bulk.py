"""Changes of many entries: look first, ask, then do. Layer: cli."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tagfs.cli.failure import NOTHING, UsageFailure
from tagfs.cli.output import entry_json, human_size, many, note, printable, say, write_json
from tagfs.cli.session import Session

if TYPE_CHECKING:
    from tagfs.client.rows import Changed, FoundRow

SHOWN = 10
"""Entries that a dry run shows."""


def both(session: Session, query: str, other: str) -> str:
    """A query for what matches both. Asks for the first alone, so that a mistake in it is told with its own column."""
    session.client().count(query)
    return f"({query}) and ({other})"


def nothing(session: Session, text: str = "nothing matches") -> click.exceptions.Exit:
    """Says that nothing matched; raise what this returns."""
    if session.json:
        write_json({"changed": 0})
    else:
        note(text)
    return click.exceptions.Exit(NOTHING)


def first_rows(session: Session, query: str) -> tuple[int, list[FoundRow]]:
    """How many entries match, and the first few."""
    found = session.client().find(query, limit=SHOWN)
    rows = list(found)
    return found.total, rows


def show_dry_run(session: Session, query: str, would: str) -> None:
    """Says how many entries match, ``would`` be what, and the first of them. Exit code 1 where there are none."""
    total, rows = first_rows(session, query)
    if session.json:
        write_json({"dry_run": True, "would_change": total, "entries": list(map(entry_json, rows))})
    else:
        say(f"{many(total, 'entry')} would be {would}{':' if rows else ''}")
        for row in rows:
            click.echo(f"  {row.id}  {human_size(row.size):>5}  {printable(row.name)}")
        if total > len(rows):
            say(f"  … and {total - len(rows):,} more")
    if not total:
        raise click.exceptions.Exit(NOTHING)


def ask(question: str) -> None:
    """Goes on only where the answer is yes. No answer at all (no terminal, nothing piped) is wrong usage."""
    click.echo(f"{question} [y/N] ", err=True, nl=False)
    answer = sys.stdin.readline()
    if not answer:
        click.echo(err=True)
        raise UsageFailure("nobody is there to answer; -y answers yes")
    if answer.strip().lower() not in ("y", "yes"):
        click.echo("tagfs: nothing was done", err=True)
        raise click.exceptions.Exit(NOTHING)


def report(session: Session, changed: Changed, done: str) -> None:
    """Says how many entries were changed."""
    if session.json:
        write_json({"changed": changed.entries})
    else:
        say(f"{many(changed.entries, 'entry')} {done}")
    if "degraded" in changed.text:
        note("fewer copies than usual could be made; they will be completed")


def change(
    session: Session, query: str, act: Callable[[], Changed], *, done: str, question: str = "", always: bool = False
) -> None:
    """Does ``act`` to what matches ``query``, after the ``question`` where there is one and it touches more than one entry
    (``always``: any). ``{}`` in the question stands for how many."""
    if question:
        count = session.client().count(query)
        if not count:
            raise nothing(session)
        if count > 1 or always:
            ask(question.format(many(count, "entry")))
    changed = act()
    if not changed.entries and not question and not session.client().count(query):
        raise nothing(session)
    report(session, changed, done)
