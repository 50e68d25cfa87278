"""import: a folder, or what an export wrote. Layer: cli."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tagfs.cli.arguments import dry_run_option, tag_option
from tagfs.cli.command import Command
from tagfs.cli.output import human_size, many, note, say, write_json
from tagfs.cli.progress import progress
from tagfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from tagfs.cli.intake.candidates import Candidate
    from tagfs.cli.intake.manifest import Search
    from tagfs.cli.intake.storing import Report
    from tagfs.cli.intake.walk import Problem

MOST_LINES = 200
"""Problems that are written out; the rest is counted."""


@click.command("import", cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--tags-from", "sources", multiple=True, type=click.Choice(["folders", "metadata", "none"]),
    help="Where tags come from; several times for several [folders and metadata].",
)  # fmt: skip
@tag_option()
@click.option("--hidden", is_flag=True, help="Take hidden files and folders as well (names that begin with a dot).")
@click.option("--follow-links", is_flag=True, help="Take linked files, and go into linked folders.")
@click.option("--exclude", "excluded", multiple=True, metavar="PATTERN", help="Pass over such names, as in *.tmp.")
@click.option("--ignore-manifest", is_flag=True, help="Take DIR as a plain folder, though it has a tagfs.jsonl.")
@dry_run_option()
@pass_session
def import_(
    session: Session, folder: str, sources: tuple[str, ...], tags: tuple[str, ...], hidden: bool, follow_links: bool,
    excluded: tuple[str, ...], ignore_manifest: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Store all files below DIR, with tags from their folders or from their metadata.

    What is there already (same content, same name; for an empty file, also the same folder) is not stored again; it gets
    the tags it lacks. So a broken import is simply run again. A folder that tagfs export wrote is restored as it was:
    names, tags, homes, times; of one by tagfs backup the saved searches, too.
    """
    from tagfs.cli.extractors.registry import chosen
    from tagfs.cli.intake import manifest
    from tagfs.cli.intake.candidates import Describer
    from tagfs.cli.intake.walk import Tree

    counted = sys.stderr.isatty() and not session.json  # only a bar has to know beforehand
    describer = Describer(chosen(sources or ("folders", "metadata"), note), tags)
    if not ignore_manifest and os.path.isfile(os.path.join(folder, manifest.NAME)):
        note(f"restoring the export that {manifest.NAME} describes; other files in {folder} are passed over")
        found, passed = describer.of_manifest(folder), Counter[str]()
        length = sum(1 for _ in manifest.lines(folder)) if counted else 0
    else:
        tree = Tree(folder, Counter(), hidden, follow_links, excluded)
        length = tree._replace(passed=Counter()).number() if counted else 0
        found, passed = describer.of_tree(tree), tree.passed
    _run(session, found, describer.searches, passed, length, dry_run)


def _run(
    session: Session, found: Iterator[Candidate | Problem], searches: list[Search], passed: Counter[str], length: int,
    dry_run: bool,
) -> None:  # fmt: skip
    from tagfs.cli.intake.storing import Report, Storing, batches, restore_searches

    report = Report(passed)
    client = session.client()
    whole = False
    try:
        with progress(session, length, "importing") as bar:
            storing = Storing(client, report, bar, dry_run)
            for batch in batches(found, report):
                if dry_run:
                    _show(session, batch)
                storing.take(batch)
        if searches and not dry_run:
            restore_searches(client, searches, report)
        whole = True
    finally:
        if whole or report.done or report.problems:
            _tell(session, report, dry_run)
        if not whole:
            note("the import was not finished; run it again to go on: what is there is not stored twice")
    if report.problems:
        raise click.exceptions.Exit(1)


def _show(session: Session, batch: list[Candidate]) -> None:
    if not session.json:
        from tagfs.model.query.lexicon import quote_tag

        for candidate in batch:
            say(f"{candidate.relative}: {' '.join(map(quote_tag, candidate.tags))}")


def _tell(session: Session, report: Report, dry_run: bool) -> None:
    if session.json:
        write_json(
            {
                "dry_run": dry_run,
                "stored": report.stored,
                "merged": report.merged,
                "there": report.there,
                "bytes": report.bytes,
                "passed_over": report.passed,
                "failed": [problem._asdict() for problem in report.problems],
                "warnings": [problem._asdict() for problem in report.warnings],
            }
        )
        return
    for problem in [*report.warnings[:MOST_LINES], *report.problems[:MOST_LINES]]:
        note(f"{problem.relative}: {problem.reason}")
    for kind, problems in (("warnings", report.warnings), ("problems", report.problems)):
        if len(problems) > MOST_LINES:
            note(f"… and {len(problems) - MOST_LINES:,} more {kind}")
    if report.passed:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(report.passed.items()))
        note(f"passed over: {kinds}")
    would = "would be " if dry_run else ""
    say(
        f"{many(report.stored, 'file')} {would}stored ({human_size(report.bytes)}), {report.merged:,} {would}merged with what was there, "
        f"{report.there:,} there already, {len(report.problems):,} not read"
    )
