"""Commands of later versions: who asks for one is told what there is instead. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.command import Command
from tagfs.cli.failure import UsageFailure


def _later(name: str, instead: str) -> click.Command:
    def tell(words: tuple[str, ...]) -> None:
        raise UsageFailure(f"'{name}' is not in this version; {instead}")

    return Command(
        name, hidden=True, callback=tell, params=[click.Argument(["words"], nargs=-1)],
        context_settings={"ignore_unknown_options": True},
    )  # fmt: skip


backup = _later(
    "tagfs backup", "'tagfs export QUERY DIR' copies files with their tags, and 'tagfs import DIR' brings them back"
)
