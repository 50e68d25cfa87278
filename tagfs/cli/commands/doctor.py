"""doctor: looks at everything that commonly goes wrong, and says what to do. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.command import Command
from tagfs.cli.output import on_terminal, printable, write_json
from tagfs.cli.session import Session, pass_session

_MARKS = {"ok": "ok   ", "warn": "WARN ", "fail": "FAIL "}
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(cls=Command)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(),
    help="Also look at this data directory of a node on this machine; without --server, at the node that uses it.",
)
@pass_session
def doctor(session: Session, data: str | None) -> None:
    """Check this machine, the node and, with --data, its data directory; explain what is wrong and what to do.

    Exit code 1 where something is broken.
    """
    from tagfs.cli.checkup import checkup

    findings = []
    for finding in checkup(session, data):
        findings.append(finding)
        if not session.json:
            mark = _MARKS[finding.state]
            shown = click.style(mark, fg=_COLOURS[finding.state]) if on_terminal() else mark
            click.echo(f"{shown}{printable(finding.what)}")
            if finding.advice:
                click.echo(f"     -> {printable(finding.advice)}")
    if session.json:
        write_json([finding._asdict() for finding in findings])
    if any(finding.state == "fail" for finding in findings):
        raise click.exceptions.Exit(1)
